/** Making processes and threads: what litmus set-up, the ELF loader and clone(2) have in common. */
import { cellOf, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { CELL_TASK } from '../cells.ts';
import { world } from '../current.ts';
import { FdTable, fput } from '../fs/file.ts';
import { dupMm } from '../mm/fork.ts';
import { Mm } from '../mm/mm-types.ts';
import { mmAddUser } from '../mm/mm-users.ts';
import type { World } from '../world.ts';
import { Task } from './task.ts';

export interface TaskOptions {
  readonly name: string;
  /** The hart whose TLB its accesses go through. Tasks of two address spaces never share one in litmus. */
  readonly hart: number;
  /** Whose frame and table free lists it allocates from (decision 3). */
  readonly owner: number;
}

/** A process with an empty address space and no open files, or with another's descriptors (CLONE_FILES). */
export function createProcess(
  inWorld: World,
  options: TaskOptions,
  shared: FdTable | null = null,
): Task {
  const mm = new Mm(inWorld.nextMm++);
  inWorld.mms.add(mm);
  const tid = inWorld.nextPid++;
  if (shared !== null) shared.users++;
  const files = shared ?? new FdTable();
  const { name, hart, owner } = options;
  return addTask(inWorld, new Task(tid, tid, name, mm, files, hart, owner, null));
}

/** Another thread of the same process: address space and files are shared (CLONE_VM | CLONE_FILES | CLONE_THREAD). */
export function createThread(leader: Task, options: TaskOptions): Task {
  const mm = leader.mmOrDie;
  mmAddUser(mm);
  leader.files.users++;
  const { hart, owner } = options;
  const task = new Task(
    newPid(),
    leader.tgid,
    options.name,
    mm,
    leader.files,
    hart,
    owner,
    leader.parent,
  );
  task.uid = leader.uid;
  task.fs = leader.fs;
  task.group = leader.group;
  leader.group.threads.push(task);
  return addTask(world, task);
}

/** A child process in the parent's address space with descriptors of its own: vfork(2), clone(CLONE_VM). */
export function createSharer(parent: Task, options: TaskOptions): Task {
  const mm = parent.mmOrDie;
  mmAddUser(mm);
  const tid = newPid();
  const { hart, owner } = options;
  const child = new Task(tid, tid, options.name, mm, parent.files.clone(), hart, owner, parent);
  inherit(child, parent);
  return addTask(world, child);
}

/**
 * A child process: a copy of the address space (dupMm) and of the descriptors. The caller gives it a thread.
 * @returns the child, or a negative errno
 * @linux kernel/fork.c copy_process
 */
export function* forkTask(parent: Task, options: TaskOptions): Steps<Task | number> {
  // Descriptors first: a file that the parent closes while fork waits for a monitor stays open in the child.
  const files = parent.files.clone();
  const mm = yield* dupMm(parent.mmOrDie);
  if (typeof mm === 'number') {
    for (const [, { file }] of files.entries()) yield* fput(parent, file);
    return mm;
  }
  const tid = newPid();
  const { hart, owner } = options;
  const child = new Task(tid, tid, options.name, mm, files, hart, owner, parent);
  inherit(child, parent);
  return addTask(world, child);
}

/** What fork copies besides memory and descriptors: credentials, signal handlers and mask. fork(2) */
function inherit(child: Task, parent: Task): void {
  child.uid = parent.uid;
  child.fs = { ...parent.fs };
  child.group.memlockLimit = parent.group.memlockLimit;
  const { rlimits } = parent.group;
  if (rlimits !== null) child.group.rlimits = new Map(rlimits);
  child.group.oomScoreAdj = parent.group.oomScoreAdj;
  child.blocked = parent.blocked;
  if (child.mm !== parent.mm) child.altStack = parent.altStack;
  for (const [signo, action] of parent.group.actions) child.group.actions.set(signo, action);
}

/** Process ids are handed out in order, so two that ask at once race. */
function newPid(): number {
  sched.touch(cellOf(CELL_TASK, 0), WRITE);
  return world.nextPid++;
}

function addTask(inWorld: World, task: Task): Task {
  inWorld.tasks.push(task);
  task.mmOrDie.harts.add(task.hart);
  return task;
}

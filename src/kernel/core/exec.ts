/**
 * execve(2): another program in the same process. What it needs is looked at first; from the point of no return on, other
 * threads end, the old address space goes with everything that watched it, and a failure kills.
 * @linux fs/exec.c begin_new_exec
 */

import { machine } from '../../machine/current.ts';
import { until } from '../../sched/access.ts';
import { cellOf, READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EACCES, ENOEXEC, ENOSYS } from '../../uapi/errno.ts';
import { SI_KERNEL, SIG_IGN, SIGKILL } from '../../uapi/signal.ts';
import { CELL_TASK } from '../cells.ts';
import { world } from '../current.ts';
import { type File, fput } from '../fs/file.ts';
import { Inode } from '../fs/inode.ts';
import { kernelRead } from '../fs/kernel-read.ts';
import { MAY_EXEC, mayAccess } from '../fs/namei.ts';
import { mmput } from '../mm/exit-mmap.ts';
import { Mm } from '../mm/mm-types.ts';
import { copyToUser } from '../mm/user-access.ts';
import { FUTEX_BITSET_MATCH_ANY, futexWake } from './futex.ts';
import { forceSignal, recalcSigPending } from './signal.ts';
import type { Task } from './task.ts';

/** A program with its arguments. */
export interface ExecRequest {
  readonly file: File;
  readonly args: readonly string[];
  readonly env: readonly string[];
}

/** Fills the empty address space of a task and sets its registers. @returns whether everything fitted */
export type LoadProgram = (task: Task) => Steps<boolean>;

/** Implemented by whoever runs guest code. */
export interface BinaryFormat {
  /** @returns how to load the program, or a negative errno: -ENOEXEC, -E2BIG */
  prepare(image: Uint8Array, request: ExecRequest): LoadProgram | number;
}

/**
 * Replaces the program of a process.
 * @param request its file is given up, whatever comes of it
 * @returns 0: the task runs the new program; or a negative errno, with nothing changed
 */
export function* doExecve(task: Task, request: ExecRequest): Steps<number> {
  const load = yield* prepare(task, request);
  if (typeof load === 'number') {
    yield* fput(task, request.file);
    return load;
  }
  yield* deThread(task);
  yield* newAddressSpace(task, request.file);
  resetSignals(task);
  yield* closeOnExec(task);
  task.name = request.file.path.slice(request.file.path.lastIndexOf('/') + 1);
  if (!(yield* load(task))) {
    const kill = { signo: SIGKILL, code: SI_KERNEL, address: 0, pid: 0, status: 0 };
    forceSignal(task, kill);
  }
  return 0;
}

/** @linux do_open_execat, bprm_execve */
function* prepare(task: Task, request: ExecRequest): Steps<LoadProgram | number> {
  const { inode } = request.file;
  const { binaries } = world;
  if (binaries === null) return -ENOSYS;
  if (!(inode instanceof Inode) || (inode.mode & 0o111) === 0) return -EACCES;
  if (!mayAccess(task, inode, MAY_EXEC)) return -EACCES;
  const image = yield* kernelRead(inode);
  if (typeof image === 'number') return image;
  return image.length === 0 ? -ENOEXEC : binaries.prepare(image, request);
}

/** Ends the other threads of the process; the caller becomes its leader. @linux de_thread */
function* deThread(task: Task): Steps<void> {
  const { group } = task;
  for (const other of group.threads) {
    if (other === task) continue;
    other.zapped = true;
    recalcSigPending(other);
  }
  const alone = (): boolean => group.threads.length === 1;
  const cell = cellOf(CELL_TASK, task.tgid);
  if (!alone()) yield* until('de_thread', cell, READ, alone, 'the other threads to end');
  group.leader = task;
  task.tid = task.tgid;
}

/** Leaves the old address space, for good if nobody else is in it. @linux exec_mmap, mm_release */
function* newAddressSpace(task: Task, file: File): Steps<void> {
  const old = task.mmOrDie;
  if (task.clearChildTid !== 0 && old.users > 1) {
    const cleared = yield* copyToUser(task, task.clearChildTid, new Uint8Array(4));
    if (cleared >= 0) yield* futexWake(task, task.clearChildTid, 1, FUTEX_BITSET_MATCH_ANY);
  }
  task.clearChildTid = 0;
  const mm = new Mm(world.nextMm++);
  world.mms.add(mm);
  mm.harts.add(task.hart);
  mm.exeFile = file;
  task.mm = mm;
  // switch_mm: what the hart remembers is of the old one, which may live on.
  machine.tlbs[task.hart]?.flushAll();
  yield* mmput(old);
  task.vforkDone = true;
  sched.touch(cellOf(CELL_TASK, task.tid), READ);
  task.parent?.group.childEvents.wakeAll();
}

/** Handlers are gone with the code; what was ignored stays ignored. execve(2) @linux flush_signal_handlers */
function resetSignals(task: Task): void {
  const { actions } = task.group;
  for (const [signo, { handler }] of [...actions]) if (handler !== SIG_IGN) actions.delete(signo);
  task.altStack = null;
}

/** Descriptors shared with others become the caller's own; those that say so are closed. @linux do_close_on_exec */
function* closeOnExec(task: Task): Steps<void> {
  if (task.files.users > 1) {
    task.files.users--;
    task.files = task.files.clone();
  }
  for (const [number, { cloexec }] of [...task.files.entries()]) {
    const file = cloexec ? task.files.remove(number) : null;
    if (file !== null) yield* fput(task, file);
  }
}

/** The end of a task and of a process, and waiting for it. @linux kernel/exit.c */
import { ADD, cellOf, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { CLD_EXITED, CLD_KILLED, SIGCHLD } from '../../uapi/signal.ts';
import { CELL_TASK } from '../cells.ts';
import { world } from '../current.ts';
import { fput } from '../fs/file.ts';
import { mmput } from '../mm/exit-mmap.ts';
import { copyToUser } from '../mm/user-access.ts';
import { FUTEX_BITSET_MATCH_ANY, futexWake } from './futex.ts';
import { retargetSharedPending, sendGroupSignal } from './signal.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';
import { addUsage, threadUsage } from './usage.ts';

/** Exit status of a process as wait4 reports it. wait(2) */
export function exitedStatus(code: number): number {
  return (code & 0xff) << 8;
}
export function killedStatus(signo: number): number {
  return signo & 0x7f;
}

/**
 * Ends a task: wakes who joins it, gives back descriptors and address space; the last thread of a process makes it
 * a zombie and tells the parent. Afterwards the caller's thread runs nothing more. @linux do_exit
 */
export function* doExit(task: Task): Steps<void> {
  task.exiting = true;
  retargetSharedPending(task.group);
  if (task.clearChildTid !== 0 && task.mm !== null && task.mm.users > 1) {
    const cleared = yield* copyToUser(task, task.clearChildTid, new Uint8Array(4));
    if (cleared >= 0) yield* futexWake(task, task.clearChildTid, 1, FUTEX_BITSET_MATCH_ANY);
  }
  const { group } = task;
  const used = threadUsage(task);
  yield* exitFiles(task);
  yield* exitMm(task);
  group.endedUsage = addUsage(group.endedUsage, used);
  group.threads.splice(group.threads.indexOf(task), 1);
  sched.touch(cellOf(CELL_TASK, task.tid), WRITE);
  if (group.threads.length === 0) groupEnded(group);
}

/** Lets go of the address space; its last user tears it down. @linux exit_mm */
function* exitMm(task: Task): Steps<void> {
  const { mm } = task;
  task.mm = null;
  if (mm !== null) yield* mmput(mm);
}

function* exitFiles(task: Task): Steps<void> {
  const table = task.files;
  if (--table.users > 0) return;
  for (const [fd] of table.entries()) {
    const file = table.remove(fd);
    if (file !== null) yield* fput(task, file);
  }
}

function groupEnded(group: ThreadGroup): void {
  group.zombie = true;
  group.exitStatus ??= 0;
  const { parent } = group.leader;
  if (parent === null) return;
  const status = group.exitStatus;
  const killed = (status & 0x7f) !== 0;
  sched.touch(cellOf(CELL_TASK, parent.tgid), ADD);
  sendGroupSignal(parent.group, {
    signo: SIGCHLD,
    code: killed ? CLD_KILLED : CLD_EXITED,
    address: 0,
    pid: group.leader.tgid,
    status: killed ? status & 0x7f : status >> 8,
  });
  parent.group.childEvents.wakeAll();
}

/** Children of a process, whichever of its threads forked them. */
export function childrenOf(group: ThreadGroup): readonly ThreadGroup[] {
  const found: ThreadGroup[] = [];
  for (const task of world.tasks) {
    const mine = task.parent?.group === group && task.group !== group;
    if (mine && task === task.group.leader && !task.group.reaped) found.push(task.group);
  }
  return found;
}

/**
 * Sending signals and choosing the one to deliver. Setting up a handler's frame is the architecture's business
 * (run/signal-frame.ts); blocking system calls see signals through `thread.signal`. @linux kernel/signal.c
 */
import { cellOf, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { SignalState } from '../../sched/thread.ts';
import {
  SIG_DFL,
  SIG_IGN,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGSTOP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGURG,
  SIGWINCH,
} from '../../uapi/signal.ts';
import { CELL_TASK } from '../cells.ts';
import type { Task } from './task.ts';
import type { SigAction, SigInfo, ThreadGroup } from './thread-group.ts';

const DEFAULT_ACTION: SigAction = { handler: SIG_DFL, flags: 0, mask: 0n };
/** Default action "ignore". Stopping is not modelled: stop signals are ignored too. signal(7) */
const IGNORED_BY_DEFAULT: readonly number[] = [
  SIGCHLD,
  SIGCONT,
  SIGURG,
  SIGWINCH,
  SIGSTOP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
];

export function sigBit(signo: number): bigint {
  return 1n << BigInt(signo - 1);
}

export function actionOf(group: ThreadGroup, signo: number): SigAction {
  return group.actions.get(signo) ?? DEFAULT_ACTION;
}

/** What would become of a signal now. */
export function disposition(group: ThreadGroup, signo: number): 'ignore' | 'kill' | 'handle' {
  const { handler } = actionOf(group, signo);
  if (signo === SIGKILL) return 'kill';
  if (handler === SIG_IGN) return 'ignore';
  if (handler === SIG_DFL) return IGNORED_BY_DEFAULT.includes(signo) ? 'ignore' : 'kill';
  return 'handle';
}

function touchSignals(task: Task): void {
  sched.touch(cellOf(CELL_TASK, task.tid), WRITE);
}

/** Sends a signal to one thread. Ignored ones vanish; a second one of a kind already pending is dropped. */
export function sendSignal(task: Task, info: SigInfo): void {
  touchSignals(task);
  const blocked = (task.blocked & sigBit(info.signo)) !== 0n;
  if (!blocked && disposition(task.group, info.signo) === 'ignore') return;
  if (task.pending.some((p) => p.signo === info.signo)) return;
  task.pending.push(info);
  recalcSigPending(task);
}

/** Sends a signal to a process: the first thread that does not block it will take it. */
export function sendGroupSignal(group: ThreadGroup, info: SigInfo): void {
  const taker = group.threads.find((t) => (t.blocked & sigBit(info.signo)) === 0n && !t.exiting);
  if (taker === undefined) {
    if (!group.pending.some((p) => p.signo === info.signo)) group.pending.push(info);
    return;
  }
  if (disposition(group, info.signo) === 'ignore') return;
  if (group.pending.some((p) => p.signo === info.signo)) return;
  group.pending.push(info);
  touchSignals(taker);
  recalcSigPending(taker);
}

/**
 * Hands signals of the process that nobody has taken to a thread that would, after one has begun to block them or to
 * end. @linux kernel/signal.c retarget_shared_pending
 */
export function retargetSharedPending(group: ThreadGroup): void {
  for (const { signo } of group.pending) {
    const taker = group.threads.find((t) => (t.blocked & sigBit(signo)) === 0n && !t.exiting);
    if (taker !== undefined) recalcSigPending(taker);
  }
}

/**
 * A fault's signal: cannot be blocked or ignored away; if it is, the task dies as if it had the default action.
 * @linux force_sig_fault
 */
export function forceSignal(task: Task, info: SigInfo): void {
  const blocked = (task.blocked & sigBit(info.signo)) !== 0n;
  if (blocked || disposition(task.group, info.signo) === 'ignore') {
    task.group.actions.delete(info.signo);
    task.blocked &= ~sigBit(info.signo);
  }
  touchSignals(task);
  task.pending.unshift(info);
  recalcSigPending(task);
}

/** Takes the next deliverable signal off the queues, or null. Synchronous ones of the thread go first. */
export function dequeueSignal(task: Task): SigInfo | null {
  sched.touch(cellOf(CELL_TASK, task.tid), READ);
  for (const queue of [task.pending, task.group.pending]) {
    const index = queue.findIndex((p) => (task.blocked & sigBit(p.signo)) === 0n);
    if (index < 0) continue;
    const [info] = queue.splice(index, 1);
    recalcSigPending(task);
    // The others' share can only have become less: a thread that was not told does not notice what is left.
    for (const thread of task.group.threads) {
      if (thread.thread?.signal !== 'none') recalcSigPending(thread);
    }
    return info ?? null;
  }
  return null;
}

/** Brings `thread.signal`, which sleeps look at, up to date with masks and queues. @linux recalc_sigpending */
export function recalcSigPending(task: Task): void {
  if (task.thread !== null) sched.signal(task.thread, signalState(task));
}

function signalState(task: Task): SignalState {
  if (task.group.exitStatus !== null || task.zapped) return 'fatal';
  const deliverable = [...task.pending, ...task.group.pending].filter(
    (p) => (task.blocked & sigBit(p.signo)) === 0n,
  );
  if (deliverable.some((p) => disposition(task.group, p.signo) === 'kill')) return 'fatal';
  return deliverable.length === 0 ? 'none' : 'pending';
}

/** Makes every thread of the process end. @param status as wait4 reports it @linux do_group_exit */
export function groupExit(group: ThreadGroup, status: number): void {
  if (group.exitStatus === null) group.exitStatus = status;
  for (const thread of group.threads) recalcSigPending(thread);
}

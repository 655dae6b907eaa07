/** Sleeping and waking. A sleeper has one `woken` flag; wakers set it, and the sleep ends when it is set. */
import { type Cell, READ, WRITE } from './cell.ts';
import { sched } from './current.ts';
import { checkMaySleep } from './lockdep.ts';
import type { Op, Steps } from './op.ts';
import type { Thread } from './thread.ts';

/** Which signals end a sleep: any, only fatal ones, none. */
export type SleepClass = 'interruptible' | 'killable' | 'uninterruptible';
export type WakeReason = 'woken' | 'signal' | 'timeout';

/** One thread's stay on one or more wait queues. */
export class Sleeper {
  readonly thread: Thread | null;
  readonly cell: Cell;
  woken = false;

  /** @param cellClass the class its flag's cell gets */
  constructor(cellClass: number) {
    this.thread = sched.running;
    this.cell = sched.newCell(cellClass);
  }

  wake(): void {
    this.woken = true;
    sched.touch(this.cell, WRITE);
  }
}

/**
 * Sleeps until woken, until a signal of the class arrives, or until `expired` says that the time is over.
 * @param awaits who could wake it, for hang reports
 */
export function* sleep(
  sleeper: Sleeper,
  cls: SleepClass,
  awaits: string,
  expired: (() => boolean) | null = null,
): Steps<WakeReason> {
  checkMaySleep(awaits);
  const { thread } = sleeper;
  const ready = (): boolean =>
    sleeper.woken || (thread !== null && interrupts(thread, cls)) || (expired?.() ?? false);
  if (sched.wants() || !ready()) {
    yield { name: 'sleep', cell: sleeper.cell, ready, awaits, choices: 0 } satisfies Op;
  }
  sched.touch(sleeper.cell, READ);
  if (thread !== null && cls !== 'uninterruptible') sched.touch(sched.signalCell(thread), READ);
  if (sleeper.woken) return 'woken';
  return thread !== null && interrupts(thread, cls) ? 'signal' : 'timeout';
}

/** Whether a signal that the thread has pending ends a sleep of this class. */
export function interrupts(thread: Thread, cls: SleepClass): boolean {
  if (cls === 'uninterruptible') return false;
  return thread.signal === 'fatal' || (cls === 'interruptible' && thread.signal === 'pending');
}

/** Sleepers in arrival order. Protected by the lock of whoever owns the queue; its cell stands for membership. */
export class WaitQueue {
  readonly cell: Cell;
  private readonly sleepers: Sleeper[] = [];

  constructor(cellClass: number) {
    this.cell = sched.newCell(cellClass);
  }

  add(sleeper: Sleeper): void {
    sched.touch(this.cell, WRITE);
    this.sleepers.push(sleeper);
  }

  remove(sleeper: Sleeper): void {
    sched.touch(this.cell, WRITE);
    const index = this.sleepers.indexOf(sleeper);
    if (index >= 0) this.sleepers.splice(index, 1);
  }

  /** Wakes up to `most` sleepers, first come first woken, and returns how many. */
  wake(most: number = Number.POSITIVE_INFINITY): number {
    sched.touch(this.cell, READ);
    let woken = 0;
    for (const sleeper of this.sleepers) {
      if (woken >= most) break;
      if (sleeper.woken) {
        // Whom this wakes depends on who was woken before.
        sched.touch(sleeper.cell, READ);
        continue;
      }
      sleeper.wake();
      woken++;
    }
    return woken;
  }

  get empty(): boolean {
    sched.touch(this.cell, READ);
    return this.sleepers.length === 0;
  }
}

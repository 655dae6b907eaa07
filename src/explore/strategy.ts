/** What all strategies share: one interface, the thread that goes by default, and the complaint about strays. */
import { at } from '../base/assert.ts';
import type { Ending, Oracle, Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';

/** An Oracle for one execution after the other. */
export interface Strategy extends Oracle {
  /** An execution begins; all its first threads are spawned. */
  begin(sched: Sched): void;
  /** No thread can run and the world is asked to move time on. */
  idling(sched: Sched): void;
  /** The execution is over. `failed`: the running thread's step threw, or a check after it did. */
  end(sched: Sched, ending: Ending | 'failed'): void;
  /** Prepares the next execution. @returns false when there is none left */
  next(): boolean;
}

/** The same prefix of a schedule did not do the same thing twice: something outside the schedule decides. */
export class StrayNondeterminism extends Error {
  override readonly name = 'StrayNondeterminism';

  constructor(step: number, what: string, first: string, now: string) {
    super(
      `the same schedule did two different things at step ${step}: ${what} was ${first}, now is ${now}`,
    );
  }
}

/** Threads that one execution can have: their sets are 32-bit masks. */
export const MAX_THREADS = 32;

/**
 * Who goes when nothing else is asked for: a thread that has not begun (its first step only brings it to its first
 * announcement), else the one that ran last, else the lowest.
 * @param last the thread to stay on, or null for always the lowest @param asleep threads not to take, as a mask
 * @returns null when all are asleep
 */
export function byDefault(
  enabled: readonly Thread[],
  last: Thread | null,
  asleep: number,
): Thread | null {
  let found: Thread | null = null;
  for (let i = 0; i < enabled.length; i++) {
    const thread = at(enabled, i);
    if ((asleep & (1 << thread.id)) !== 0) continue;
    if (thread.steps === 0) return thread;
    if (thread === last || found === null) found = thread;
  }
  return found;
}

/** The ids of threads as a mask. */
export function maskOf(threads: readonly Thread[]): number {
  let mask = 0;
  for (let i = 0; i < threads.length; i++) mask |= 1 << at(threads, i).id;
  return mask;
}

export function lowestOf(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}

/** For messages: `{0 2}`. */
export function showMask(mask: number): string {
  const ids: number[] = [];
  for (let i = 0; i < MAX_THREADS; i++) if ((mask & (1 << i)) !== 0) ids.push(i);
  return `{${ids.join(' ')}}`;
}

/** The switch points that are not locks: announced reads and writes of a cell, choices, and waiting for a condition. */
import type { Cell, Kind } from './cell.ts';
import { sched } from './current.ts';
import type { Op, Steps } from './op.ts';

/**
 * Announces that the next step begins by touching a cell, lets others run first, and records the touch.
 * @param name what a reader of the diagram sees
 */
export function* access(name: string, cell: Cell, kind: Kind): Steps<void> {
  if (sched.wants()) yield { name, cell, ready: null, awaits: null, choices: 0 } satisfies Op;
  sched.touch(cell, kind);
}

/**
 * The switch of `access` alone: for a caller that has asked `sched.wants()` and touches the cell itself, so that a hot
 * path makes no generator when nobody wants to come between.
 */
export function* announce(name: string, cell: Cell): Steps<void> {
  yield { name, cell, ready: null, awaits: null, choices: 0 } satisfies Op;
}

/** A point at which others may run, which itself touches nothing. */
export function* pause(name: string): Steps<void> {
  if (sched.wants()) yield { name, cell: null, ready: null, awaits: null, choices: 0 } satisfies Op;
}

/** Gives way even when nobody explores: the end of a time slice. */
export function* giveWay(name: string): Steps<void> {
  yield { name, cell: null, ready: null, awaits: null, choices: 0 } satisfies Op;
}

/**
 * A value in [0, n) that the schedule decides: an allocation that may fail, the victim of reclaim.
 * When nobody explores it is 0.
 */
export function* choose(name: string, n: number): Steps<number> {
  if (!sched.exploring) return 0;
  return yield { name, cell: null, ready: null, awaits: null, choices: n } satisfies Op;
}

/**
 * Waits until a condition over shared state holds; the condition is looked at again by the scheduler.
 * @param cell the cell whose change can make it true (announced as `kind`, which is recorded when it is)
 * @param awaits for hang reports: who could make it true
 */
export function* until(
  name: string,
  cell: Cell,
  kind: Kind,
  ready: () => boolean,
  awaits: string,
): Steps<void> {
  if (sched.wants() || !ready()) yield { name, cell, ready, awaits, choices: 0 } satisfies Op;
  sched.touch(cell, kind);
}

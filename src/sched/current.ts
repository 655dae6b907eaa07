import type { Sched } from './sched.ts';

/**
 * The scheduler of the World that runs now: set by the run loop, read by the primitives. One of the three pieces of
 * module state in the core (design, decision 8); the others are `machine` and `world`.
 */
export let sched: Sched = undefined as never as Sched;

export function enterSched(next: Sched): void {
  sched = next;
}

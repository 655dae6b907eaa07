/** What can be explored: something that builds a fresh world and says how one execution of it came out. */
import type { Ending, Sched } from '../sched/sched.ts';

/**
 * A program whose only freedom is the schedule: every `start` must build the same world again. A strategy that meets
 * a different one stops with a `StrayNondeterminism`.
 */
export interface Program<O> {
  start(): Execution<O>;
}

/** One world, its threads spawned and not yet run. */
export interface Execution<O> {
  /** Made with `new Sched(true)`. */
  readonly sched: Sched;
  /**
   * The outcome, after the last step. Not called for executions that were given up or that failed.
   * Whatever it throws makes the execution a failed one.
   */
  finish(ending: Ending): O;
}

/** `failed`: a step, a check after a step, or `finish` threw; `error` has what. */
export type Result = Ending | 'failed';

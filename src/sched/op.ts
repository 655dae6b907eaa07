import type { Cell } from './cell.ts';

/**
 * What a thread says before it goes on: the next thing it will do, and whether it can.
 * Everything between this and the thread's next Op is one step; the footprint of the step is recorded as it runs.
 */
export interface Op {
  /** For people: `lock`, `loadPte`, `sleep`. */
  readonly name: string;
  /** The cell the step begins with, or null for a step that begins with nothing shared. */
  readonly cell: Cell | null;
  /**
   * Blocked while this says false. Null: never blocks. Must be a pure look at what `cell` stands for (and at the time that
   * `Sched.idle` moves), and the step must touch `cell` first: the explorer finds out who blocked it from that cell alone.
   */
  readonly ready: (() => boolean) | null;
  /** For hang reports: what would have to happen. Null for steps that never wait for a person. */
  readonly awaits: string | null;
  /** Greater than 0: the step is a choice of one of `choices` values and the oracle answers with it. */
  readonly choices: number;
}

/**
 * A piece of work that may be interleaved at each `yield*`. A plain function is atomic (design, decision 1).
 * Bare `yield` stands only in `sched/`.
 */
export type Steps<T> = Generator<Op, T, number>;

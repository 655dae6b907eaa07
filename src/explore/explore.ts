/** Runs a program again and again as a strategy says, and hands every execution to the caller. */
import type { Op } from '../sched/op.ts';
import type { Oracle, Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';
import { Dfs } from './dfs.ts';
import { Dpor } from './dpor.ts';
import type { Program, Result } from './program.ts';
import { RandomWalk } from './random.ts';
import type { Schedule } from './schedule.ts';
import { type Strategy, StrayNondeterminism } from './strategy.ts';

export type StrategyName = 'dpor' | 'dfs' | 'random';

export interface ExploreOptions {
  /** Default `dpor`. */
  readonly strategy?: StrategyName;
  /** Executions, blocked ones not counted, after which to stop. Default 100,000. */
  readonly maxExecutions?: number;
  /** Steps after which an execution is broken off with `limit`. Default 10,000. */
  readonly maxSteps?: number;
  /** For `random`. Default 1. */
  readonly seed?: number;
  /** For `dfs`: the most times a thread that could go on may be made to wait. Default: any number. */
  readonly bound?: number;
  /**
   * For `dpor`: where several threads would do, the lowest goes first, as in the published algorithm. By default the one
   * that ran last stays, which finds failures with fewer switches and gives fewer executions up.
   */
  readonly lowestFirst?: boolean;
}

/** One execution, as told to the caller; valid only during the call. */
export interface Seen<O> {
  readonly ending: Result;
  /** Null for a failed execution. */
  readonly outcome: O | null;
  /** What was thrown, for a failed execution. */
  readonly error: unknown;
  readonly steps: number;
  /** Context switches away from a thread that could have gone on; beginning a thread is none. */
  readonly switches: number;
  /** Built when asked for. */
  schedule(): Schedule;
}

export interface Explored {
  /** Complete executions: ended, stuck, failed or broken off. */
  readonly executions: number;
  /** Executions given up halfway because they could only repeat what had been seen. Not counted above. */
  readonly blocked: number;
  /** Steps in all executions, prescribed ones included. */
  readonly steps: number;
  readonly failures: number;
  /** Executions broken off at `maxSteps`. */
  readonly limited: number;
  /**
   * Whether every outcome has been seen: nothing is left to try, and no execution broke off early by failing or by the
   * step limit, or (with a `bound`) was left out.
   */
  readonly exhausted: boolean;
  readonly stoppedBy: 'exhausted' | 'executions' | 'caller';
}

/** @param onExecution returns 'stop' to end the search */
export function explore<O>(
  program: Program<O>,
  options: ExploreOptions,
  onExecution: (seen: Seen<O>) => 'stop' | undefined,
): Explored {
  const strategy = strategyOf(options);
  const maxExecutions = options.maxExecutions ?? 100_000;
  const maxSteps = options.maxSteps ?? 10_000;
  const recorder = new Recorder(strategy);
  let executions = 0;
  let blocked = 0;
  let steps = 0;
  let failures = 0;
  let limited = 0;
  let stoppedBy: Explored['stoppedBy'] = 'executions';
  while (executions < maxExecutions) {
    const seen = runOnce(program, recorder, maxSteps);
    steps += recorder.steps;
    if (seen === null) {
      blocked++;
    } else {
      executions++;
      if (seen.ending === 'failed') failures++;
      if (seen.ending === 'limit') limited++;
      if (onExecution(seen) === 'stop') {
        stoppedBy = 'caller';
        break;
      }
    }
    if (!strategy.next()) {
      stoppedBy = 'exhausted';
      break;
    }
  }
  const whole = stoppedBy === 'exhausted' && failures === 0 && limited === 0;
  const exhausted = whole && options.bound === undefined;
  return { executions, blocked, steps, failures, limited, exhausted, stoppedBy };
}

/**
 * Runs a program once as a strategy says.
 * @returns null when the strategy gave the execution up
 * @throws StrayNondeterminism
 */
export function runOnce<O>(
  program: Program<O>,
  recorder: Recorder,
  maxSteps: number,
): Seen<O> | null {
  const execution = program.start();
  const { sched } = execution;
  recorder.begin(sched);
  let ending: Result = 'failed';
  let outcome: O | null = null;
  let error: unknown = null;
  try {
    ending = sched.execute(recorder, maxSteps);
  } catch (thrown) {
    if (thrown instanceof StrayNondeterminism) throw thrown;
    error = thrown;
  }
  recorder.end(sched, ending);
  if (ending === 'abandoned') return null;
  if (ending !== 'failed') {
    try {
      outcome = execution.finish(ending);
    } catch (thrown) {
      error = thrown;
      ending = 'failed';
    }
  }
  const { steps, switches } = recorder;
  return { ending, outcome, error, steps, switches, schedule: () => recorder.schedule() };
}

/** Stands between the scheduler and a strategy and keeps the schedule. */
export class Recorder implements Oracle {
  readonly strategy: Strategy;
  /** Steps begun, one that throws included. */
  steps = 0;
  switches = 0;
  #threads = new Int32Array(256);
  #choices = new Int32Array(256);
  #last: Thread | null = null;

  constructor(strategy: Strategy) {
    this.strategy = strategy;
  }

  begin(sched: Sched): void {
    this.steps = 0;
    this.switches = 0;
    this.#last = null;
    const { idle } = sched;
    sched.idle = (): boolean => {
      this.strategy.idling(sched);
      return idle();
    };
    this.strategy.begin(sched);
  }

  pick(sched: Sched, enabled: readonly Thread[]): Thread | null {
    const thread = this.strategy.pick(sched, enabled);
    if (thread === null) return null;
    if (thread.steps > 0) {
      const last = this.#last;
      if (last !== null && last !== thread && enabled.includes(last)) this.switches++;
      this.#last = thread;
    }
    if (this.steps >= this.#threads.length) this.#grow();
    this.#threads[this.steps] = thread.id;
    this.#choices[this.steps] = -1;
    this.steps++;
    return thread;
  }

  choose(sched: Sched, thread: Thread, op: Op): number {
    const value = this.strategy.choose(sched, thread, op);
    this.#choices[this.steps - 1] = value;
    return value;
  }

  stepped(sched: Sched, thread: Thread): void {
    this.strategy.stepped(sched, thread);
  }

  end(sched: Sched, ending: Result): void {
    this.strategy.end(sched, ending);
  }

  schedule(): Schedule {
    return {
      threads: [...this.#threads.subarray(0, this.steps)],
      choices: [...this.#choices.subarray(0, this.steps)],
    };
  }

  #grow(): void {
    const threads = new Int32Array(this.#threads.length * 2);
    threads.set(this.#threads);
    this.#threads = threads;
    const choices = new Int32Array(threads.length);
    choices.set(this.#choices);
    this.#choices = choices;
  }
}

/** Keeps, of the executions it is shown, the first one with the fewest context switches. */
export class Fewest<O> {
  best: { readonly seen: Seen<O>; readonly schedule: Schedule } | null = null;

  show(seen: Seen<O>): void {
    if (this.best !== null) {
      const { switches, steps } = this.best.seen;
      if (seen.switches > switches) return;
      if (seen.switches === switches && seen.steps >= steps) return;
    }
    this.best = { seen, schedule: seen.schedule() };
  }
}

function strategyOf(options: ExploreOptions): Strategy {
  const name = options.strategy ?? 'dpor';
  if (name === 'dpor') return new Dpor(options.lowestFirst);
  if (name === 'dfs') return new Dfs(options.bound);
  return new RandomWalk(options.seed ?? 1);
}

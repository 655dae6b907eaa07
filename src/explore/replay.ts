/** One execution again, from its schedule; a prefix of one is followed and then continued by default. */
import { at, must } from '../base/assert.ts';
import type { Op } from '../sched/op.ts';
import type { Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';
import { Recorder, runOnce, type Seen } from './explore.ts';
import type { Program } from './program.ts';
import type { Schedule } from './schedule.ts';
import { byDefault, maskOf, type Strategy, showMask } from './strategy.ts';

/** A schedule that this program cannot follow: it belongs to another one. The message says from which step on. */
export class ScheduleMismatch extends Error {
  override readonly name = 'ScheduleMismatch';
}

/**
 * Runs a program once along a schedule; after its end, as `byDefault` has it, choices being answered 0.
 * @throws ScheduleMismatch
 */
export function replay<O>(program: Program<O>, schedule: Schedule, maxSteps = 10_000): Seen<O> {
  const strategy = new Replay(schedule);
  const seen = must(runOnce(program, new Recorder(strategy), maxSteps), 'execution');
  strategy.check(seen.error);
  return seen;
}

export class Replay implements Strategy {
  readonly #schedule: Schedule;
  #step = 0;
  #last: Thread | null = null;
  #mismatch: ScheduleMismatch | null = null;

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  begin(): void {
    this.#step = 0;
    this.#last = null;
    this.#mismatch = null;
  }

  pick(_sched: Sched, enabled: readonly Thread[]): Thread {
    const { threads, choices } = this.#schedule;
    let thread: Thread | null | undefined;
    if (this.#step < threads.length) {
      const id = at(threads, this.#step);
      thread = enabled.find((t) => t.id === id);
      if (thread === undefined) {
        this.#refuse(this.#step, `thread ${id} cannot run, only ${showMask(maskOf(enabled))}`);
      } else if (at(choices, this.#step) >= 0 !== thread.op.choices > 0) {
        const has = thread.op.choices > 0 ? 'has a choice there' : 'has no choice there';
        this.#refuse(this.#step, `thread ${id} ${has}`);
      }
    } else {
      thread = byDefault(enabled, this.#last, 0);
    }
    this.#step++;
    this.#last = must(thread, 'thread');
    return this.#last;
  }

  choose(_sched: Sched, thread: Thread, op: Op): number {
    const step = this.#step - 1;
    if (step >= this.#schedule.threads.length) return 0;
    const value = at(this.#schedule.choices, step);
    if (value >= op.choices) {
      this.#refuse(step, `thread ${thread.id} has ${op.choices} choices, not a number ${value}`);
    }
    return value;
  }

  stepped(): void {}

  idling(): void {}

  end(): void {}

  next(): boolean {
    return false;
  }

  /** Throws what made the replay stop, rather than let it pass for a failure of the program. */
  check(error: unknown): void {
    if (this.#mismatch !== null && error === this.#mismatch) throw this.#mismatch;
    if (this.#step < this.#schedule.threads.length && error === null) {
      throw new ScheduleMismatch(
        `the schedule has ${this.#schedule.threads.length} steps, the execution only ${this.#step}`,
      );
    }
  }

  #refuse(step: number, why: string): never {
    this.#mismatch = new ScheduleMismatch(`the schedule does not fit at step ${step + 1}: ${why}`);
    throw this.#mismatch;
  }
}

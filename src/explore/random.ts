/** At each step any thread that can run, with equal probability: samples, never exhausts. */
import { at } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import type { Op } from '../sched/op.ts';
import type { Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';
import type { Strategy } from './strategy.ts';

export class RandomWalk implements Strategy {
  readonly #prng: Prng;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
  }

  begin(): void {}

  pick(_sched: Sched, enabled: readonly Thread[]): Thread {
    return at(enabled, this.#prng.below(enabled.length));
  }

  choose(_sched: Sched, _thread: Thread, op: Op): number {
    return this.#prng.below(op.choices);
  }

  stepped(): void {}

  idling(): void {}

  end(): void {}

  next(): boolean {
    return true;
  }
}

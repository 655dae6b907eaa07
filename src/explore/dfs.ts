/** Every interleaving, without reduction: slow and simple, the yardstick for the others. */
import { assert, at, must } from '../base/assert.ts';
import type { Ending, Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';
import {
  byDefault,
  lowestOf,
  MAX_THREADS,
  maskOf,
  type Strategy,
  StrayNondeterminism,
  showMask,
} from './strategy.ts';

/** A step of the current execution and what else can stand there. */
interface Node {
  readonly enabled: number;
  thread: number;
  value: number;
  /** Answers that the thread's step has; 0 when it is no choice. */
  readonly choices: number;
  /** Threads still to try. */
  rest: number;
}

export class Dfs implements Strategy {
  readonly blocked = false;
  readonly #bound: number;
  readonly #lump: boolean;
  readonly #nodes: (Node & { choices: number })[] = [];
  #depth = 0;
  #preemptions = 0;
  #last: Thread | null = null;

  /**
   * @param bound preemptions: switches away from a thread that could go on
   * @param lump do not branch before a step that turned out to touch nothing, since it commutes with all others
   */
  constructor(bound: number = Number.POSITIVE_INFINITY, lump = false) {
    this.#bound = bound;
    this.#lump = lump;
  }

  begin(): void {
    this.#depth = 0;
    this.#preemptions = 0;
    this.#last = null;
  }

  pick(sched: Sched, enabled: readonly Thread[]): Thread {
    const mask = maskOf(enabled);
    let node = this.#nodes[this.#depth];
    if (node === undefined) {
      assert(sched.threads.length <= MAX_THREADS, `more than ${MAX_THREADS} threads`);
      const thread = must(byDefault(enabled, this.#last, 0), 'thread');
      const spent = this.#last !== null && (mask & (1 << this.#last.id)) !== 0;
      const tied = spent && this.#preemptions >= this.#bound;
      const rest = tied ? startsOf(enabled) : mask;
      const { choices } = thread.op;
      node = {
        enabled: mask,
        thread: thread.id,
        value: 0,
        choices,
        rest: rest & ~(1 << thread.id),
      };
      this.#nodes.push(node);
    } else if (node.enabled !== mask) {
      throw new StrayNondeterminism(
        this.#depth,
        'the set of threads that can run',
        showMask(node.enabled),
        showMask(mask),
      );
    }
    const thread = at(sched.threads, node.thread);
    node.choices = thread.op.choices;
    if (thread.steps > 0) {
      const last = this.#last;
      if (last !== null && last !== thread && (mask & (1 << last.id)) !== 0) this.#preemptions++;
      this.#last = thread;
    }
    return thread;
  }

  choose(): number {
    return at(this.#nodes, this.#depth).value;
  }

  stepped(sched: Sched): void {
    const node = at(this.#nodes, this.#depth);
    this.#depth++;
    if (this.#lump && sched.footprint.length === 0 && node.choices === 0) node.rest = 0;
  }

  idling(): void {}

  end(_sched: Sched, _ending: Ending | 'failed'): void {}

  next(): boolean {
    for (;;) {
      const node = this.#nodes.at(-1);
      if (node === undefined) return false;
      if (node.value + 1 < node.choices) {
        node.value++;
        return true;
      }
      if (node.rest !== 0) {
        node.thread = lowestOf(node.rest);
        node.rest &= node.rest - 1;
        node.value = 0;
        return true;
      }
      this.#nodes.pop();
    }
  }
}

/** Threads that have not begun: to begin one is no preemption. */
function startsOf(enabled: readonly Thread[]): number {
  return maskOf(enabled.filter((t) => t.steps === 0));
}

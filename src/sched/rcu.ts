/**
 * RCU as the explorer sees it: a read section is a token a thread holds, and what was given to `callRcu` is freed by an
 * actor's step, at the earliest when every section that was open at that time has ended.
 */
import { assert } from '../base/assert.ts';
import { ADD, type Cell, cellOf, READ, WRITE } from './cell.ts';
import { sched } from './current.ts';
import type { Op, Steps } from './op.ts';
import type { Thread } from './thread.ts';

interface Deferred {
  readonly free: () => void;
  readonly waitsFor: readonly Thread[];
  /** Sections the thread had closed when the free was deferred. */
  readonly epochs: readonly number[];
}

export class Rcu {
  /** The queue; sections opened; sections closed. Sections commute, but what `callRcu` waits for depends on both. */
  private readonly cell: Cell;
  private readonly opened: Cell;
  private readonly left: Cell;
  private readonly queue: Deferred[] = [];
  private readonly closed = new Map<Thread, number>();

  constructor(cellClass: number) {
    this.cell = cellOf(cellClass, 0);
    this.opened = cellOf(cellClass, 1);
    this.left = cellOf(cellClass, 2);
  }

  readLock(): void {
    const thread = sched.running;
    if (thread === null) return;
    if (thread.rcuReaders === 0) sched.touch(this.opened, ADD);
    thread.rcuReaders++;
    thread.atomic++;
  }

  readUnlock(): void {
    const thread = sched.running;
    if (thread === null) return;
    assert(thread.rcuReaders > 0, () => `${thread.name} leaves an RCU section it is not in`);
    thread.rcuReaders--;
    thread.atomic--;
    if (thread.rcuReaders > 0) return;
    this.closed.set(thread, (this.closed.get(thread) ?? 0) + 1);
    sched.touch(this.left, ADD);
  }

  /** Frees something once nobody can still be looking at it. Immediately, when nobody is. */
  callRcu(free: () => void): void {
    sched.touch(this.opened, READ);
    sched.touch(this.left, READ);
    const waitsFor = sched.live.filter((t) => t.rcuReaders > 0);
    if (waitsFor.length === 0) {
      free();
      return;
    }
    sched.touch(this.cell, WRITE);
    const epochs = waitsFor.map((t) => this.closed.get(t) ?? 0);
    this.queue.push({ free, waitsFor, epochs });
  }

  /** The body of the daemon that ends grace periods. */
  *actor(): Steps<void> {
    for (;;) {
      yield {
        name: 'rcu',
        cell: this.left,
        ready: () => this.queue.some((d) => this.#over(d)),
        awaits: null,
        choices: 0,
      } satisfies Op;
      sched.touch(this.left, READ);
      sched.touch(this.cell, WRITE);
      const index = this.queue.findIndex((d) => this.#over(d));
      const [deferred] = this.queue.splice(index, 1);
      deferred?.free();
    }
  }

  /** Whether something still waits to be freed. */
  get pending(): boolean {
    return this.queue.length > 0;
  }

  #over(d: Deferred): boolean {
    return d.waitsFor.every(
      (t, i) => t.done || (this.closed.get(t) ?? 0) > (d.epochs[i] ?? 0) || t.rcuReaders === 0,
    );
  }
}

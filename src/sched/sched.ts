/**
 * The scheduler of one World: its threads, the footprint of the step that runs, and the loop that runs steps.
 * Which thread goes next is never decided here: an Oracle does that.
 */
import { assert, at } from '../base/assert.ts';
import { type Cell, cellOf, entryOf, type Kind, WRITE } from './cell.ts';
import { enterSched } from './current.ts';
import type { Op, Steps } from './op.ts';
import { type SignalState, Thread } from './thread.ts';

/** Everything that a schedule decides. Strategies implement it; `run` has one of its own. */
export interface Oracle {
  /** The thread to run next, out of at least one that can; null gives the execution up. */
  pick(sched: Sched, enabled: readonly Thread[]): Thread | null;
  /** An answer in [0, op.choices) for a thread about to take a choice. */
  choose(sched: Sched, thread: Thread, op: Op): number;
  /** The step just taken by `thread` is over; `sched.footprint` holds what it touched. */
  stepped(sched: Sched, thread: Thread): void;
}

/**
 * done: every thread that is no daemon has ended. stuck: some have not, and nothing can run.
 * abandoned: the oracle gave up. limit: too many steps.
 */
export type Ending = 'done' | 'stuck' | 'abandoned' | 'limit';

/** Cell classes of the scheduler itself; other layers use 2 and up (CELL_CLASSES in kernel/cells.ts). */
export const CELL_SPAWN = 0;
export const CELL_THREAD = 1;
/** Cells a thread may make of one class before its ids run into its neighbour's. */
const CELLS_PER_THREAD = 4096;

export interface TraceStep {
  readonly thread: number;
  readonly op: Op;
  readonly footprint: readonly number[];
  readonly notes: readonly string[];
}

export class Sched {
  /** All threads there ever were, by number. */
  readonly threads: Thread[] = [];
  /** Those that have not ended, in the same order: programs start threads by the thousand. */
  readonly live: Thread[] = [];
  /** The thread whose step runs, or null between steps and during set-up. */
  running: Thread | null = null;
  /** True: primitives announce every step. False: they yield only when they must wait. */
  exploring: boolean;
  /** Entries (cell.ts) of the running step, in order; empty when nobody explores. */
  readonly footprint: number[] = [];
  /** Steps taken by all threads. */
  steps = 0;
  /** When set, every step is kept, for diagrams and dumps. */
  trace: TraceStep[] | null = null;
  /** Asked when no thread can run: moves time to the next timer; false when there is none. */
  idle: () => boolean = () => false;
  /** Runs after each step, for integrity checks; throws FaultlineBug or a broken rule. */
  afterStep: (() => void) | null = null;
  /** In `run` with a seed: asked at each possible switch inside the kernel whether to preempt there. */
  preempt: (() => boolean) | null = null;
  /** In set-up and `finally` parts: nothing else may run, so a wait is an error of the file. */
  private notes: string[] = [];
  private mainCells = 0;

  constructor(exploring: boolean) {
    this.exploring = exploring;
  }

  /** Whether a primitive that could go on without waiting should let others run first (decision 2). */
  wants(): boolean {
    return this.exploring || (this.preempt !== null && this.running !== null && this.preempt());
  }

  /** Records that the running step touches a cell. */
  touch(cell: Cell, kind: Kind): void {
    if (this.exploring) this.footprint.push(entryOf(cell, kind));
  }

  /** A new cell of a class, numbered per thread so that allocation commutes (decision 3). */
  newCell(cls: number): Cell {
    const thread = this.running;
    if (thread === null) return cellOf(cls, this.mainCells++);
    assert(thread.cellsMade < CELLS_PER_THREAD || !this.exploring, 'too many cells in one thread');
    return cellOf(cls, (thread.id + 1) * CELLS_PER_THREAD + thread.cellsMade++);
  }

  /** @param body made when the thread takes its first step, where it is a function: until then a Checkpoint can keep it */
  spawn(name: string, body: Steps<unknown> | (() => Steps<unknown>), daemon = false): Thread {
    this.touch(cellOf(CELL_SPAWN, 0), WRITE);
    const parent = this.running;
    const thread = new Thread(
      this.threads.length,
      name,
      daemon,
      parent?.id ?? -1,
      parent === null ? 0 : parent.steps + 1,
      body,
    );
    this.threads.push(thread);
    this.live.push(thread);
    return thread;
  }

  /** Adds a sentence to the step that runs, when somebody keeps a trace. */
  note(text: () => string): void {
    if (this.trace !== null) this.notes.push(text());
  }

  /** Runs threads as the oracle says until all have ended, none can run, or the step limit is hit. */
  execute(oracle: Oracle, maxSteps: number): Ending {
    enterSched(this);
    const enabled: Thread[] = [];
    while (this.steps < maxSteps) {
      this.#collect(enabled);
      if (enabled.length === 0) {
        if (!this.alive()) return 'done';
        if (this.idle()) continue;
        return 'stuck';
      }
      if (!this.exploring && !this.alive()) return 'done';
      const thread = oracle.pick(this, enabled);
      if (thread === null) return 'abandoned';
      if (thread.op.choices > 0) thread.reply = oracle.choose(this, thread, thread.op);
      this.#step(thread);
      oracle.stepped(this, thread);
      if (this.afterStep !== null) this.afterStep();
    }
    return 'limit';
  }

  /**
   * Runs a piece of work to its end with nobody else running: set-up, `finally` parts, unit tests.
   * @returns its value; a wait that nothing can end is our caller's mistake and asserts.
   */
  runAlone<T>(body: Steps<T>): T {
    enterSched(this);
    const exploring = this.exploring;
    this.exploring = false;
    try {
      let next = body.next(0);
      while (next.done !== true) {
        const op = next.value;
        if (op.ready !== null && !op.ready()) {
          assert(
            this.idle() || op.ready(),
            () => `${op.name} waits for ever: ${op.awaits ?? 'a lock'}`,
          );
        }
        next = body.next(0);
      }
      return next.value;
    } finally {
      this.exploring = exploring;
    }
  }

  /** Whether a thread that is no daemon has yet to end. */
  alive(): boolean {
    for (const thread of this.live) if (!thread.daemon) return true;
    return false;
  }

  /** Threads that wait and what for: the hang report. */
  waiting(): readonly Thread[] {
    return this.live.filter((t) => t.op.ready !== null && !t.op.ready());
  }

  /** Posts a signal to a thread, or takes it away: sleeps that signals end see it. */
  signal(thread: Thread, state: SignalState): void {
    this.touch(this.signalCell(thread), WRITE);
    thread.signal = state;
  }

  signalCell(thread: Thread): Cell {
    return cellOf(CELL_SPAWN, thread.id + 1);
  }

  /** The cell that ending of the thread writes, for joins. */
  threadCell(thread: Thread): Cell {
    return cellOf(CELL_THREAD, thread.id);
  }

  #collect(enabled: Thread[]): void {
    let count = 0;
    for (const thread of this.live) {
      const { ready } = thread.op;
      if (ready === null || ready()) enabled[count++] = thread;
    }
    if (enabled.length > count) enabled.length = count;
  }

  #step(thread: Thread): void {
    const { op } = thread;
    this.running = thread;
    // Popping keeps the array's memory, setting its length does not.
    while (this.footprint.length > 0) this.footprint.pop();
    if (this.notes.length > 0) this.notes = [];
    const next = thread.resume();
    if (next.done === true) {
      thread.done = true;
      this.live.splice(this.live.indexOf(thread), 1);
      if (thread.held.length > 0) {
        assert(false, () => `${thread.name} ended holding ${at(thread.held, 0).name}`);
      }
      if (thread.atomic > 0) assert(false, () => `${thread.name} ended inside an atomic section`);
      this.touch(this.threadCell(thread), WRITE);
    } else {
      thread.op = next.value;
    }
    thread.steps++;
    this.steps++;
    this.running = null;
    if (this.trace !== null) {
      this.trace.push({
        thread: thread.id,
        op,
        footprint: [...this.footprint],
        notes: this.notes,
      });
    }
  }
}

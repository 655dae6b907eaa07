import { must } from '../base/assert.ts';
import type { Lock } from './lock.ts';
import type { Op, Steps } from './op.ts';

const START: Op = { name: 'start', cell: null, ready: null, awaits: null, choices: 0 };

/** No signal, one that a handler may take, one that kills. */
export type SignalState = 'none' | 'pending' | 'fatal';

/** A strand of execution: a guest thread, a litmus thread, a background actor. The kernel's Task has one. */
export class Thread {
  /** Dense, in order of spawning. */
  readonly id: number;
  readonly name: string;
  /** A daemon may wait for ever; any other thread that does is a hang. */
  readonly daemon: boolean;
  /** The thread that spawned it and how many steps that one had taken, for happens-before; -1 for the first ones. */
  readonly parent: number;
  readonly parentSteps: number;
  /** What it will do next. */
  op: Op = START;
  /** Answer to a `choose`, handed in when the thread is resumed. */
  reply = 0;
  done = false;
  steps = 0;
  /** Set by `Sched.signal`, so that the explorer sees it. */
  signal: SignalState = 'none';
  /** Locks held, in order of acquisition. Only this thread and a hand-over touch it. */
  readonly held: Lock[] = [];
  /** The ranks of their classes, ascending, and how many of each are held. */
  readonly heldRanks: number[] = [];
  readonly heldCounts: number[] = [];
  /** Spinlocks held plus RCU read sections open: while > 0 the thread must not block. */
  atomic = 0;
  rcuReaders = 0;
  /** Counts cells this thread has made, so that ids do not depend on what other threads do (decision 3). */
  cellsMade = 0;
  /** What it does. Null: nothing yet, and `begin` makes it. */
  body: Steps<unknown> | null;
  readonly begin: (() => Steps<unknown>) | null;

  constructor(
    id: number,
    name: string,
    daemon: boolean,
    parent: number,
    parentSteps: number,
    body: Steps<unknown> | (() => Steps<unknown>),
  ) {
    this.id = id;
    this.name = name;
    this.daemon = daemon;
    this.parent = parent;
    this.parentSteps = parentSteps;
    this.begin = typeof body === 'function' ? body : null;
    this.body = typeof body === 'function' ? null : body;
  }

  /** Lets it go on, from its beginning when it has not begun. */
  resume(): IteratorResult<Op, unknown> {
    this.body ??= must(this.begin, 'body')();
    return this.body.next(this.reply);
  }
}

/**
 * Locks as data: who holds them, and acquisition as an announced step. Release only enables others, so it is a plain
 * function and belongs to the step that does it. Order, recursion and sleeping-in-atomic are checked on every
 * acquisition (lockdep.ts).
 */
import { assert, at } from '../base/assert.ts';
import { announce } from './access.ts';
import {
  type Cell,
  entryOf,
  LOCK_R,
  LOCK_W,
  PASS,
  TRY_R,
  TRY_W,
  UNLOCK_R,
  UNLOCK_W,
} from './cell.ts';
import { sched } from './current.ts';
import { checkAcquire, checkMaySleep } from './lockdep.ts';
import type { Op, Steps } from './op.ts';
import type { Thread } from './thread.ts';

/** A family of locks with one place in the order of docs/locking.md. */
export interface LockClass {
  readonly name: string;
  /** Outer locks have smaller ranks; no two classes have the same. */
  readonly rank: number;
  /** Whether two of the class may be held at once (page-table locks in address order, anon_vma chains). */
  readonly nests: boolean;
  readonly spins: boolean;
  /** The cell class of its cells. */
  readonly cellClass: number;
}

export class Lock {
  readonly cls: LockClass;
  readonly cell: Cell;
  /** For reports: `mmap_lock of mm 1`. */
  readonly name: string;
  writer: Thread | null = null;
  /** Held by code outside any thread (set-up). */
  held = false;
  readers = 0;
  /** Step and footprint position of the last exclusive acquisition, to tell a PASS from a LOCK_W. */
  acquiredStep = -1;
  acquiredAt = 0;

  /** @param cell of a lock whose identity is known beforehand: a folio's; by default a new one */
  constructor(cls: LockClass, name: string, cell: Cell | null = null) {
    this.cls = cls;
    this.name = name;
    this.cell = cell ?? sched.newCell(cls.cellClass);
  }

  get free(): boolean {
    return !this.held && this.readers === 0;
  }
}

/** Takes a spinlock or mutex, or an rwsem for writing. Blocks until free. */
export function* lock(l: Lock): Steps<void> {
  if (!lockNow(l)) yield* lockLater(l);
}

/**
 * The first half of `lock`, for hot paths: `if (!lockNow(l)) yield* lockLater(l);` makes no generator where the lock is
 * free and nobody wants to come between. @returns whether it was taken
 */
export function lockNow(l: Lock): boolean {
  if (!l.cls.spins) checkMaySleep(l.name);
  if (sched.wants() || !l.free) return false;
  take(l);
  return true;
}

/** The second half of `lock`: lets others run, and takes the lock when it is free. */
export function* lockLater(l: Lock): Steps<void> {
  yield acquireOp(l, () => l.free);
  take(l);
}

/** Takes an rwsem for reading. */
export function* lockRead(l: Lock): Steps<void> {
  checkMaySleep(l.name);
  if (sched.wants() || l.held) yield acquireOp(l, () => !l.held);
  takeRead(l);
}

/** Takes the lock if it is free now. Announced as a step, since the answer depends on who was first. */
export function* tryLock(l: Lock): Steps<boolean> {
  if (sched.wants()) yield { name: 'trylock', cell: l.cell, ready: null, awaits: null, choices: 0 };
  sched.touch(l.cell, TRY_W);
  if (!l.free) return false;
  take(l, true);
  return true;
}

/** The same inside the running step: for a trylock under a spinlock. */
export function tryTake(l: Lock): boolean {
  sched.touch(l.cell, TRY_W);
  if (!l.free) return false;
  take(l, true);
  return true;
}

export function* tryLockRead(l: Lock): Steps<boolean> {
  if (sched.wants()) yield* announce('trylock', l.cell);
  return tryTakeRead(l);
}

/** The same inside the running step: for a caller that has announced it. */
export function tryTakeRead(l: Lock): boolean {
  sched.touch(l.cell, TRY_R);
  if (l.held) return false;
  takeRead(l, true);
  return true;
}

/** Takes a lock that must be free, inside the running step: for locks only ever taken under another one. */
export function take(l: Lock, tried = false): void {
  assert(l.free, () => `${l.name} taken while held`);
  checkAcquire(l, tried);
  l.held = true;
  l.writer = sched.running;
  l.acquiredStep = sched.steps;
  l.acquiredAt = sched.footprint.length;
  sched.touch(l.cell, LOCK_W);
  own(l);
}

export function takeRead(l: Lock, tried = false): void {
  assert(!l.held, () => `${l.name} read-taken while write-held`);
  checkAcquire(l, tried);
  l.readers++;
  sched.touch(l.cell, LOCK_R);
  own(l);
}

export function unlock(l: Lock): void {
  assert(l.held, () => `${l.name} released while not held`);
  l.held = false;
  l.writer = null;
  disown(l);
  if (l.cls.spins && sched.exploring && l.acquiredStep === sched.steps && sched.running !== null) {
    sched.footprint[l.acquiredAt] = entryOf(l.cell, PASS);
  } else {
    sched.touch(l.cell, UNLOCK_W);
  }
}

/** Releases many mutexes or rwsems held for writing, the last one first, without looking for each among the others. */
export function unlockAll(locks: readonly Lock[]): void {
  const thread = sched.running;
  for (const l of [...locks].reverse()) {
    assert(l.writer === thread && !l.cls.spins, () => `${l.name} released with others`);
    l.held = false;
    l.writer = null;
    if (thread !== null) uncountRank(thread, l.cls.rank);
    sched.touch(l.cell, UNLOCK_W);
  }
  if (thread === null) return;
  const gone = new Set(locks);
  const rest = thread.held.filter((l) => !gone.has(l));
  thread.held.length = 0;
  for (const l of rest) thread.held.push(l);
}

export function unlockRead(l: Lock): void {
  assert(l.readers > 0, () => `${l.name} read-released while not held`);
  l.readers--;
  disown(l);
  sched.touch(l.cell, UNLOCK_R);
}

/** Turns a write hold into a read hold without letting a writer in between. @linux downgrade_write */
export function downgrade(l: Lock): void {
  assert(l.held, () => `${l.name} downgraded while not held`);
  l.held = false;
  l.writer = null;
  l.readers = 1;
  sched.touch(l.cell, UNLOCK_W);
  sched.touch(l.cell, LOCK_R);
}

/** Asserts that the running thread may rely on the lock. */
export function assertHeld(l: Lock): void {
  const { running } = sched;
  if (running === null) return;
  assert(running.held.includes(l), () => `${l.name} must be held by ${running.name}`);
}

/** Asserts that the running thread holds the lock exclusively. */
export function assertHeldWrite(l: Lock): void {
  const { running } = sched;
  if (running === null) return;
  assert(l.writer === running, () => `${l.name} must be write-held by ${running.name}`);
}

function acquireOp(l: Lock, ready: () => boolean): Op {
  return { name: 'lock', cell: l.cell, ready, awaits: null, choices: 0 };
}

function own(l: Lock): void {
  const thread = sched.running;
  if (thread === null) return;
  thread.held.push(l);
  countRank(thread, l.cls.rank);
  if (l.cls.spins) thread.atomic++;
}

function disown(l: Lock): void {
  const thread = sched.running;
  if (thread === null) return;
  const index = thread.held.lastIndexOf(l);
  assert(index >= 0, () => `${l.name} released by ${thread.name}, which does not hold it`);
  if (index === thread.held.length - 1) thread.held.pop();
  else thread.held.splice(index, 1);
  uncountRank(thread, l.cls.rank);
  if (l.cls.spins) thread.atomic--;
}

function countRank({ heldRanks, heldCounts }: Thread, rank: number): void {
  let i = heldRanks.length;
  while (i > 0 && at(heldRanks, i - 1) > rank) i--;
  if (i > 0 && heldRanks[i - 1] === rank) {
    heldCounts[i - 1] = at(heldCounts, i - 1) + 1;
  } else if (i === heldRanks.length) {
    heldRanks.push(rank);
    heldCounts.push(1);
  } else {
    heldRanks.splice(i, 0, rank);
    heldCounts.splice(i, 0, 1);
  }
}

function uncountRank({ heldRanks, heldCounts }: Thread, rank: number): void {
  const i = heldRanks.lastIndexOf(rank);
  const left = at(heldCounts, i) - 1;
  if (left > 0) {
    heldCounts[i] = left;
  } else if (i === heldRanks.length - 1) {
    heldRanks.pop();
    heldCounts.pop();
  } else {
    heldRanks.splice(i, 1);
    heldCounts.splice(i, 1);
  }
}

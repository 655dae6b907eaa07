/**
 * Footprints as integers: cells are numbered as they are met, an access is `cell number * 16 + kind`, and tables answer
 * what kinds of access do to each other.
 */
import { FaultlineBug } from '../base/assert.ts';
import {
  cellClass,
  entryCell,
  KINDS,
  LOCK_R,
  LOCK_W,
  ORDERED_AFTER,
  PASS,
  RACES_WITH,
  TRY_R,
  TRY_W,
} from '../sched/cell.ts';
import { CELL_THREAD } from '../sched/sched.ts';

export const KIND_BITS = 4;
export const KIND_MASK = (1 << KIND_BITS) - 1;
/** Kinds that take a lock. */
export const LOCK_KINDS = (1 << LOCK_R) | (1 << LOCK_W) | (1 << PASS);
/** Kinds that leave the cell to nobody else: an acquisition after one of these could have come before it. */
export const EXCLUSIVE = (1 << LOCK_W) | (1 << PASS);

/** In place of the scheduler's entry: an access that the step made in another order, not in this one. */
export const SUPPOSED = -1;

/** Per kind: the kinds it races with, and the earlier kinds that it comes after. */
export const RACES: Int32Array = Int32Array.from(
  { length: KINDS },
  (_, kind) => RACES_WITH[kind] ?? 0,
);
export const ORDERED: Int32Array = Int32Array.from(
  { length: KINDS },
  (_, kind) => ORDERED_AFTER[kind] ?? 0,
);

/** What an access is taken for that happened in another order only: a look, where it would have taken a lock. */
export const SUPPOSED_KIND: Int32Array = Int32Array.from({ length: KINDS }, (_, kind) => {
  if (kind === LOCK_W || kind === PASS) return TRY_W;
  if (kind === LOCK_R) return TRY_R;
  return kind;
});

/** Whether an entry of the scheduler is the end of a thread. */
export function isEnd(raw: number): boolean {
  return cellClass(entryCell(raw)) === CELL_THREAD;
}

/** Whether two footprints, as ranges of interned accesses, hold a race. */
export function independent(
  a: Int32Array,
  aFrom: number,
  aTo: number,
  b: Int32Array,
  bFrom: number,
  bTo: number,
): boolean {
  for (let i = aFrom; i < aTo; i++) {
    const x = int(a, i);
    for (let j = bFrom; j < bTo; j++) {
      const y = int(b, j);
      if ((x ^ y) >> KIND_BITS !== 0) continue;
      if ((int(RACES, x & KIND_MASK) & (1 << (y & KIND_MASK))) !== 0) return false;
    }
  }
  return true;
}

/** Reads a typed array at an index that must be inside. */
export function int(from: Int32Array, index: number): number {
  const value = from[index];
  if (value === undefined) throw new FaultlineBug(`BUG: index ${index} of ${from.length}`);
  return value;
}

/** A longer copy. */
export function grown(old: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const bigger = new Int32Array(Math.max(length, old.length * 2));
  bigger.set(old);
  return bigger;
}

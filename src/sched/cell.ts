/**
 * Cells and the ways a step can touch them: everything partial-order reduction knows about the kernel.
 *
 * A cell is a shared word as the explorer sees it: a PTE, a TLB entry, a lock, a wait flag. It is a small integer,
 * `index * 64 + class`, whose meaning belongs to the layer that made it; `CELL_CLASSES` there gives the names.
 * A footprint entry packs a cell and a kind: `cell * 16 + kind`.
 */
import type { Brand } from '../base/brand.ts';

export type Cell = Brand<number, 'Cell'>;
export type Kind = Brand<number, 'Kind'>;

/** The value was looked at. */
export const READ = 0 as Kind;
/** The value was replaced. */
export const WRITE = 1 as Kind;
/** A commuting update whose result nobody looked at (refcount, statistics): commutes with itself. */
export const ADD = 2 as Kind;
/** Acquired shared, held beyond the step that acquired it. */
export const LOCK_R = 3 as Kind;
/** Acquired exclusively, held beyond the step that acquired it. */
export const LOCK_W = 4 as Kind;
/** Released. Orders later acquisitions behind it, but is never one side of a race with them: they were not enabled. */
export const UNLOCK_R = 5 as Kind;
export const UNLOCK_W = 6 as Kind;
/** A spinlock taken and released within one step: two of these commute, what they guarded speaks for itself. */
export const PASS = 7 as Kind;
/** A trylock looked at the lock (whether it got it is recorded besides, as LOCK_R or LOCK_W). */
export const TRY_R = 8 as Kind;
export const TRY_W = 9 as Kind;

export const KINDS = 10;
export const CELL_CLASS_LIMIT = 64;

/** Builds a cell. @param cls below CELL_CLASS_LIMIT @param index identifies the word within its class */
export function cellOf(cls: number, index: number): Cell {
  return (index * CELL_CLASS_LIMIT + cls) as Cell;
}
export function cellClass(cell: Cell): number {
  return cell % CELL_CLASS_LIMIT;
}
export function cellIndex(cell: Cell): number {
  return Math.floor(cell / CELL_CLASS_LIMIT);
}

export function entryOf(cell: Cell, kind: Kind): number {
  return cell * 16 + kind;
}
export function entryCell(entry: number): Cell {
  return Math.floor(entry / 16) as Cell;
}
export function entryKind(entry: number): Kind {
  return (entry % 16) as Kind;
}

const races: readonly (readonly [Kind, Kind])[] = [
  [READ, WRITE],
  [READ, ADD],
  [WRITE, WRITE],
  [WRITE, ADD],
  [LOCK_R, LOCK_W],
  [LOCK_R, PASS],
  [LOCK_W, LOCK_W],
  [LOCK_W, PASS],
  [TRY_R, LOCK_W],
  [TRY_R, UNLOCK_W],
  [TRY_W, LOCK_R],
  [TRY_W, LOCK_W],
  [TRY_W, UNLOCK_R],
  [TRY_W, UNLOCK_W],
];

/** For each kind, a bit mask of the kinds it races with on the same cell (both orders possible and different). */
export const RACES_WITH: readonly number[] = maskTable(races);

/** For each kind, a bit mask of *earlier* kinds on the same cell that must stay before it: races and lock hand-over. */
export const ORDERED_AFTER: readonly number[] = maskTable(races, [
  [UNLOCK_W, LOCK_R],
  [UNLOCK_W, LOCK_W],
  [UNLOCK_R, LOCK_W],
  [UNLOCK_R, PASS],
  [UNLOCK_W, PASS],
]);

function maskTable(
  symmetric: readonly (readonly [Kind, Kind])[],
  directed: readonly (readonly [Kind, Kind])[] = [],
): readonly number[] {
  const table: number[] = new Array<number>(KINDS).fill(0);
  const add = (later: Kind, earlier: Kind): void => {
    table[later] = (table[later] ?? 0) | (1 << earlier);
  };
  for (const [a, b] of symmetric) {
    add(a, b);
    add(b, a);
  }
  for (const [earlier, later] of directed) add(later, earlier);
  return table;
}

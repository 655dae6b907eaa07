/** Cell classes of the machine (sched/cell.ts has 0 and 1; the kernel's begin at 10). */
import { type Cell, cellOf } from '../sched/cell.ts';

/** A page-table word, by slot number; PMD words too. */
export const CELL_PTE = 2;
/** What one hart's TLB says of one page. */
export const CELL_TLB = 3;
/** The bytes of a frame. */
export const CELL_CONTENT = 4;
/** A frame's reference count. */
export const CELL_REFCOUNT = 5;
/** A frame's flags, mapping and index: AnonExclusive, rmap identity. */
export const CELL_FOLIO = 6;
/** The number of mappings of a frame. */
export const CELL_MAPCOUNT = 7;

/** How many frames are free; only where memory was made short. */
export const CELL_FREE = 45;
/** Allocations that fail by injection. */
export const CELL_SHORTAGE = 9;

/** Harts a World may have in litmus; TLB cells interleave them. */
const MAX_HARTS = 16;

export function freeCell(): Cell {
  return cellOf(CELL_FREE, 0);
}
export function pteCell(slot: number): Cell {
  return cellOf(CELL_PTE, slot);
}
export function tlbCell(hart: number, vpn: number): Cell {
  return cellOf(CELL_TLB, vpn * MAX_HARTS + hart);
}
export function contentCell(pfn: number): Cell {
  return cellOf(CELL_CONTENT, pfn);
}
export function refcountCell(pfn: number): Cell {
  return cellOf(CELL_REFCOUNT, pfn);
}
export function folioCell(pfn: number): Cell {
  return cellOf(CELL_FOLIO, pfn);
}
export function mapcountCell(pfn: number): Cell {
  return cellOf(CELL_MAPCOUNT, pfn);
}

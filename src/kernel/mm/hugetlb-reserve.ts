/**
 * Promises of huge pages: which pages of a file or of a private mapping have one, so that a fault later finds a page.
 *
 * A file's map holds the pages that are promised or were brought by a fault: all shared mappings share it. A private
 * mapping that was made with a promise for all its pages (its owner; a forked child is none) has a map of those that
 * it has used up.
 *
 * @linux mm/hugetlb.c region_chg, region_add, region_del, hugetlb_reserve_pages, vma_needs_reservation
 */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { type Cell, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { CELL_HUGETLB } from '../cells.ts';
import type { Inode } from '../fs/inode.ts';
import { type Hstate, hugetlbAcctMemory } from './hugetlb.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { linearPageIndex } from './rmap.ts';
import { has, VM_MAYSHARE, VM_NORESERVE } from './vm-flags.ts';

/** A set of pages of a file, by their index in pages of the machine. @linux include/linux/hugetlb.h struct resv_map */
export class ResvMap {
  private readonly pages: Set<number> = new Set();
  readonly cell: Cell = sched.newCell(CELL_HUGETLB);
  /** VMAs that use the map of a private mapping, which splitting it makes more. */
  users = 1;

  has(index: number): boolean {
    sched.touch(this.cell, READ);
    return this.pages.has(index);
  }
  add(index: number): void {
    sched.touch(this.cell, WRITE);
    this.pages.add(index);
  }
  delete(index: number): void {
    sched.touch(this.cell, WRITE);
    this.pages.delete(index);
  }
  /** How many pages of [first, end) it has. */
  count(first: number, end: number): number {
    sched.touch(this.cell, READ);
    let found = 0;
    for (const index of this.pages) if (index >= first && index < end) found++;
    return found;
  }
  /** Takes the pages of [first, end) out. @returns how many there were */
  deleteRange(first: number, end: number): number {
    sched.touch(this.cell, WRITE);
    let found = 0;
    for (const index of [...this.pages]) {
      if (index < first || index >= end) continue;
      this.pages.delete(index);
      found++;
    }
    return found;
  }
  /** For checks: touches nothing. */
  peek(): ReadonlySet<number> {
    return this.pages;
  }
}

/** The map of a hugetlb file. */
export function inodeResvMap(inode: Inode): ResvMap {
  inode.resv ??= new ResvMap();
  return inode.resv;
}

/**
 * Promises pages [first, end) of a file to a shared mapping, or as many to the owner of a private one.
 * @returns whether the pool could
 * Requires: mmap_lock for writing, or the inode lock. @linux mm/hugetlb.c hugetlb_reserve_pages
 */
export function hugetlbReservePages(
  h: Hstate,
  map: ResvMap,
  first: number,
  end: number,
  shared: boolean,
): boolean {
  const wanted: number[] = [];
  for (let index = first; index < end; index += h.pages) {
    if (!(shared && map.has(index))) wanted.push(index);
  }
  if (!hugetlbAcctMemory(h, wanted.length)) return false;
  if (shared) for (const index of wanted) map.add(index);
  return true;
}

/**
 * A file loses pages from `first` on: takes their promises back, but for those that pages were freed of.
 * @linux mm/hugetlb.c hugetlb_unreserve_pages
 */
export function hugetlbUnreservePages(
  inode: Inode,
  first: number,
  end: number,
  freed: number,
): void {
  const { hstate, resv } = inode;
  if (hstate === null || resv === null) return;
  hugetlbAcctMemory(hstate, -(resv.deleteRange(first, end) - freed));
}

/**
 * Whether a page that a fault brings now has no promise: it must come from pages that are promised to nobody.
 * @linux mm/hugetlb.c vma_needs_reservation
 */
export function vmaNeedsReservation(vma: Vma, address: Vaddr): boolean {
  const index = linearPageIndex(vma, address);
  const inode = vma.file?.inode ?? null;
  if (has(vma.flags, VM_MAYSHARE)) return inode === null || !inodeResvMap(inode).has(index);
  const owned = vma.hugetlb?.resv ?? null;
  return owned === null || owned.has(index);
}

/** A page has come: its promise is used up. @linux vma_commit_reservation */
export function vmaCommitReservation(vma: Vma, address: Vaddr): void {
  const index = linearPageIndex(vma, address);
  const inode = vma.file?.inode ?? null;
  if (has(vma.flags, VM_MAYSHARE)) {
    if (inode !== null) inodeResvMap(inode).add(index);
  } else vma.hugetlb?.resv?.add(index);
}

/** The page of a private mapping goes, and its promise is as good as new. @linux vma_add_reservation */
export function vmaAddReservation(vma: Vma, address: Vaddr): void {
  const index = linearPageIndex(vma, address);
  if (!has(vma.flags, VM_MAYSHARE)) vma.hugetlb?.resv?.delete(index);
}

/** What a private mapping was promised and has not used. */
export function unusedReservation(vma: Vma, h: Hstate): number {
  const resv = vma.hugetlb?.resv ?? null;
  if (resv === null) return 0;
  const pages = (vma.end - vma.start) / PAGE_SIZE;
  return pages / h.pages - resv.count(vma.pgoff, vma.pgoff + pages);
}

/** Whether a mapping is made without a promise. */
export function withoutReserve(vma: Vma): boolean {
  return has(vma.flags, VM_NORESERVE);
}

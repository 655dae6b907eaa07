/**
 * Pools of huge pages: how many there are, how many are free, and how many of those are promised to somebody.
 *
 *   nr = free + in use;   promised (resv) <= free;   surplus: those of nr that go back to the system as they become free
 *
 * @linux mm/hugetlb.c struct hstate; Documentation/admin-guide/mm/hugetlbpage.rst
 */
import { assert } from '../../base/assert.ts';
import { contentCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { type Cell, cellOf, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { CELL_HUGETLB } from '../cells.ts';
import { world } from '../current.ts';

/** Folio flags: of a pool; and taken on a promise that comes back should it be given back unused. */
export const PG_HUGETLB: number = 1 << 20;
export const PG_RESTORE_RESERVE: number = 1 << 21;
/** Whether a frame is part of a page of a pool. Touches no cell. */
export function isHugetlb(pfn: Pfn): boolean {
  const { frames } = machine;
  return ((frames.flags[frames.head(pfn)] ?? 0) & PG_HUGETLB) !== 0;
}
/** Cells of pools are above those of promises and locks. */
const POOL_CELLS = 2 ** 40;

/** One size of huge pages. @linux include/linux/hugetlb.h struct hstate */
export class Hstate {
  /** Bytes of one page. */
  readonly size: number;
  /** Base pages of one page. */
  readonly pages: number;
  readonly order: number;
  /** Stands for all counts and the free list. @linux hugetlb_lock */
  readonly cell: Cell;
  readonly free: Pfn[] = [];
  nr = 0;
  /**
   * Promised to somebody. Below 0 for a while when an owner unmaps what a child still has: the promise goes back with the
   * mapping, and once more it is counted when the child's page comes free (measured on 6.18.44).
   */
  resv = 0;
  surplus = 0;
  /** How many surplus pages there may be. @linux nr_overcommit_huge_pages */
  overcommit = 0;

  constructor(pages: number) {
    this.pages = pages;
    this.size = pages * PAGE_SIZE;
    this.order = Math.log2(pages);
    this.cell = cellOf(CELL_HUGETLB, POOL_CELLS + pages);
  }

  /** Of a PMD entry; larger ones would need entries one level higher. */
  get isPmdSized(): boolean {
    return this.pages === machine.geometry.ptrsPerPte;
  }

  /** Pages that no promise binds. */
  get available(): number {
    return this.free.length - this.resv;
  }
}

/** The sizes there are, the default one first. */
export function hstates(): readonly Hstate[] {
  if (world.hstates === null) {
    const { ptrsPerPte, ptrsPerPmd } = machine.geometry;
    world.hstates = [new Hstate(ptrsPerPte), new Hstate(ptrsPerPte * ptrsPerPmd)];
    machine.frames.keeps = freeHugeFolio;
  }
  return world.hstates;
}

/** @linux default_hstate */
export function defaultHstate(): Hstate {
  const [first] = hstates();
  assert(first !== undefined, 'no size of huge pages');
  return first;
}

/**
 * The size that a flag word of memfd_create, mmap or shmget names.
 * @param log log2 of the bytes; 0: the default
 * @returns null when there is no such size. @linux hstate_sizelog
 */
export function hstateSizelog(log: number): Hstate | null {
  if (log === 0) return defaultHstate();
  return hstates().find(({ size }) => size === 2 ** log) ?? null;
}

/**
 * Promises `delta` more pages (negative: takes promises back), with surplus pages where the pool is too small.
 * @returns whether it could. @linux mm/hugetlb.c hugetlb_acct_memory
 */
export function hugetlbAcctMemory(h: Hstate, delta: number): boolean {
  if (delta === 0) return true;
  sched.touch(h.cell, WRITE);
  if (delta > 0 && !gatherSurplusPages(h, delta)) return false;
  h.resv += delta;
  // What is surplus and free now is not needed.
  for (let unused = -delta; unused > 0 && h.surplus > 0 && h.free.length > 0; unused--) {
    removeFree(h, true);
  }
  return true;
}

/** Makes surplus pages until `delta` are free of promises. @linux mm/hugetlb.c gather_surplus_pages */
function gatherSurplusPages(h: Hstate, delta: number): boolean {
  const made: Pfn[] = [];
  for (let needed = delta - h.available; needed > 0; needed--) {
    const pfn = h.surplus < h.overcommit ? allocFreshHugetlbFolio(h) : 0;
    if (pfn === 0) {
      for (const page of made) freeToSystem(h, page, true);
      return false;
    }
    h.surplus++;
    made.push(pfn);
  }
  h.free.push(...made);
  return true;
}

/**
 * A page from the system that counts to the pool, on no list yet; 0: there is none.
 *
 * Differs from Linux: pages of 1 GiB, of which the tables here have no entry, are never to be had.
 * @linux alloc_fresh_hugetlb_folio
 */
function allocFreshHugetlbFolio(h: Hstate): Pfn | 0 {
  if (!h.isPmdSized) return 0;
  const pfn = machine.frames.allocFolio(world.owner(), h.order);
  if (pfn === 0) return 0;
  machine.frames.setFlag(pfn, PG_HUGETLB);
  h.nr++;
  return pfn;
}

/** A page that nobody has leaves the pool for good. @linux remove_hugetlb_folio, update_and_free_hugetlb_folio */
function freeToSystem(h: Hstate, pfn: Pfn, surplus: boolean): void {
  h.nr--;
  if (surplus) h.surplus--;
  machine.frames.clearFlag(pfn, PG_HUGETLB);
  machine.frames.put(pfn, world.owner());
}

/**
 * The last reference to a large folio has gone: one of a pool goes back to it, with its promise if it still has one,
 * unless the pool has more than it should.
 * @returns false when it is free for all. @linux mm/hugetlb.c free_huge_folio
 */
function freeHugeFolio(head: Pfn): boolean {
  const { frames } = machine;
  if (!frames.hasFlag(head, PG_HUGETLB)) return false;
  const h = hstates().find(({ order }) => order === frames.order(head));
  assert(h !== undefined && frames.mapcount(head) === 0, `huge page ${head} freed while mapped`);
  sched.touch(h.cell, WRITE);
  if (frames.hasFlag(head, PG_RESTORE_RESERVE)) h.resv++;
  if (h.surplus > 0) {
    h.nr--;
    h.surplus--;
    frames.clearFlag(head, PG_HUGETLB);
    return false;
  }
  frames.flags[head] = PG_HUGETLB;
  frames.mapping[head] = 0;
  for (let i = 0; i < h.pages; i++) {
    const pfn = (head + i) as Pfn;
    sched.touch(contentCell(pfn), WRITE);
    frames.onReuse?.(pfn);
  }
  h.free.push(head);
  return true;
}

/**
 * A page out of the pool, or a surplus page, with one reference.
 * @param promised the taker has been promised one: it comes out of those that are
 * @returns 0 when there is none. @linux dequeue_hugetlb_folio_vma, alloc_buddy_hugetlb_folio_with_mpol
 */
export function dequeueHugetlbFolio(h: Hstate, promised: boolean): Pfn | 0 {
  sched.touch(h.cell, WRITE);
  const pfn = promised || h.available > 0 ? (h.free.pop() ?? allocSurplus(h)) : allocSurplus(h);
  if (pfn === 0) return 0;
  if (promised) {
    h.resv--;
    machine.frames.setFlag(pfn, PG_RESTORE_RESERVE);
  }
  return pfn;
}

function allocSurplus(h: Hstate): Pfn | 0 {
  const pfn = h.surplus < h.overcommit ? allocFreshHugetlbFolio(h) : 0;
  if (pfn !== 0) h.surplus++;
  return pfn;
}

/** A page for a moment, which counts to no pool: the data of a copy that had to be faulted in. @linux alloc_hugetlb_folio_vma */
export function allocTemporaryFolio(h: Hstate): Pfn | 0 {
  return machine.frames.allocFolio(world.owner(), h.order);
}

/** One free page leaves the pool. */
function removeFree(h: Hstate, surplus: boolean): void {
  const pfn = h.free.pop();
  assert(pfn !== undefined, 'a pool of huge pages is empty and should not be');
  freeToSystem(h, pfn, surplus);
}

/**
 * Makes the pool as large as asked, as far as there is memory. Pages in use or promised stay, and are surplus then.
 * @linux mm/hugetlb.c set_max_huge_pages
 */
export function setMaxHugePages(h: Hstate, count: number): void {
  sched.touch(h.cell, WRITE);
  const persistent = (): number => h.nr - h.surplus;
  while (h.surplus > 0 && count > persistent()) h.surplus--;
  while (count > persistent()) {
    const pfn = allocFreshHugetlbFolio(h);
    if (pfn === 0) break;
    h.free.push(pfn);
  }
  const least = Math.max(count, h.resv + h.nr - h.free.length);
  while (least < persistent() && h.free.length > 0) removeFree(h, false);
  while (count < persistent()) h.surplus++;
}

/** @linux nr_overcommit_hugepages */
export function setOvercommitHugePages(h: Hstate, count: number): void {
  sched.touch(h.cell, WRITE);
  h.overcommit = count;
}

/** The files of a pool under /sys/kernel/mm/hugepages, and what they say. @linux mm/hugetlb_sysfs.c */
export const POOL_COUNTS: Readonly<Record<string, (h: Hstate) => number>> = {
  free_hugepages: (h) => h.free.length,
  nr_hugepages: (h) => h.nr,
  nr_hugepages_mempolicy: (h) => h.nr,
  nr_overcommit_hugepages: (h) => h.overcommit,
  resv_hugepages: (h) => h.resv,
  surplus_hugepages: (h) => h.surplus,
};

/** A count as a file shows it. */
export function poolCount(h: Hstate, name: string): number {
  sched.touch(h.cell, READ);
  return POOL_COUNTS[name]?.(h) ?? 0;
}

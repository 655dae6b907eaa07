/**
 * Entries of hugetlb mappings. They lie where PMD entries do; a table of them that covers only one shared file mapping may
 * belong to several address spaces at once, until one of them needs it to be its own.
 * @linux mm/hugetlb.c huge_pte_alloc, huge_pmd_share, huge_pmd_unshare
 */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { mkTable, PTE_NONE, pteIsTable, pteTable } from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { type Cell, cellOf, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { assertHeldWrite, lock, lockRead, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { CELL_HUGETLB } from '../cells.ts';
import { world } from '../current.ts';
import { type Seam, seam } from '../seam.ts';
import { hugetlbMapping, isVmHugetlb } from './hugetlb-vma.ts';
import { walkersHaveLeft } from './lockless-walk.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { allocPmd, allocPud, pmdSlot, ptLockOf, pudSize, pudSlot } from './pgtable.ts';
import { flushNow } from './tlb.ts';
import {
  has,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYSHARE,
  VM_UFFD_MINOR,
  VM_UFFD_WP,
  type VmFlags,
} from './vm-flags.ts';

const TABLE_CELLS = 2 ** 39;
const LOCKED_MASK = VM_LOCKED | VM_LOCKONFAULT;

/** Stands for how many address spaces share a table. */
function sharersCell(table: number): Cell {
  return cellOf(CELL_HUGETLB, TABLE_CELLS + table);
}

/** Address spaces that use a table of PMDs besides one. @linux ptdesc_pmd_pts_count */
export function pmdSharers(table: number): number {
  sched.touch(sharersCell(table), READ);
  return world.pmdSharers?.get(table) ?? 0;
}

/** Whether the table of a slot belongs to several address spaces. @linux hugetlb_pmd_shared */
export function isPmdShared(slot: number): boolean {
  return pmdSharers(Math.floor(slot / machine.tables.granule)) > 0;
}

function addPmdSharer(table: number, delta: 1 | -1): void {
  sched.touch(sharersCell(table), WRITE);
  world.pmdSharers ??= new Map();
  const count = (world.pmdSharers.get(table) ?? 0) + delta;
  assert(count >= 0, () => `table ${table} is shared by fewer than nobody`);
  if (count === 0) world.pmdSharers.delete(table);
  else world.pmdSharers.set(table, count);
}

/** The slot of a huge page, or -1 when there is no table. @linux hugetlb_walk */
export function hugePteOffset(mm: Mm, address: Vaddr): number {
  return pmdSlot(mm, address);
}

/**
 * Locks the table a huge page's entry lies in.
 * @returns the slot, whose page-table lock is the caller's to release; -1: there is no table
 * Requires: mmap_lock or the VMA lock. @linux huge_pte_lock
 */
export function* hugePteOffsetLock(mm: Mm, address: Vaddr): Steps<number> {
  for (;;) {
    const slot = hugePteOffset(mm, address);
    if (slot < 0) return -1;
    const ptl = ptLockOf(slot);
    yield* lock(ptl);
    // The table may have been given up meanwhile, and another one put in its place.
    if (hugePteOffset(mm, address) === slot) return slot;
    unlock(ptl);
  }
}

/**
 * Whether userfaultfd's registration forbids sharing: what it keeps in a table is one address space's own business.
 * 5.13 and later. @linux uffd_disable_huge_pmd_share
 */
export const uffdDisablesPmdShare: Seam<(vma: Vma) => boolean> = seam(
  'hugetlb.uffdDisablesPmdShare',
  (vma: Vma): boolean => has(vma.flags, (VM_UFFD_WP | VM_UFFD_MINOR) as VmFlags),
);

/** The span of a PMD table around an address, if all of it lies in the VMA and may be shared; else null. @linux want_pmd_share */
function shareableSpan(vma: Vma, address: Vaddr): Vaddr | null {
  if (!has(vma.flags, VM_MAYSHARE) || uffdDisablesPmdShare(vma)) return null;
  const start = Math.floor(address / pudSize()) * pudSize();
  return start >= vma.start && start + pudSize() <= vma.end ? start : null;
}

/**
 * The slot of a huge page, building tables as needed, or taking part in a table that another mapping of the same part of
 * the file has.
 * @returns the slot, or -1 when out of memory
 * Requires: mmap_lock or the VMA lock; the hugetlb lock of a shared VMA, for reading. @linux huge_pte_alloc
 */
export function* hugePteAlloc(vma: Vma, address: Vaddr): Steps<number> {
  const { mm } = vma;
  const found = pmdSlot(mm, address);
  if (found >= 0) return found;
  const span = shareableSpan(vma, address);
  if (span !== null) yield* hugePmdShare(vma, address, span);
  return allocPmd(mm, address);
}

/** @linux huge_pmd_share */
function* hugePmdShare(vma: Vma, address: Vaddr, span: Vaddr): Steps<void> {
  const mapping = hugetlbMapping(vma);
  yield* lockRead(mapping.iMmapLock);
  const index = vma.pgoff + (span - vma.start) / PAGE_SIZE;
  for (const other of mapping.iMmap) {
    const table = other === vma ? -1 : sharedTableOf(other, vma, index);
    if (table < 0) continue;
    // Nobody else builds here meanwhile: this is one step with the look at the slot.
    if (pmdSlot(vma.mm, address) < 0) linkTable(vma.mm, address, table);
    break;
  }
  unlockRead(mapping.iMmapLock);
}

/** The table that another VMA has for the same part of the file, or -1. @linux page_table_shareable */
function sharedTableOf(other: Vma, vma: Vma, index: number): number {
  const span = other.start + (index - other.pgoff) * PAGE_SIZE;
  if (span % pudSize() !== 0 || span < other.start || span + pudSize() > other.end) return -1;
  if (((other.flags ^ vma.flags) & ~LOCKED_MASK) !== 0 || !isVmHugetlb(other)) return -1;
  const pud = pudSlot(other.mm, span);
  const word = pud < 0 ? PTE_NONE : getPte(pud);
  return pteIsTable(word) ? pteTable(word) : -1;
}

function linkTable(mm: Mm, address: Vaddr, table: number): void {
  const pud = allocPud(mm, address);
  if (pud < 0) return;
  setPte(pud, mkTable(table));
  mm.tables++;
  addPmdSharer(table, 1);
}

/**
 * Gives up a table that others use too; what it holds comes back from the page cache.
 * @returns whether there was one: then the caller flushes the whole span
 * Requires: the hugetlb lock of the VMA and the i_mmap lock of its file, both for writing. @linux huge_pmd_unshare
 */
export function* hugePmdUnshare(vma: Vma, address: Vaddr): Steps<boolean> {
  const { mm } = vma;
  const pud = pudSlot(mm, address);
  const word = pud < 0 ? PTE_NONE : getPte(pud);
  if (!pteIsTable(word) || pmdSharers(pteTable(word)) === 0) return false;
  assertHeldWrite(hugetlbMapping(vma).iMmapLock);
  setPte(pud, PTE_NONE);
  // Only then may the others take the table for theirs alone.
  yield* walkersHaveLeft();
  addPmdSharer(pteTable(word), -1);
  mm.tables--;
  return true;
}

/** Takes TLB entries of a whole table's span away from those who run the mm. */
export function flushShared(mm: Mm, address: Vaddr): void {
  const start = Math.floor(address / pudSize()) * pudSize();
  flushNow(mm, start, start + pudSize());
}

/**
 * What of an address space may lose its entries when [start, end) does: where tables may be shared, all they cover.
 * @linux adjust_range_if_pmd_sharing_possible
 */
export function sharingRange(vma: Vma, start: Vaddr, end: Vaddr): readonly [Vaddr, Vaddr] {
  const span = pudSize();
  const low = Math.floor(start / span) * span;
  const high = Math.ceil(end / span) * span;
  if (!has(vma.flags, VM_MAYSHARE)) return [start, end];
  return [low >= vma.start ? low : start, high <= vma.end ? high : end];
}

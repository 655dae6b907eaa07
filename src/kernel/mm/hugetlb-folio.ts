/**
 * Pages of a pool on their way into files and mappings: taken with or without a promise, entered into the page cache and
 * the reverse mapping, given back. @linux mm/hugetlb.c alloc_hugetlb_folio, hugetlb_add_to_page_cache
 */
import { assert } from '../../base/assert.ts';
import { contentCell, folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON, PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import {
  mkPte,
  type Pfn,
  PTE_DIRTY,
  PTE_HUGE,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  withFlags,
} from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { ADD, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import { seam } from '../seam.ts';
import { type AddressSpace, PG_UPTODATE } from './address-space.ts';
import { dequeueHugetlbFolio, type Hstate, PG_RESTORE_RESERVE } from './hugetlb.ts';
import {
  inodeResvMap,
  vmaAddReservation,
  vmaCommitReservation,
  vmaNeedsReservation,
} from './hugetlb-reserve.ts';
import { hstateVma } from './hugetlb-vma.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { pageProt } from './page-prot.ts';
import { linearPageIndex } from './rmap.ts';
import { has, VM_MAYSHARE, VM_WRITE } from './vm-flags.ts';

/**
 * A page for an address: one that was promised to it, else one that is promised to nobody. Not zeroed.
 * @param cowFromOwner for a copy: what was promised is used up by the page that is there
 * @returns it with one reference, or 0
 * Requires: the fault mutex of the page. @linux mm/hugetlb.c alloc_hugetlb_folio
 */
export function* allocHugetlbFolio(vma: Vma, address: Vaddr, cowFromOwner = false): Steps<Pfn | 0> {
  const h = hstateVma(vma);
  if (sched.wants()) yield* access('take huge page', h.cell, WRITE);
  const needs = cowFromOwner || vmaNeedsReservation(vma, address);
  const pfn = dequeueHugetlbFolio(h, !needs);
  if (pfn !== 0 && !cowFromOwner) vmaCommitReservation(vma, address);
  return pfn;
}

/** A page for a file itself: fallocate. @linux hugetlbfs_fallocate */
export function* allocHugetlbFolioOfFile(h: Hstate, inode: Inode, index: number): Steps<Pfn | 0> {
  if (sched.wants()) yield* access('take huge page', h.cell, WRITE);
  const resv = inodeResvMap(inode);
  const pfn = dequeueHugetlbFolio(h, resv.has(index));
  if (pfn !== 0) resv.add(index);
  return pfn;
}

/**
 * A page that was taken and cannot be used: whoever was promised it is promised it again, before it is put.
 * @linux mm/hugetlb.c restore_reserve_on_error
 */
export const restoreReserveOnError = seam(
  'hugetlb.restoreReserveOnError',
  (vma: Vma, address: Vaddr, pfn: Pfn): void => {
    const promised = machine.frames.hasFlag(pfn, PG_RESTORE_RESERVE);
    if (promised) vmaAddReservation(vma, address);
    else if (has(vma.flags, VM_MAYSHARE) && !vmaNeedsReservation(vma, address)) {
      const inode = vma.file?.inode ?? null;
      if (inode !== null) inodeResvMap(inode).delete(linearPageIndex(vma, address));
    }
  },
  'HUGETLB fault: a page taken for nothing would keep the promise it was taken on',
);

/** Gives a page back that was taken for an address and is in no cache and no entry. */
export function putUnused(vma: Vma, address: Vaddr, pfn: Pfn): void {
  restoreReserveOnError(vma, address, pfn);
  machine.frames.put(pfn, world.owner());
}

/**
 * Puts a page into the file: a step. The cache takes a reference of its own.
 * @returns false when there is one at the index already
 * Requires: the fault mutex, the folio lock. @linux mm/hugetlb.c hugetlb_add_to_page_cache
 */
export function* hugetlbAddToPageCache(
  mapping: AddressSpace,
  index: number,
  pfn: Pfn,
): Steps<boolean> {
  const cell = mapping.pageCell(index);
  if (sched.wants()) yield* access('add folio', cell, WRITE);
  sched.touch(cell, WRITE);
  if (mapping.pages.has(index)) return false;
  sched.touch(mapping.cell, ADD);
  sched.touch(folioCell(pfn), WRITE);
  const { frames } = machine;
  mapping.pages.set(index, pfn);
  frames.flags[pfn] = ((frames.flags[pfn] ?? 0) | PG_UPTODATE) & ~PG_RESTORE_RESERVE;
  frames.mapping[pfn] = -mapping.id;
  frames.index[pfn] = index;
  frames.get(pfn);
  return true;
}

/** A new private page, mapped once. Requires: the page-table lock. @linux hugetlb_add_new_anon_rmap */
export function hugetlbAddNewAnonRmap(pfn: Pfn, vma: Vma, address: Vaddr): void {
  const { anonVma } = vma;
  assert(anonVma !== null, 'a private huge page is mapped into a VMA without anon_vma');
  const { frames } = machine;
  sched.touch(folioCell(pfn), WRITE);
  const flags = (frames.flags[pfn] ?? 0) | PG_ANON | PG_ANON_EXCLUSIVE | PG_UPTODATE;
  frames.flags[pfn] = flags & ~PG_RESTORE_RESERVE;
  frames.mapping[pfn] = anonVma.id;
  frames.index[pfn] = linearPageIndex(vma, address);
  hugetlbAddRmap(pfn, vma);
}

/** One more entry maps a page. Requires: the page-table lock; a reference. @linux hugetlb_add_file_rmap */
export function hugetlbAddRmap(pfn: Pfn, vma: Vma): void {
  machine.frames.addEntireMapcount(pfn, 1);
  vma.mm.hugetlbUsage += 1 << machine.frames.order(pfn);
}

/** Requires: the page-table lock. The reference of the entry is the caller's to drop. @linux hugetlb_remove_rmap */
export function hugetlbRemoveRmap(pfn: Pfn, vma: Vma): void {
  machine.frames.addEntireMapcount(pfn, -1);
  vma.mm.hugetlbUsage -= 1 << machine.frames.order(pfn);
}

/** An entry with the rights of the mapping. @linux mm/hugetlb.c make_huge_pte */
export function makeHugePte(vma: Vma, pfn: Pfn, writable: boolean): Pte {
  const entry = mkPte(pfn, PTE_HUGE | PTE_YOUNG | pageProt(vma.flags));
  return writable && has(vma.flags, VM_WRITE) ? withFlags(entry, PTE_WRITE | PTE_DIRTY) : entry;
}

/** @linux folio_zero_user */
export function zeroHugeFolio(head: Pfn): void {
  const { frames } = machine;
  for (let i = 0; i < 1 << frames.order(head); i++) frames.zero((head + i) as Pfn);
}

/** Copies a page of a pool: one step. @linux copy_user_large_folio */
export function* copyHugeFolio(to: Pfn, from: Pfn): Steps<void> {
  const { frames } = machine;
  if (sched.wants()) yield* access('copy huge page', contentCell(from), READ);
  for (let i = 0; i < 1 << frames.order(from); i++) {
    frames.copy((to + i) as Pfn, (from + i) as Pfn);
  }
}

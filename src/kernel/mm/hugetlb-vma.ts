/**
 * What a hugetlb mapping has besides a VMA: a lock of its page tables, and its promised pages. What happens to them as
 * VMAs are made, split, copied and closed. @linux mm/hugetlb.c hugetlb_vm_ops, struct hugetlb_vma_lock
 */
import { assert } from '../../base/assert.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { Lock } from '../../sched/lock.ts';
import { HUGETLB_VMA_LOCK } from '../lock-classes.ts';
import type { AddressSpace } from './address-space.ts';
import { type Hstate, hugetlbAcctMemory } from './hugetlb.ts';
import {
  hugetlbReservePages,
  inodeResvMap,
  ResvMap,
  unusedReservation,
} from './hugetlb-reserve.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { has, VM_HUGETLB, VM_MAYSHARE, VM_NORESERVE } from './vm-flags.ts';

export class HugetlbVma {
  readonly lock: Lock = new Lock(HUGETLB_VMA_LOCK, 'hugetlb vma lock');
  /** Of the owner of a private mapping: what it has used of its promise. null: it has none. @linux HPAGE_RESV_OWNER */
  resv: ResvMap | null;
  /** The owner took a page away that this mapping shared with it: another one may not appear in its place. @linux HPAGE_RESV_UNMAPPED */
  unmapped = false;

  constructor(resv: ResvMap | null) {
    this.resv = resv;
  }
}

export function isVmHugetlb(vma: Vma): boolean {
  return has(vma.flags, VM_HUGETLB);
}

/** The pool of a hugetlb mapping. @linux hstate_vma */
export function hstateVma(vma: Vma): Hstate {
  const h = vma.file?.inode?.hstate ?? null;
  assert(h !== null, 'a hugetlb mapping of a file without a pool');
  return h;
}

/** The pages of the file that it maps. */
export function hugetlbMapping(vma: Vma): AddressSpace {
  const mapping = vma.file?.inode?.mapping;
  assert(mapping !== undefined, 'a hugetlb mapping without a file');
  return mapping;
}

/** Bytes of a page of the mapping. @linux vma_kernel_pagesize */
export function vmaPageSize(vma: Vma): number {
  return isVmHugetlb(vma) ? hstateVma(vma).size : PAGE_SIZE;
}

/** The end of the last page that lies wholly before an address: of a huge page that only begins there nothing counts. */
export function wholePages(vma: Vma, end: Vaddr): Vaddr {
  return end - (end % vmaPageSize(vma));
}

/** Whether a hugetlb mapping can be cut at an address. @linux hugetlb_vm_op_split */
export function mayCut(vma: Vma, address: Vaddr): boolean {
  return address === vma.start || address === vma.end || address % vmaPageSize(vma) === 0;
}

/**
 * A new mapping of a hugetlb file, with its promise unless it goes without.
 * @returns whether the pool could promise
 * Requires: mmap_lock for writing, the inode lock. @linux fs/hugetlbfs/inode.c hugetlbfs_file_mmap
 */
export function hugetlbVmaInit(vma: Vma): boolean {
  const h = hstateVma(vma);
  const inode = vma.file?.inode ?? null;
  assert(inode !== null, 'a hugetlb mapping without a file');
  const shared = has(vma.flags, VM_MAYSHARE);
  const promised = !has(vma.flags, VM_NORESERVE);
  const owned = promised && !shared ? new ResvMap() : null;
  vma.hugetlb = new HugetlbVma(owned);
  const end = vma.pgoff + (vma.end - vma.start) / PAGE_SIZE;
  return !promised || hugetlbReservePages(h, owned ?? inodeResvMap(inode), vma.pgoff, end, shared);
}

/** Another VMA for part of a mapping, or for all of it elsewhere. @linux hugetlb_vm_op_open */
export function hugetlbVmaOpen(fresh: Vma, from: Vma): void {
  const resv = from.hugetlb?.resv ?? null;
  if (resv !== null) resv.users++;
  fresh.hugetlb = new HugetlbVma(resv);
  fresh.hugetlb.unmapped = from.hugetlb?.unmapped === true;
}

/** The VMA of a forked child: nothing was promised to it. @linux hugetlb_dup_vma_private */
export function hugetlbVmaDup(fresh: Vma): void {
  fresh.hugetlb = new HugetlbVma(null);
}

/**
 * A mapping's pages have moved to another VMA, and the promises with them. When only part of a mapping moves, what was
 * promised to the rest is forgotten and stays promised to nobody for ever (measured on 6.18.44).
 * @linux mm/hugetlb.c fixup_hugetlb_reservations
 */
export function hugetlbVmaMoved(vma: Vma): void {
  const resv = vma.hugetlb?.resv ?? null;
  if (resv === null || vma.hugetlb === null) return;
  resv.users--;
  vma.hugetlb.resv = null;
}

/** A mapping goes: what it was promised and did not use goes back. @linux hugetlb_vm_op_close */
export function hugetlbVmaClose(vma: Vma): void {
  if (!isVmHugetlb(vma) || vma.hugetlb === null) return;
  const { resv } = vma.hugetlb;
  if (resv === null) return;
  hugetlbAcctMemory(hstateVma(vma), -unusedReservation(vma, hstateVma(vma)));
  resv.users--;
  vma.hugetlb.resv = null;
}

/**
 * Taking pages out of hugetlb files, and putting pages into them without a fault: truncation, hole punching, fallocate,
 * the end of the file.
 *
 *   set i_size (truncation) | unmap from every VMA, markers stay for a hole | page by page: fault mutex, unmap if mapped,
 *   delete | promises go
 *
 * @linux fs/hugetlbfs/inode.c remove_inode_hugepages, hugetlb_vmtruncate, hugetlbfs_punch_hole, hugetlbfs_fallocate
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { type Pfn, PTE_NONE, ptePfn, ptePresent } from '../../machine/pte.ts';
import { getPte } from '../../machine/tables.ts';
import { access } from '../../sched/access.ts';
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import { seam } from '../seam.ts';
import type { AddressSpace } from './address-space.ts';
import {
  filemapIndices,
  filemapLockFolio,
  filemapRemoveFolio,
  lockMappingOf,
  unlockMapping,
} from './filemap.ts';
import { folioLock, folioSetLocked, folioUnlock, folioUnlockPut } from './folio-lock.ts';
import type { Hstate } from './hugetlb.ts';
import { allocHugetlbFolioOfFile, hugetlbAddToPageCache, zeroHugeFolio } from './hugetlb-folio.ts';
import {
  hugetlbFaultMutex,
  hugetlbVmaLockWrite,
  hugetlbVmaTrylockWrite,
  hugetlbVmaUnlockWrite,
} from './hugetlb-lock.ts';
import { hugePteOffset } from './hugetlb-pte.ts';
import { hugetlbUnreservePages } from './hugetlb-reserve.ts';
import { unmapHugepageRange } from './hugetlb-zap.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { folioMarkDirty } from './rmap.ts';
import type { ZapDetails } from './zap.ts';

const DROPS: ZapDetails = { dropMarker: true };

/**
 * How a hole is unmapped before its pages go: write-protection stays, since a fault may bring a page back before it is
 * removed.
 */
export const punchUnmap = seam('hugetlb.punchUnmap', (): ZapDetails => ({ dropMarker: false }));

/**
 * Changes the size of a file. Requires: the inode lock; seals allow it; a whole number of pages.
 * @linux hugetlbfs_setattr, hugetlb_vmtruncate
 */
export function* hugetlbSetSize(inode: Inode, h: Hstate, size: number): Steps<void> {
  const before = inode.size;
  if (sched.wants()) yield* access('set size', inode.sizeCell, WRITE);
  inode.size = size;
  if (size >= before) return;
  const first = size / PAGE_SIZE;
  const end = Number.POSITIVE_INFINITY;
  const mapping = yield* lockMappingOf(inode);
  yield* vmdeleteList(mapping, first, end, DROPS);
  unlockMapping(mapping);
  const freed = yield* removePages(inode, h, first, end, true);
  hugetlbUnreservePages(inode, first, end, freed);
}

/** Whole pages go, bytes of partial pages become zero. Requires: the inode lock; seals allow it. */
export function* hugetlbPunchHole(
  inode: Inode,
  h: Hstate,
  offset: number,
  length: number,
): Steps<void> {
  const end = offset + length;
  const from = Math.ceil(offset / h.size) * h.size;
  const to = Math.floor(end / h.size) * h.size;
  if (offset < from) yield* zeroPart(inode, h, offset, Math.min(from, end));
  const [first, last] = [from / PAGE_SIZE, to / PAGE_SIZE];
  if (last > first) {
    const mapping = yield* lockMappingOf(inode);
    yield* vmdeleteList(mapping, first, last, punchUnmap());
    unlockMapping(mapping);
  }
  if (to < end && to >= from) yield* zeroPart(inode, h, to, end);
  if (last > first) yield* removePages(inode, h, first, last, false);
}

/**
 * Takes pages [first, end) out of every VMA whose tables nobody is working on; what a fault holds on to goes with the
 * page itself. Requires: the i_mmap lock for writing. @linux hugetlb_vmdelete_list
 */
function* vmdeleteList(
  mapping: AddressSpace,
  first: number,
  end: number,
  details: ZapDetails,
): Steps<void> {
  for (const vma of mapping.iMmap) {
    const pages = (vma.end - vma.start) / PAGE_SIZE;
    const from = Math.max(first, vma.pgoff) - vma.pgoff;
    const to = Math.min(end, vma.pgoff + pages) - vma.pgoff;
    if (from >= to || !(yield* hugetlbVmaTrylockWrite(vma))) continue;
    const [low, high] = [vma.start + from * PAGE_SIZE, vma.start + to * PAGE_SIZE];
    yield* unmapHugepageRange(vma, low, high, details);
    hugetlbVmaUnlockWrite(vma);
  }
}

/** @returns how many there were. @linux remove_inode_hugepages */
function* removePages(
  inode: Inode,
  h: Hstate,
  first: number,
  end: number,
  truncates: boolean,
): Steps<number> {
  const { mapping } = inode;
  let freed = 0;
  for (const index of yield* filemapIndices(mapping, first, end)) {
    const mutex = hugetlbFaultMutex(mapping, index);
    yield* lock(mutex);
    const pfn = yield* filemapLockFolio(mapping, index);
    if (pfn !== 0) {
      yield* removePage(inode, h, pfn, index);
      if (!truncates) hugetlbUnreservePages(inode, index, index + 1, 1);
      freed++;
    }
    unlock(mutex);
  }
  return freed;
}

/**
 * Takes a page out of the file: if it is still mapped, first out of every VMA, with the markers of its place, this being
 * its last moment.
 *
 * Differs from Linux: VMAs are waited for under the i_mmap lock of nobody, one after another; Linux tries their locks
 * under it and drops it to wait for the one that it did not get.
 *
 * Requires: the fault mutex; the folio lock and a reference, which it drops. @linux remove_inode_single_folio
 */
function* removePage(inode: Inode, h: Hstate, pfn: Pfn, index: number): Steps<void> {
  const { mapping } = inode;
  if (machine.frames.mapcount(pfn) > 0) {
    folioUnlock(pfn);
    for (const vma of [...mapping.iMmap]) {
      const at = vma.start + (index - vma.pgoff) * PAGE_SIZE;
      if (vma.contains(at)) yield* unmapFrom(inode, vma, at, at + h.size, pfn);
    }
    yield* folioLock(pfn);
  }
  filemapRemoveFolio(mapping, index, pfn);
  folioUnlockPut(pfn);
}

/** @linux hugetlb_unmap_file_folio */
function* unmapFrom(inode: Inode, vma: Vma, start: Vaddr, end: Vaddr, pfn: Pfn): Steps<void> {
  yield* hugetlbVmaLockWrite(vma);
  const mapping = yield* lockMappingOf(inode);
  const slot = mapping.iMmap.has(vma) ? hugePteOffset(vma.mm, start) : -1;
  const pte = slot < 0 ? PTE_NONE : getPte(slot);
  if (ptePresent(pte) && ptePfn(pte) === pfn) yield* unmapHugepageRange(vma, start, end, DROPS);
  unlockMapping(mapping);
  hugetlbVmaUnlockWrite(vma);
}

/** The last user of a file is gone: its pages and promises go. @linux hugetlbfs_evict_inode */
export function* hugetlbEvictInode(inode: Inode): Steps<void> {
  const { mapping } = inode;
  let freed = 0;
  if (mapping.pages.size > 0) {
    yield* access('evict', mapping.cell, WRITE);
    for (const [index, pfn] of mapping.pages) {
      filemapRemoveFolio(mapping, index, pfn);
      freed++;
    }
  }
  hugetlbUnreservePages(inode, 0, Number.POSITIVE_INFINITY, freed);
  world.mappings.delete(mapping.id);
}

/**
 * Makes pages exist in [offset, offset + length), and the file reach there unless `keepSize`.
 * @returns false when the pool has too few; those before stay
 * Requires: the inode lock; seals allow it.
 */
export function* hugetlbAllocate(
  inode: Inode,
  h: Hstate,
  offset: number,
  length: number,
  keepSize: boolean,
): Steps<boolean> {
  const end = offset + length;
  for (let at = Math.floor(offset / h.size) * h.size; at < end; at += h.size) {
    if (!(yield* allocateAt(inode, h, at / PAGE_SIZE))) return false;
  }
  if (!keepSize && end > inode.size) {
    if (sched.wants()) yield* access('set size', inode.sizeCell, WRITE);
    inode.size = end;
  }
  return true;
}

function* allocateAt(inode: Inode, h: Hstate, index: number): Steps<boolean> {
  const { mapping } = inode;
  const mutex = hugetlbFaultMutex(mapping, index);
  yield* lock(mutex);
  const there = yield* filemapLockFolio(mapping, index);
  if (there !== 0) {
    folioUnlockPut(there);
    unlock(mutex);
    return true;
  }
  const pfn = yield* allocHugetlbFolioOfFile(h, inode, index);
  if (pfn !== 0) {
    zeroHugeFolio(pfn);
    folioSetLocked(pfn);
    yield* hugetlbAddToPageCache(mapping, index, pfn);
    folioUnlockPut(pfn);
  }
  unlock(mutex);
  return pfn !== 0;
}

/** Zeroes bytes [from, to) of one page, if it is there. @linux hugetlbfs_zero_partial_page */
function* zeroPart(inode: Inode, h: Hstate, from: number, to: number): Steps<void> {
  const start = Math.floor(from / h.size) * h.size;
  const head = yield* filemapLockFolio(inode.mapping, start / PAGE_SIZE);
  if (head === 0) return;
  const { frames } = machine;
  folioMarkDirty(head);
  for (let at = from; at < to; ) {
    const pfn = (head + Math.floor((at - start) / PAGE_SIZE)) as Pfn;
    const into = at % PAGE_SIZE;
    const chunk = Math.min(to - at, PAGE_SIZE - into);
    const kept = Math.min(into + chunk, frames.contentBytes) - into;
    if (kept > 0) frames.write(pfn, into, new Uint8Array(kept));
    at += chunk;
  }
  folioUnlockPut(head);
}

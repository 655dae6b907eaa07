/**
 * The page cache: finding, locking, adding and removing one page of a file, and taking a range of a file out of every
 * page table that maps it. @linux mm/filemap.c, mm/truncate.c, mm/memory.c unmap_mapping_range
 */
import { assert } from '../../base/assert.ts';
import { folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_SWAPBACKED } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { ADD, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, lockRead, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import { type Seam, seam } from '../seam.ts';
import { type AddressSpace, PG_UPTODATE } from './address-space.ts';
import { folioLock, folioUnlockPut } from './folio-lock.ts';
import type { Vma } from './mm-types.ts';
import { type ZapDetails, zapPageRange } from './zap.ts';

/** The file whose page cache a VMA maps, or null: anonymous memory. */
export function vmaInode(vma: Vma): Inode | null {
  return vma.file?.inode ?? null;
}

/** Whether a VMA maps shared memory: a file whose pages are all there is. @linux vma_is_shmem */
export function vmaIsShmem(vma: Vma): boolean {
  const inode = vmaInode(vma);
  return inode !== null && inode.mapping.disk === null;
}

/** The page at an index, or 0. Inside the running step, without a reference. */
export function peekFolio(mapping: AddressSpace, index: number): Pfn | 0 {
  sched.touch(mapping.pageCell(index), READ);
  return mapping.pages.get(index) ?? 0;
}

/** Looks a page up: a step. @returns it with a reference, not locked; or 0. @linux filemap_get_entry */
export function* filemapGetFolio(mapping: AddressSpace, index: number): Steps<Pfn | 0> {
  if (sched.wants()) yield* access('find folio', mapping.pageCell(index), READ);
  const pfn = peekFolio(mapping, index);
  if (pfn !== 0) machine.frames.get(pfn);
  return pfn;
}

/** Whether a folio is still the page of the file at the index. Requires: the folio lock, which keeps it true. */
export const folioStillCached: Seam<(m: AddressSpace, index: number, pfn: Pfn) => boolean> = seam(
  'filemap.folioStillCached',
  (mapping: AddressSpace, index: number, pfn: Pfn): boolean => {
    const { frames } = machine;
    sched.touch(folioCell(frames.head(pfn)), READ);
    return frames.mappingOf(pfn) === -mapping.id && frames.indexOf(pfn) === index;
  },
  'F-file: chk mapping under folio lock: the page may have been truncated since it was found',
);

/** Looks a page up and locks it. @returns it with a reference, or 0 when there is none. @linux filemap_lock_folio */
export function* filemapLockFolio(mapping: AddressSpace, index: number): Steps<Pfn | 0> {
  for (;;) {
    const pfn = yield* filemapGetFolio(mapping, index);
    if (pfn === 0) return 0;
    yield* folioLock(pfn);
    if (folioStillCached(mapping, index, pfn)) return pfn;
    folioUnlockPut(pfn);
  }
}

/**
 * Puts a new folio into the cache: a step. The cache takes a reference of its own.
 * @returns false when there is a page at the index already
 * Requires: the folio lock of the new folio. @linux shmem_add_to_page_cache
 */
export function* filemapAddFolio(mapping: AddressSpace, index: number, pfn: Pfn): Steps<boolean> {
  if (sched.wants()) yield* access('add folio', mapping.pageCell(index), WRITE);
  if (peekFolio(mapping, index) !== 0 || mapping.swapped?.has(index) === true) return false;
  sched.touch(mapping.pageCell(index), WRITE);
  sched.touch(mapping.cell, ADD);
  sched.touch(folioCell(pfn), WRITE);
  const { frames } = machine;
  mapping.pages.set(index, pfn);
  frames.flags[pfn] = mapping.disk === null ? PG_SWAPBACKED : 0;
  frames.mapping[pfn] = -mapping.id;
  frames.index[pfn] = index;
  frames.get(pfn);
  return true;
}

/** Requires: the folio lock. */
export function folioMarkUptodate(pfn: Pfn): void {
  if (!machine.frames.hasFlag(pfn, PG_UPTODATE)) machine.frames.setFlag(pfn, PG_UPTODATE);
}

/** Another folio takes the place of one in the cache, and its reference. Requires: both folio locks. @linux replace_page_cache_folio */
export function filemapReplaceFolio(
  mapping: AddressSpace,
  index: number,
  old: Pfn,
  fresh: Pfn,
): void {
  assert(mapping.pages.get(index) === old, `folio ${old} is not in the cache where it says it is`);
  sched.touch(mapping.pageCell(index), WRITE);
  mapping.pages.set(index, fresh);
  machine.frames.get(fresh);
  machine.frames.mapping[old] = 0;
  machine.frames.put(old, world.owner());
}

/** Takes a folio out of the cache and drops the cache's reference. Requires: the folio lock. @linux filemap_remove_folio */
export function filemapRemoveFolio(mapping: AddressSpace, index: number, pfn: Pfn): void {
  assert(mapping.pages.get(index) === pfn, `folio ${pfn} is not in the cache where it says it is`);
  sched.touch(mapping.pageCell(index), WRITE);
  sched.touch(mapping.cell, ADD);
  sched.touch(folioCell(pfn), WRITE);
  mapping.pages.delete(index);
  machine.frames.mapping[pfn] = 0;
  machine.frames.put(pfn, world.owner());
}

/**
 * Puts a new large folio into the cache: a step. The cache takes a reference for each of its pages.
 * @returns false when there is a page in its range already
 * Requires: the folio lock of the new folio.
 */
export function* filemapAddLarge(mapping: AddressSpace, index: number, head: Pfn): Steps<boolean> {
  const { frames } = machine;
  const pages = 1 << frames.order(head);
  if (sched.wants()) yield* access('add folio', mapping.cell, WRITE);
  for (let at = index; at < index + pages; at++) {
    if (peekFolio(mapping, at) !== 0 || mapping.swapped?.has(at) === true) return false;
  }
  sched.touch(mapping.cell, WRITE);
  sched.touch(folioCell(head), WRITE);
  for (let i = 0; i < pages; i++) {
    sched.touch(mapping.pageCell(index + i), WRITE);
    mapping.pages.set(index + i, (head + i) as Pfn);
  }
  frames.flags[head] = PG_SWAPBACKED;
  frames.mapping[head] = -mapping.id;
  frames.index[head] = index;
  frames.getMany(head, pages);
  return true;
}

/** Takes a large folio out of the cache. Requires: the folio lock; a reference of the caller's. */
export function filemapRemoveLarge(mapping: AddressSpace, head: Pfn): void {
  const { frames } = machine;
  const [index, pages] = [frames.indexOf(head), 1 << frames.order(head)];
  sched.touch(mapping.cell, WRITE);
  sched.touch(folioCell(head), WRITE);
  for (let at = index; at < index + pages; at++) {
    sched.touch(mapping.pageCell(at), WRITE);
    mapping.pages.delete(at);
  }
  frames.mapping[head] = 0;
  frames.putMany(head, pages, world.owner());
}

/**
 * Indices in [first, end) that have a page now, in memory or on the swap device, in order: a step.
 * @param end exclusive; may be infinite
 */
export function* filemapIndices(
  mapping: AddressSpace,
  first: number,
  end: number,
): Steps<readonly number[]> {
  if (sched.wants()) yield* access('find folios', mapping.cell, READ);
  const { pages, swapped } = mapping;
  const all = swapped === null ? [...pages.keys()] : [...pages.keys(), ...swapped.keys()];
  return all.filter((i) => i >= first && i < end).sort((a, b) => a - b);
}

/**
 * Takes pages [first, end) of a file out of every page table; what stays in the slots is up to `details`.
 * @param end exclusive; may be infinite
 * Requires: no page-table lock, no i_mmap lock. @linux mm/memory.c unmap_mapping_pages
 */
export function* unmapMappingRange(
  mapping: AddressSpace,
  first: number,
  end: number,
  details: ZapDetails,
): Steps<void> {
  yield* lockRead(mapping.iMmapLock);
  for (const vma of mapping.iMmap) {
    const pages = (vma.end - vma.start) / PAGE_SIZE;
    const from = Math.max(first, vma.pgoff) - vma.pgoff;
    const to = Math.min(end, vma.pgoff + pages) - vma.pgoff;
    if (from >= to) continue;
    yield* zapPageRange(vma, vma.start + from * PAGE_SIZE, vma.start + to * PAGE_SIZE, details);
  }
  unlockRead(mapping.iMmapLock);
}

/**
 * Takes one locked folio out of every page table and, being its last moment, its write-protection with it.
 * @linux mm/memory.c unmap_mapping_folio
 */
export function* unmapMappingFolio(mapping: AddressSpace, pfn: Pfn): Steps<void> {
  const index = machine.frames.indexOf(pfn);
  yield* unmapMappingRange(mapping, index, index + 1, FINAL_UNMAP);
}

const FINAL_UNMAP: ZapDetails = { dropMarker: true, evenCows: false };

/** Locks the i_mmap of the file a VMA maps, for changing what maps it where; null: no file. */
export function* lockMapping(vma: Vma): Steps<AddressSpace | null> {
  const inode = vmaInode(vma);
  return inode === null ? null : yield* lockMappingOf(inode);
}
export function* lockMappingOf({ mapping }: Inode): Steps<AddressSpace> {
  yield* lock(mapping.iMmapLock);
  return mapping;
}
export function unlockMapping(mapping: AddressSpace | null): void {
  if (mapping !== null) unlock(mapping.iMmapLock);
}

/** Enters a new VMA among those that map its file. Requires: mmap_lock for writing. @linux mm/vma.c vma_link_file */
export function* linkFileVma(vma: Vma): Steps<void> {
  const mapping = yield* lockMapping(vma);
  mapping?.iMmap.add(vma);
  unlockMapping(mapping);
}

/** Requires: its page tables are empty or about to be freed by the caller. @linux mm/vma.c unlink_file_vma_batch */
export function* unlinkFileVma(vma: Vma): Steps<void> {
  const mapping = yield* lockMapping(vma);
  mapping?.iMmap.delete(vma);
  unlockMapping(mapping);
}

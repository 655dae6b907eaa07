/**
 * Writing dirty pages to the disk. A page is dirty when its folio says so or an entry that maps it does; before it is
 * written every entry is cleaned and made read-only, so that the next write faults and makes it dirty again.
 *
 *   folio lock | every mapping: PTL: clean, flush, unPTL | folio clean, under writeback, unlocked | write | done
 *
 * @linux mm/page-writeback.c, mm/rmap.c folio_mkclean
 */
import { must } from '../../base/assert.ts';
import { contentCell, folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_DIRTY } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  type Pfn,
  PTE_DIRTY,
  PTE_WRITE,
  pteDirty,
  ptePfn,
  ptePresent,
  pteWrite,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access, until } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lockRead, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import { type Seam, seam } from '../seam.ts';
import { type AddressSpace, PG_WRITEBACK } from './address-space.ts';
import { filemapIndices, filemapLockFolio } from './filemap.ts';
import { folioLock, folioUnlock } from './folio-lock.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { ptLockOf } from './pgtable.ts';
import { pteOffsetMapLock } from './pte-offset-map.ts';
import { folioMarkDirty } from './rmap.ts';
import { flushNow } from './tlb.ts';
import { has, VM_SHARED } from './vm-flags.ts';

/** The flush after an entry was cleaned: until it, a hart may write through the right that its TLB remembers. */
export const flushCleaned: Seam<(mm: Mm, address: Vaddr) => void> = seam(
  'writeback.flushCleaned',
  (mm: Mm, address: Vaddr): void => flushNow(mm, address, address + PAGE_SIZE),
);

/**
 * Makes every shared mapping of a page clean and read-only.
 * @returns whether any of them was dirty or could have become so
 * Requires: the folio lock, no page-table lock.
 */
export const folioMkclean: Seam<(mapping: AddressSpace, pfn: Pfn) => Steps<boolean>> = seam(
  'writeback.folioMkclean',
  function* (mapping: AddressSpace, pfn: Pfn): Steps<boolean> {
    const index = machine.frames.indexOf(pfn);
    let cleaned = false;
    yield* lockRead(mapping.iMmapLock);
    for (const vma of mapping.iMmap) {
      const address = vma.start + (index - vma.pgoff) * PAGE_SIZE;
      if (!has(vma.flags, VM_SHARED) || !vma.contains(address)) continue;
      if (yield* cleanPlace(vma.mm, address, pfn)) cleaned = true;
    }
    unlockRead(mapping.iMmapLock);
    return cleaned;
  },
);

/** Nothing keeps the address space from ending meanwhile: RCU keeps its tables. */
function* cleanPlace(mm: Mm, address: Vaddr, pfn: Pfn): Steps<boolean> {
  const end = address + PAGE_SIZE;
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'protection-page', address, end);
  world.rcu.readLock();
  const slot = yield* pteOffsetMapLock(mm, address);
  const cleaned = slot >= 0 && cleanEntry(mm, address, slot, pfn);
  if (slot >= 0) unlock(ptLockOf(slot));
  world.rcu.readUnlock();
  yield* mmuNotifierInvalidateRangeEnd(range);
  return cleaned;
}

/** Requires: the page-table lock. @linux page_vma_mkclean_one */
function cleanEntry(mm: Mm, address: Vaddr, slot: number, pfn: Pfn): boolean {
  const pte = getPte(slot);
  if (!ptePresent(pte) || ptePfn(pte) !== pfn) return false;
  if (!pteDirty(pte) && !pteWrite(pte)) return false;
  setPte(slot, withoutFlags(pte, PTE_DIRTY | PTE_WRITE));
  flushCleaned(mm, address);
  return true;
}

/**
 * Takes note that a page is about to be written out: what entries know of writes goes to the folio first, and only then
 * is the folio clean. @returns whether there is something to write
 * Requires: the folio lock. @linux folio_clear_dirty_for_io
 */
export const clearDirtyForIo: Seam<(mapping: AddressSpace, pfn: Pfn) => Steps<boolean>> = seam(
  'writeback.clearDirtyForIo',
  function* (mapping: AddressSpace, pfn: Pfn): Steps<boolean> {
    const { frames } = machine;
    if (yield* folioMkclean(mapping, pfn)) folioMarkDirty(pfn);
    if (!frames.hasFlag(pfn, PG_DIRTY)) return false;
    frames.clearFlag(pfn, PG_DIRTY);
    return true;
  },
);

/** Waits until nobody is writing the page out. Requires: a reference. @linux folio_wait_writeback */
export function* folioWaitWriteback(pfn: Pfn): Steps<void> {
  const done = (): boolean => ((machine.frames.flags[pfn] ?? 0) & PG_WRITEBACK) === 0;
  if (!sched.wants() && done()) return;
  yield* until('writeback', folioCell(pfn), READ, done, 'a page to be written to the disk');
}

/** Writes one page if it is dirty. Requires: the folio lock, which it releases; a reference. */
function* writeFolio(inode: Inode, index: number, pfn: Pfn): Steps<void> {
  const { mapping } = inode;
  const { frames } = machine;
  if (frames.hasFlag(pfn, PG_WRITEBACK)) {
    folioUnlock(pfn);
    yield* folioWaitWriteback(pfn);
    yield* folioLock(pfn);
  }
  const still = frames.mappingOf(pfn) === -mapping.id && index * PAGE_SIZE < inode.size;
  if (!still || !(yield* clearDirtyForIo(mapping, pfn))) {
    folioUnlock(pfn);
    return;
  }
  zeroBeyondEnd(inode, index, pfn);
  frames.setFlag(pfn, PG_WRITEBACK);
  folioUnlock(pfn);
  if (sched.wants()) yield* access('write to disk', contentCell(pfn), READ);
  must(mapping.disk, 'a disk').write(index, pfn);
  frames.clearFlag(pfn, PG_WRITEBACK);
}

/** Stores beyond the end of a file reach memory and never the disk (measured on 6.18). @linux folio_zero_segment */
function zeroBeyondEnd(inode: Inode, index: number, pfn: Pfn): void {
  const { frames } = machine;
  const rest = inode.size - index * PAGE_SIZE;
  if (rest >= PAGE_SIZE || rest >= frames.contentBytes) return;
  frames.write(pfn, rest, new Uint8Array(frames.contentBytes - rest));
}

/**
 * Writes the dirty pages of [first, end) and waits until they are on the disk.
 * @param end exclusive; may be infinite
 * Requires: no folio lock, no page-table lock; not mmap_lock. @linux filemap_write_and_wait_range
 */
export function* filemapWriteAndWait(inode: Inode, first: number, end: number): Steps<void> {
  const { mapping } = inode;
  for (const index of yield* filemapIndices(mapping, first, end)) {
    const pfn = yield* filemapLockFolio(mapping, index);
    if (pfn === 0) continue;
    const busy = PG_DIRTY | PG_WRITEBACK;
    if (machine.frames.hasFlag(pfn, busy)) yield* writeFolio(inode, index, pfn);
    else folioUnlock(pfn);
    machine.frames.put(pfn, world.owner());
  }
}

/** Every dirty page of every file on the disk. @linux ksys_sync */
export function* syncAll(): Steps<void> {
  for (const { disk, host } of [...world.mappings.values()]) {
    if (disk === null || host === null) continue;
    yield* filemapWriteAndWait(host, 0, Number.POSITIVE_INFINITY);
  }
}

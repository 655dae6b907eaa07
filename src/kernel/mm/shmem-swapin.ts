/** Bringing shared memory back from the swap device; shmem-swap.ts says how it gets there. @linux mm/shmem.c shmem_swapin_folio */
import { folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_DIRTY, PG_SWAPBACKED } from '../../machine/frames.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { seam } from '../seam.ts';
import { type AddressSpace, PG_UPTODATE } from './address-space.ts';
import { vmaInode } from './filemap.ts';
import { folioUnlockPut } from './folio-lock.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { linearPageIndex } from './rmap.ts';
import { peekSwapped } from './shmem-swap.ts';
import { swapinFolio, swapReadahead } from './swap-state.ts';
import {
  deleteFromSwapCache,
  folioSwapOffset,
  getSwapDevice,
  putSwapDevice,
  swapFree,
} from './swapfile.ts';

/** Under the folio lock: does the folio still stand for the slot? */
export const shmemFolioStillSwapped = seam(
  'shmem.folioStillSwapped',
  (pfn: Pfn, slot: number): boolean => folioSwapOffset(pfn) === slot,
  'F-file: chk folio still in the swap cache for the slot: the slot may have been freed and used for another page',
);

/** As the page goes back into the page cache: does the cache still have the slot there? */
export const shmemSlotStillThere = seam(
  'shmem.slotStillThere',
  (mapping: AddressSpace, index: number, slot: number): boolean =>
    peekSwapped(mapping, index) === slot,
  'F-file: chk slot still in the page cache: a hole may have been punched there, or another fault was faster',
);

/**
 * Brings a page back into the page cache.
 * @returns it, locked, with a reference; null: look again; 0: out of memory
 * Requires: no page-table lock. @linux mm/shmem.c shmem_swapin_folio
 */
export function* shmemSwapinFolio(
  mapping: AddressSpace,
  index: number,
  slot: number,
): Steps<Pfn | null | 0> {
  if (!(yield* getSwapDevice())) return null;
  const got = yield* swapinFolio(slot);
  putSwapDevice();
  if (got === null || got === 0) return got;
  const { pfn } = got;
  if (sched.wants()) yield* access('page from swap', mapping.pageCell(index), WRITE);
  if (!shmemFolioStillSwapped(pfn, slot) || !shmemSlotStillThere(mapping, index, slot)) {
    folioUnlockPut(pfn);
    return null;
  }
  const { frames } = machine;
  sched.touch(mapping.pageCell(index), WRITE);
  sched.touch(folioCell(pfn), WRITE);
  mapping.swapped?.delete(index);
  mapping.pages.set(index, pfn);
  frames.mapping[pfn] = -mapping.id;
  frames.index[pfn] = index;
  frames.get(pfn);
  deleteFromSwapCache(pfn);
  swapFree(slot);
  // The only copy is in memory now.
  frames.flags[pfn] = PG_SWAPBACKED | PG_UPTODATE | PG_DIRTY;
  return pfn;
}

/** MADV_WILLNEED on shared memory: what is swapped is read into the swap cache. @linux mm/madvise.c shmem_swapin_range */
export function* shmemSwapinRange(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  const mapping = vmaInode(vma)?.mapping;
  if (mapping === undefined || mapping.swapped === null) return;
  const first = linearPageIndex(vma, start);
  const last = linearPageIndex(vma, end);
  if (sched.wants()) yield* access('find swapped pages', mapping.cell, READ);
  const within = [...mapping.swapped].filter(([index]) => index >= first && index < last);
  for (const [, slot] of within.sort(([a], [b]) => a - b)) yield* swapReadahead(slot);
}

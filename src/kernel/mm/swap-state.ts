/**
 * Bringing a page of the swap device into the swap cache: look up | lock, or look up | chk the slot, add, read.
 * @linux mm/swap_state.c; semantics.md section 22, F-swap
 */
import { must } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PG_SWAPBACKED } from '../../machine/frames.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import { folioLock, folioSetLocked, folioUnlockPut } from './folio-lock.ts';
import { allocPage } from './page-alloc.ts';
import {
  addToSwapCache,
  getSwapDevice,
  isSwapCached,
  putSwapDevice,
  slotCell,
  swapCount,
  swapDevice,
} from './swapfile.ts';

function readFrom(offset: number, pfn: Pfn): void {
  const { content } = swapDevice();
  machine.frames.write(pfn, 0, must(content.get(offset), `content of swap slot ${offset}`));
}

/** Whether an entry still names a slot that is about to be read. */
export const slotStillCounted = seam(
  'swap.slotStillCounted',
  (offset: number): boolean => swapCount(offset) > 0,
  'F-swap: slot must still be counted: it may have been freed since the entry was read, and is anybody’s then',
);

/** The folio that the swap cache has of a slot, with a reference, not locked; or 0: a step. @linux swap_cache_get_folio */
export function* swapCacheGetFolio(offset: number): Steps<Pfn | 0> {
  if (sched.wants()) yield* access('find in swap cache', slotCell(offset), READ);
  const found = swapDevice().cache.get(offset) ?? 0;
  if (found !== 0) machine.frames.get(found);
  return found;
}

/** A folio with the content of a slot, locked and with a reference. */
export interface SwappedIn {
  readonly pfn: Pfn;
  /** Whether it stands in the swap cache, or is a copy that nobody else can find. */
  readonly cached: boolean;
}

/**
 * Finds the folio of a slot in the swap cache, or reads the slot into a new one there: look up | lock, or look up | add.
 * A seam: kernels before 6.8 went past the cache when one entry only named the slot.
 * @returns null: no entry names the slot any more. 0: out of memory
 * Requires: no page-table lock. @linux swap_cache_get_folio, read_swap_cache_async
 */
export const swapinFolio = seam('swap.swapinFolio', swapinThroughCache);

/** What swapinFolio does today. */
export function* swapinThroughCache(offset: number): Steps<SwappedIn | null | 0> {
  for (;;) {
    const found = yield* swapCacheGetFolio(offset);
    if (found !== 0) {
      yield* folioLock(found);
      return { pfn: found, cached: true };
    }
    const pfn = yield* allocPage();
    if (pfn === 0) return 0;
    if (sched.wants()) yield* access('read from swap', slotCell(offset), WRITE);
    const counted = slotStillCounted(offset);
    if (counted && !isSwapCached(offset)) {
      machine.frames.flags[pfn] = PG_SWAPBACKED;
      folioSetLocked(pfn);
      addToSwapCache(swapDevice(), pfn, offset);
      readFrom(offset, pfn);
      return { pfn, cached: true };
    }
    machine.frames.put(pfn, world.owner());
    if (!counted) return null;
  }
}

/** Reads a slot into a folio that only the caller knows; one that was freed meanwhile reads as zeroes. Requires: no page-table lock. */
export function* swapinAlone(offset: number): Steps<SwappedIn | 0> {
  const pfn = yield* allocPage();
  if (pfn === 0) return 0;
  if (sched.wants()) yield* access('read from swap', slotCell(offset), READ);
  machine.frames.flags[pfn] = PG_SWAPBACKED;
  folioSetLocked(pfn);
  const { contentBytes } = machine.frames;
  machine.frames.write(pfn, 0, swapDevice().content.get(offset) ?? new Uint8Array(contentBytes));
  return { pfn, cached: false };
}

/** Brings a slot into the swap cache and leaves it there: MADV_WILLNEED. @linux read_swap_cache_async */
export function* swapReadahead(offset: number): Steps<void> {
  if (!(yield* getSwapDevice())) return;
  const got = yield* swapinFolio(offset);
  if (got !== null && got !== 0) folioUnlockPut(got.pfn);
  putSwapDevice();
}

/**
 * Bringing pages of a file on a disk into the page cache.
 *
 * Differs from Linux: folios of files are single pages, and reading is done when the call returns; how far it reads ahead
 * is fixed (32 pages, the default of a disk), whatever was read before.
 * @linux mm/filemap.c, mm/readahead.c
 */
import { must } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lockRead, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import { type AddressSpace, PG_UPTODATE } from './address-space.ts';
import { filemapAddFolio, filemapGetFolio, folioMarkUptodate, peekFolio } from './filemap.ts';
import { folioSetLocked, folioUnlockPut } from './folio-lock.ts';
import { allocPage } from './page-alloc.ts';

/** Pages read at once around one that is needed. @linux VM_READAHEAD_PAGES */
const READAHEAD_PAGES = 32;

/** How many pages a reader brings in; not more than a page table maps, which keeps small worlds small. */
export function readaheadPages(): number {
  return Math.min(READAHEAD_PAGES, machine.geometry.ptrsPerPte);
}

/** Reads one page from the disk: a step. Requires: the folio lock. @linux filemap_read_folio */
export function* readFolio(mapping: AddressSpace, index: number, pfn: Pfn): Steps<void> {
  const disk = must(mapping.disk, 'a disk');
  if (machine.frames.hasFlag(pfn, PG_UPTODATE)) return;
  if (sched.wants()) yield* access('read disk', disk.cell(index), READ);
  disk.read(index, pfn);
  folioMarkUptodate(pfn);
}

/**
 * Makes one page present, and those of [first, end) that memory is left for: only the page that is wanted is worth reclaiming
 * others for. As far as the file reaches.
 * @param wanted an index within [first, end); null: none of them is
 * @returns 0, or -1 when there was no memory for the page that is wanted
 * Requires: no folio lock, no page-table lock. @linux page_cache_ra_unbounded, readahead_gfp_mask
 */
export function* readPages(
  inode: Inode,
  first: number,
  end: number,
  wanted: number | null,
): Steps<number> {
  const { mapping } = inode;
  const invalidate = must(mapping.invalidateLock, 'invalidate_lock');
  yield* lockRead(invalidate);
  const last = Math.min(end, Math.ceil(inode.size / PAGE_SIZE));
  let result = 0;
  if (wanted !== null && wanted < last && peekFolio(mapping, wanted) === 0) {
    const pfn = yield* allocPage();
    if (pfn === 0) result = -1;
    else yield* readInto(mapping, wanted, pfn);
  }
  for (let index = Math.max(0, first); index < last && result === 0; index++) {
    if (peekFolio(mapping, index) !== 0) continue;
    const pfn = machine.frames.alloc(world.owner());
    if (pfn === 0) break;
    yield* readInto(mapping, index, pfn);
  }
  unlockRead(invalidate);
  return result;
}

/** A new page goes into the cache, unless somebody else's has. Gives up the reference to it. */
function* readInto(mapping: AddressSpace, index: number, pfn: Pfn): Steps<void> {
  folioSetLocked(pfn);
  if (yield* filemapAddFolio(mapping, index, pfn)) yield* readFolio(mapping, index, pfn);
  folioUnlockPut(pfn);
}

/** The page at an index if it is there and valid, with a reference; or 0. */
export function* getUptodate(mapping: AddressSpace, index: number): Steps<Pfn | 0> {
  const pfn = yield* filemapGetFolio(mapping, index);
  if (pfn === 0 || machine.frames.hasFlag(pfn, PG_UPTODATE)) return pfn;
  machine.frames.put(pfn, world.owner());
  return 0;
}

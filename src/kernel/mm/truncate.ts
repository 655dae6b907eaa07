/**
 * Cutting and punching files on a disk: nobody brings pages in meanwhile (invalidate_lock), mappings go first, then the
 * pages, then mappings again, since a fault may have made private copies in between.
 * @linux mm/truncate.c, fs/ext4/inode.c ext4_setattr, ext4_punch_hole; semantics.md section 22, PUNCH/TRUNCATE
 */
import { must } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PG_DIRTY } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { access } from '../../sched/access.ts';
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import {
  filemapIndices,
  filemapLockFolio,
  filemapRemoveFolio,
  unmapMappingFolio,
  unmapMappingRange,
} from './filemap.ts';
import { readFolio, readPages } from './filemap-read.ts';
import { folioUnlockPut } from './folio-lock.ts';
import { folioWaitWriteback } from './page-writeback.ts';
import { folioMarkDirty } from './rmap.ts';
import type { ZapDetails } from './zap.ts';

const EVERYTHING: ZapDetails = { dropMarker: false, evenCows: true };
const PAGES_ONLY: ZapDetails = { dropMarker: false, evenCows: false };

/** Changes the size of a file. Requires: the inode lock. @linux truncate_setsize, truncate_pagecache */
export function* truncateSetsize(inode: Inode, size: number): Steps<void> {
  const { mapping } = inode;
  const before = inode.size;
  // What lies between the end and the end of its page may have been stored through a mapping: it must not come to light.
  const edge = Math.min(size, before);
  yield* zeroPartial(inode, edge, Math.ceil(edge / PAGE_SIZE) * PAGE_SIZE);
  const invalidate = must(mapping.invalidateLock, 'invalidate_lock');
  yield* lock(invalidate);
  if (sched.wants()) yield* access('set size', inode.sizeCell, WRITE);
  if (size !== before) inode.size = size;
  if (size < before) {
    const first = Math.ceil(size / PAGE_SIZE);
    yield* dropRange(inode, first, Number.POSITIVE_INFINITY, EVERYTHING);
  }
  unlock(invalidate);
}

/** Makes a hole of [offset, offset + length). Requires: the inode lock. @linux truncate_pagecache_range */
export function* punchRange(inode: Inode, offset: number, length: number): Steps<void> {
  const end = offset + length;
  const first = Math.ceil(offset / PAGE_SIZE);
  const last = Math.floor(end / PAGE_SIZE);
  if (first > last) {
    yield* zeroPartial(inode, offset, end);
    return;
  }
  yield* zeroPartial(inode, offset, first * PAGE_SIZE);
  yield* zeroPartial(inode, last * PAGE_SIZE, end);
  const invalidate = must(inode.mapping.invalidateLock, 'invalidate_lock');
  yield* lock(invalidate);
  yield* dropRange(inode, first, last, PAGES_ONLY);
  unlock(invalidate);
}

/** Requires: invalidate_lock for writing. */
function* dropRange(inode: Inode, first: number, end: number, details: ZapDetails): Steps<void> {
  if (first >= end) return;
  const { mapping } = inode;
  yield* unmapMappingRange(mapping, first, end, details);
  yield* removePages(inode, first, end);
  yield* unmapMappingRange(mapping, first, end, details);
  must(mapping.disk, 'a disk').free(first, end);
}

/** @linux truncate_inode_pages_range */
function* removePages(inode: Inode, first: number, end: number): Steps<void> {
  const { mapping } = inode;
  const { frames } = machine;
  for (const index of yield* filemapIndices(mapping, first, end)) {
    const pfn = yield* filemapLockFolio(mapping, index);
    if (pfn === 0) continue;
    yield* folioWaitWriteback(pfn);
    if (frames.mapcount(pfn) > 0) yield* unmapMappingFolio(mapping, pfn);
    if (frames.hasFlag(pfn, PG_DIRTY)) frames.clearFlag(pfn, PG_DIRTY);
    filemapRemoveFolio(mapping, index, pfn);
    folioUnlockPut(pfn);
  }
}

/** Zeroes bytes [from, to) of one page, which is brought in for it. Both lie in it, or are its ends. */
function* zeroPartial(inode: Inode, from: number, to: number): Steps<void> {
  if (from >= to) return;
  const { mapping } = inode;
  const index = Math.floor(from / PAGE_SIZE);
  yield* readPages(inode, index, index + 1, index);
  const pfn = yield* filemapLockFolio(mapping, index);
  if (pfn === 0) return;
  yield* readFolio(mapping, index, pfn);
  folioMarkDirty(pfn);
  const { frames } = machine;
  const start = from % PAGE_SIZE;
  const length = Math.min(to - from, frames.contentBytes - start);
  if (length > 0) frames.write(pfn, start, new Uint8Array(length));
  folioUnlockPut(pfn);
}

/** The last user of a file without a name is gone: its pages go unwritten. @linux ext4_evict_inode */
export function* evictDiskInode(inode: Inode): Steps<void> {
  const { mapping } = inode;
  yield* removePages(inode, 0, Number.POSITIVE_INFINITY);
  world.mappings.delete(mapping.id);
}

/**
 * Taking pages out of hugetlb files: truncation, hole punching, the end of the file.
 * @linux fs/hugetlbfs/inode.c remove_inode_hugepages, hugetlb_vmtruncate, hugetlbfs_punch_hole
 */

import { PAGE_SIZE } from '../../machine/geometry.ts';
import { access } from '../../sched/access.ts';
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import type { Hstate } from './hugetlb.ts';
import { hugetlbUnreservePages } from './hugetlb-reserve.ts';

/**
 * Changes the size of a file. Requires: the inode lock; seals allow it; a whole number of pages.
 * @linux hugetlbfs_setattr
 */
export function* hugetlbSetSize(inode: Inode, _h: Hstate, size: number): Steps<void> {
  const before = inode.size;
  if (sched.wants()) yield* access('set size', inode.sizeCell, WRITE);
  inode.size = size;
  if (size < before) hugetlbUnreservePages(inode, size / PAGE_SIZE, Number.POSITIVE_INFINITY, 0);
}

/** Requires: the inode lock; seals allow it. @linux hugetlbfs_punch_hole */
export function* hugetlbPunchHole(
  _inode: Inode,
  _h: Hstate,
  _offset: number,
  _length: number,
): Steps<void> {}

/**
 * Makes pages exist in [offset, offset + length), and the file reach there unless `keepSize`.
 * @returns false when the pool has too few; those before stay
 * Requires: the inode lock; seals allow it. @linux hugetlbfs_fallocate
 */
export function* hugetlbAllocate(
  _inode: Inode,
  _h: Hstate,
  _offset: number,
  _length: number,
  _keepSize: boolean,
): Steps<boolean> {
  return false;
}

/** The last user of a file is gone: its pages and promises go. @linux hugetlbfs_evict_inode */
export function* hugetlbEvictInode(inode: Inode): Steps<void> {
  const { mapping } = inode;
  hugetlbUnreservePages(inode, 0, Number.POSITIVE_INFINITY, 0);
  world.mappings.delete(mapping.id);
}

/** ftruncate(2) and fallocate(2) by the kind of file. @linux fs/open.c do_truncate, vfs_fallocate */
import type { Steps } from '../../sched/op.ts';
import { hugetlbfsFallocate, hugetlbfsSetattr } from './hugetlbfs-size.ts';
import type { Inode } from './inode.ts';
import { vfsFallocate as shmemFallocate, doTruncate as shmemTruncate } from './shmem-file.ts';

/** Changes the size of an open file. Requires: no lock. @returns 0 or a negative errno */
export function* doTruncate(inode: Inode, size: number): Steps<number> {
  return inode.hstate === null
    ? yield* shmemTruncate(inode, size)
    : yield* hugetlbfsSetattr(inode, inode.hstate, size);
}

/** Allocates or punches a range. Requires: no lock; a checked range. @returns 0 or a negative errno */
export function* vfsFallocate(
  inode: Inode,
  mode: number,
  offset: number,
  length: number,
): Steps<number> {
  return inode.hstate === null
    ? yield* shmemFallocate(inode, mode, offset, length)
    : yield* hugetlbfsFallocate(inode, inode.hstate, mode, offset, length);
}

/** What changes the size of a hugetlb file and which pages it has. @linux fs/hugetlbfs/inode.c */
import type { Steps } from '../../sched/op.ts';
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
} from '../../uapi/fcntl.ts';
import { fail } from '../errno-row.ts';
import type { Hstate } from '../mm/hugetlb.ts';
import { hugetlbAllocate, hugetlbPunchHole, hugetlbSetSize } from '../mm/hugetlb-truncate.ts';
import { withInodeLock } from '../mm/shmem.ts';
import type { Inode } from './inode.ts';
import { FALLOCATE_ERRORS, FTRUNCATE_ERRORS } from './shmem-file.ts';

/** @returns 0 or a negative errno. Requires: no lock. @linux hugetlbfs_setattr */
export function* hugetlbfsSetattr(inode: Inode, h: Hstate, size: number): Steps<number> {
  return yield* withInodeLock(inode, function* () {
    const { seals } = inode;
    if (size % h.size !== 0) return fail(FTRUNCATE_ERRORS.huge);
    if (size < inode.size && (seals & F_SEAL_SHRINK) !== 0) return fail(FTRUNCATE_ERRORS.shrink);
    if (size > inode.size && (seals & F_SEAL_GROW) !== 0) return fail(FTRUNCATE_ERRORS.grow);
    yield* hugetlbSetSize(inode, h, size);
    return 0;
  });
}

/** @returns 0 or a negative errno. Requires: no lock; a checked range. @linux hugetlbfs_fallocate */
export function* hugetlbfsFallocate(
  inode: Inode,
  h: Hstate,
  mode: number,
  offset: number,
  length: number,
): Steps<number> {
  return yield* withInodeLock(inode, function* () {
    const { seals } = inode;
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) {
      if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0)
        return fail(FALLOCATE_ERRORS.sealed);
      yield* hugetlbPunchHole(inode, h, offset, length);
      return 0;
    }
    if ((seals & F_SEAL_GROW) !== 0 && offset + length > inode.size) {
      return fail(FALLOCATE_ERRORS.grow);
    }
    const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
    const allocated = yield* hugetlbAllocate(inode, h, offset, length, keepSize);
    return allocated ? 0 : fail(FALLOCATE_ERRORS.noHugePages);
  });
}

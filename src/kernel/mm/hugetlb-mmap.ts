/** What a hugetlb file does as it is mapped. @linux fs/hugetlbfs/inode.c hugetlbfs_file_mmap */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { vmaInode } from './filemap.ts';
import { hstateVma, hugetlbVmaInit } from './hugetlb-vma.ts';
import type { Vma } from './mm-types.ts';
import { has, VM_DONTEXPAND, VM_HUGETLB, VM_WRITE, type VmFlags } from './vm-flags.ts';

/** Every mapping of a hugetlb file has these. */
export const HUGETLB_VM_FLAGS: VmFlags = (VM_HUGETLB | VM_DONTEXPAND) as VmFlags;

/**
 * Promises pages to a new mapping; the file grows so that a writable one lies within it.
 * @returns null, or why not: an offset that no huge page begins at, a pool that is too small
 * Requires: mmap_lock for writing.
 */
export function* hugetlbfsFileMmap(vma: Vma): Steps<null | 'offset' | 'pool'> {
  const inode = vmaInode(vma);
  if (inode === null || vma.pgoff % hstateVma(vma).pages !== 0) return 'offset';
  yield* lock(inode.lock);
  const promised = hugetlbVmaInit(vma);
  const end = vma.pgoff * PAGE_SIZE + vma.end - vma.start;
  if (promised && has(vma.flags, VM_WRITE) && inode.size < end) inode.size = end;
  unlock(inode.lock);
  return promised ? null : 'pool';
}

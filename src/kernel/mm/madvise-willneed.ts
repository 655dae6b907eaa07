/** MADV_WILLNEED: what is swapped comes into the swap cache, what is on a disk into the page cache. @linux mm/madvise.c */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { fail } from '../errno-row.ts';
import { fget, fput } from '../fs/file.ts';
import { inodeToAsk } from './filemap-fault.ts';
import { readPages } from './filemap-read.ts';
import { MADVISE_ERRORS as E } from './madvise-errors.ts';
import { willneedRange } from './madvise-lru.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock } from './mmap-lock.ts';
import { linearPageIndex } from './rmap.ts';

/** @linux mm/madvise.c madvise_willneed */
export function* madviseWillneed(mm: Mm, start: Vaddr, end: Vaddr): Steps<number> {
  yield* mmapReadLock(mm);
  let [address, hole] = [start, false];
  for (const vma of mm.vmas.range(start, end)) {
    hole ||= vma.start > address;
    const from = Math.max(address, vma.start);
    address = vma.end;
    const until = Math.min(end, vma.end);
    if (inodeToAsk(vma) === null) yield* willneedRange(vma, from, until);
    else yield* willneedFile(vma, from, until);
  }
  mmapReadUnlock(mm);
  return hole || address < end ? fail(E.hole) : 0;
}

/** Reads a file ahead: mmap_lock is dropped for that. Requires: mmap_lock for reading, held again at the end. */
function* willneedFile(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  const { file, mm } = vma;
  const inode = inodeToAsk(vma);
  if (file === null || inode === null) return;
  const first = linearPageIndex(vma, start);
  fget(file);
  mmapReadUnlock(mm);
  yield* readPages(inode, first, first + (end - start) / PAGE_SIZE, null);
  yield* fput(world.current, file);
  yield* mmapReadLock(mm);
}

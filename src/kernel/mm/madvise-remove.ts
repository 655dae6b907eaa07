/** MADV_REMOVE: a hole in the file that a range shows. @linux mm/madvise.c madvise_remove */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '../../uapi/fcntl.ts';
import { world } from '../current.ts';
import { fail } from '../errno-row.ts';
import { fget, fput } from '../fs/file.ts';
import { vfsFallocate } from '../fs/truncate.ts';
import { userfaultfdRemove } from '../fs/userfaultfd-events.ts';
import { MADVISE_ERRORS } from './madvise-errors.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock } from './mmap-lock.ts';
import { discardSealed } from './mseal.ts';
import { linearPageIndex } from './rmap.ts';
import { has, VM_LOCKED, VM_MAYWRITE, VM_SHARED } from './vm-flags.ts';

const E = MADVISE_ERRORS;

/** Punches what the range shows out of its files; the first error ends it. @linux mm/madvise.c madvise_remove */
export function* madviseRemove(mm: Mm, start: Vaddr, end: Vaddr): Steps<number> {
  yield* mmapReadLock(mm);
  let address = start;
  let hole = false;
  while (address < end) {
    const vma = mm.vmas.findFrom(address);
    if (vma === null || vma.start >= end) {
      hole = true;
      break;
    }
    if (vma.start > address) hole = true;
    const from = Math.max(address, vma.start);
    address = Math.min(end, vma.end);
    const error = yield* removePart(mm, vma, from, address);
    if (error < 0) {
      mmapReadUnlock(mm);
      return error;
    }
  }
  mmapReadUnlock(mm);
  return hole ? fail(E.hole) : 0;
}

/** One VMA. mmap_lock is dropped while the hole is punched, and held again afterwards. */
function* removePart(mm: Mm, vma: Vma, start: Vaddr, end: Vaddr): Steps<number> {
  const { file, flags } = vma;
  if (discardSealed(vma)) return fail(E.sealed);
  if (has(flags, VM_LOCKED)) return fail(E.locked);
  const inode = file?.inode ?? null;
  if (file === null || inode === null) return fail(E.kind);
  if (!has(flags, VM_SHARED) || !has(flags, VM_MAYWRITE)) return fail(E.notShared);
  const offset = linearPageIndex(vma, start) * PAGE_SIZE;
  fget(file);
  if (yield* userfaultfdRemove(vma, start, end)) mmapReadUnlock(mm);
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  const error = yield* vfsFallocate(inode, mode, offset, end - start);
  yield* fput(world.current, file);
  yield* mmapReadLock(mm);
  return error;
}

/** msync(2): what a shared mapping of a file on a disk has changed goes to the disk. @linux mm/msync.c */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { MS_ASYNC, MS_INVALIDATE, MS_SYNC } from '../../uapi/mman.ts';
import { world } from '../current.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { fget, fput } from '../fs/file.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock } from './mmap-lock.ts';
import { linearPageIndex } from './rmap.ts';
import { has, VM_LOCKED, VM_SHARED } from './vm-flags.ts';
import { pageAlign } from './vm-prot.ts';

export const MSYNC_ERRORS = errnoTable('msync', {
  flags: ['EINVAL', 'an unknown flag'],
  unaligned: ['EINVAL', 'addr is not a multiple of the page size'],
  both: ['EINVAL', 'MS_ASYNC and MS_SYNC exclude each other'],
  wraps: ['ENOMEM', 'addr + len is beyond the end of the address space'],
  locked: ['EBUSY', 'MS_INVALIDATE of locked memory'],
  hole: ['ENOMEM', 'part of the range is not mapped'],
});

/**
 * Writes back and waits, with MS_SYNC; otherwise only looks whether the range is mapped, since dirty pages are written
 * sooner or later anyway. mmap_lock is dropped for the writing: what is mapped behind may have changed when it is back.
 * @param length bytes; rounded up to pages
 * @returns 0 or a negative errno
 * Requires: no lock.
 */
export function* doMsync(mm: Mm, start: Vaddr, length: number, flags: number): Steps<number> {
  const M = MSYNC_ERRORS;
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0) return fail(M.flags);
  if (start % PAGE_SIZE !== 0) return fail(M.unaligned);
  if ((flags & MS_ASYNC) !== 0 && (flags & MS_SYNC) !== 0) return fail(M.both);
  if (start < 0 || length < 0) return fail(M.wraps);
  const end = start + pageAlign(length);
  if (end === start) return 0;
  yield* mmapReadLock(mm);
  const error = yield* msyncRange(mm, start, end, flags);
  mmapReadUnlock(mm);
  return error;
}

/** Requires: mmap_lock for reading, which it holds again when it returns. */
function* msyncRange(mm: Mm, start: Vaddr, end: Vaddr, flags: number): Steps<number> {
  const M = MSYNC_ERRORS;
  let address = start;
  let hole = false;
  while (address < end) {
    const vma = mm.vmas.findFrom(address);
    if (vma === null || vma.start >= end) return fail(M.hole);
    hole ||= vma.start > address;
    if (hole && flags === MS_ASYNC) return fail(M.hole);
    if ((flags & MS_INVALIDATE) !== 0 && has(vma.flags, VM_LOCKED)) return fail(M.locked);
    const from = Math.max(address, vma.start);
    address = vma.end;
    const { file } = vma;
    if ((flags & MS_SYNC) === 0 || file?.ops.fsync === undefined) continue;
    if (!has(vma.flags, VM_SHARED)) continue;
    const first = linearPageIndex(vma, from);
    const last = first + (Math.min(end, vma.end) - from) / PAGE_SIZE;
    fget(file);
    mmapReadUnlock(mm);
    yield* file.ops.fsync(file, first, last);
    yield* fput(world.current, file);
    yield* mmapReadLock(mm);
  }
  return hole ? fail(M.hole) : 0;
}

/** Faulting in what a new or newly locked mapping covers. @linux mm/gup.c __mm_populate */
import type { Steps } from '../../sched/op.ts';
import { EINTR } from '../../uapi/errno.ts';
import { faultInRange } from './gup.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock } from './mmap-lock.ts';
import { has, VM_SHARED, VM_WRITE } from './vm-flags.ts';

/**
 * Faults in every page of [start, end), for writing where that is private and allowed. Errors are nobody's: mmap has
 * succeeded already. Requires: no lock of the mm.
 */
export function* mmPopulate(mm: Mm, start: Vaddr, end: Vaddr): Steps<void> {
  let address = start;
  while (address < end) {
    yield* mmapReadLock(mm);
    const vma = mm.vmas.findFrom(address);
    mmapReadUnlock(mm);
    if (vma === null || vma.start >= end) return;
    const from = Math.max(address, vma.start);
    address = Math.min(end, vma.end);
    const write = has(vma.flags, VM_WRITE) && !has(vma.flags, VM_SHARED);
    if ((yield* faultInRange(mm, from, address, write, true)) === -EINTR) return;
  }
}

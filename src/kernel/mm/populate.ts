/** Faulting in what a new or newly locked mapping covers. @linux mm/gup.c __mm_populate */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { EINTR } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { faultInRange, followPage } from './gup.ts';
import { handleMmFault } from './memory.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock } from './mmap-lock.ts';
import { FAULT_FLAG_WRITE, faultHas, VM_FAULT_ERROR } from './vm-fault.ts';
import {
  has,
  VM_IO,
  VM_LOCKONFAULT,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
  type VmFlags,
} from './vm-flags.ts';

/**
 * Faults in every page of [start, end), for writing where that is private and allowed; nothing of mappings that are
 * locked page by page as they are touched.
 * @param ignoresErrors mmap has succeeded already and mlockall does not care: go on with the next mapping
 * @returns 0, or the negative errno of the first page that cannot be had (see faultInRange)
 * Requires: no lock of the mm.
 */
export function* mmPopulate(mm: Mm, start: Vaddr, end: Vaddr, ignoresErrors = true): Steps<number> {
  let address = start;
  while (address < end) {
    yield* mmapReadLock(mm);
    const vma = mm.vmas.findFrom(address);
    mmapReadUnlock(mm);
    if (vma === null || vma.start >= end) return 0;
    const from = Math.max(address, vma.start);
    address = Math.min(end, vma.end);
    if (has(vma.flags, (VM_IO | VM_PFNMAP | VM_LOCKONFAULT) as VmFlags)) continue;
    const write = has(vma.flags, VM_WRITE) && !has(vma.flags, VM_SHARED);
    const error = yield* faultInRange(mm, from, address, write, true);
    if (error < 0 && (!ignoresErrors || error === -EINTR)) return error;
  }
  return 0;
}

/**
 * Writes to every page of a part of a VMA without ever letting go of mmap_lock: a page that would have to wait for user
 * space ends it. Errors are nobody's.
 * Requires: mmap_lock for writing. @linux mm/gup.c populate_vma_page_range without `locked`
 */
export function* populateForWriting(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  if (has(vma.flags, VM_LOCKONFAULT)) return;
  for (let address = start; address < end; ) {
    if (yield* followPage(vma.mm, address, true)) {
      address += PAGE_SIZE;
      continue;
    }
    const result = yield* handleMmFault(vma, world.current, address, FAULT_FLAG_WRITE);
    if (faultHas(result, VM_FAULT_ERROR)) return;
  }
}

/** Faulting pages in without an access: MADV_POPULATE_*, MAP_POPULATE, locked memory. @linux mm/gup.c __mm_populate */
import { PTE_PROTNONE, pteDirty, ptePfn, ptePresent, pteWrite } from '../../machine/pte.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { EINTR, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { accessError } from './fault.ts';
import { faultErrno, killed } from './gup.ts';
import { vmaPageSize } from './hugetlb-vma.ts';
import { handleMmFault } from './memory.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock, vmaLookup } from './mmap-lock.ts';
import { entryAt, lockEntries } from './pte-offset-map.ts';
import { folioMarkDirty } from './rmap.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_WRITE,
  type FaultFlags,
  faultHas,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
} from './vm-fault.ts';
import {
  has,
  VM_IO,
  VM_LOCKONFAULT,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  type VmFlags,
} from './vm-flags.ts';

/**
 * Faults in every page of [start, end), for writing where that is private and allowed; nothing of mappings that are
 * locked page by page as they are touched.
 * @param ignoresErrors mmap has succeeded already and mlockall does not care: go on with the next mapping
 * @returns 0, or the negative errno of the first page that cannot be had
 * Requires: no lock of the mm.
 */
export function* mmPopulate(mm: Mm, start: Vaddr, end: Vaddr, ignoresErrors = true): Steps<number> {
  let address = start;
  while (address < end) {
    yield* mmapReadLock(mm);
    const vma = mm.vmas.findFrom(address);
    if (vma === null || vma.start >= end) {
      mmapReadUnlock(mm);
      return 0;
    }
    const from = Math.max(address, vma.start);
    const [error, reached] = yield* populateVma(vma, from, Math.min(end, vma.end));
    if (error < 0 && (!ignoresErrors || error === -EINTR)) return error;
    address = reached;
  }
  return 0;
}

/**
 * Part of one VMA. A page that had to wait ends it: the VMA may be another one now, with other rights.
 * @returns 0 or a negative errno, and where to go on
 * Requires: mmap_lock for reading, which it releases. @linux mm/gup.c populate_vma_page_range
 */
function* populateVma(vma: Vma, start: Vaddr, end: Vaddr): Steps<readonly [number, Vaddr]> {
  const { mm, flags } = vma;
  const write = has(flags, VM_WRITE) && !has(flags, VM_SHARED);
  const how = (FAULT_FLAG_ALLOW_RETRY |
    FAULT_FLAG_KILLABLE |
    (write ? FAULT_FLAG_WRITE : 0)) as FaultFlags;
  const skipped = has(flags, (VM_IO | VM_PFNMAP | VM_LOCKONFAULT) as VmFlags);
  let error = skipped ? 0 : vmaRefuses(vma, how, true);
  for (let address = start; !skipped && error === 0 && address < end; ) {
    if (killed()) error = -EINTR;
    else if (yield* followPage(vma, address, write)) address = nextPage(vma, address);
    else {
      const result = yield* handleMmFault(vma, world.current, address, how);
      if (faultHas(result, VM_FAULT_RETRY)) return [killed() ? -EINTR : 0, address];
      if (faultHas(result, VM_FAULT_ERROR)) error = faultErrno(result);
    }
  }
  mmapReadUnlock(mm);
  return [error, end];
}

/**
 * Writes to every page of a part of a VMA without ever letting go of mmap_lock: a page that would have to wait for user
 * space ends it. Errors are nobody's.
 * Requires: mmap_lock for writing. @linux mm/gup.c populate_vma_page_range without `locked`
 */
export function* populateForWriting(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  if (has(vma.flags, VM_LOCKONFAULT)) return;
  for (let address = start; address < end; ) {
    if (yield* followPage(vma, address, true)) {
      address = nextPage(vma, address);
      continue;
    }
    const result = yield* handleMmFault(vma, world.current, address, FAULT_FLAG_WRITE);
    if (faultHas(result, VM_FAULT_ERROR)) return;
  }
}

/**
 * Makes every page of [start, end) present, page by page, as if it had been read or written.
 * @param force reads need no PROT_READ (FOLL_FORCE)
 * @returns 0; -ENOMEM at a hole; -EINVAL where the mapping does not allow it; -EFAULT where an access would raise a
 *   signal; -EHWPOISON on a poison marker; -EINTR when killed. Pages before the failing one stay
 * Requires: no lock of the mm. @linux faultin_page_range, populate_vma_page_range
 */
export function* faultInRange(
  mm: Mm,
  start: Vaddr,
  end: Vaddr,
  write: boolean,
  force = false,
): Steps<number> {
  const base = (FAULT_FLAG_ALLOW_RETRY |
    FAULT_FLAG_KILLABLE |
    (write ? FAULT_FLAG_WRITE : 0)) as FaultFlags;
  yield* mmapReadLock(mm);
  let flags = base;
  for (let address = start; address < end; ) {
    const vma = vmaLookup(mm, address);
    const refused = vma === null ? -ENOMEM : killed() ? -EINTR : vmaRefuses(vma, flags, force);
    if (vma === null || refused !== 0) {
      mmapReadUnlock(mm);
      return refused;
    }
    if (yield* followPage(vma, address, write)) {
      address = nextPage(vma, address);
      flags = base;
      continue;
    }
    const result = yield* handleMmFault(vma, world.current, address, flags);
    if (faultHas(result, VM_FAULT_RETRY)) {
      if (killed()) return -EINTR;
      flags = (flags | FAULT_FLAG_TRIED) as FaultFlags;
      yield* mmapReadLock(mm);
    } else if (faultHas(result, VM_FAULT_ERROR)) {
      mmapReadUnlock(mm);
      return faultErrno(result);
    }
  }
  mmapReadUnlock(mm);
  return 0;
}

/** Reads want PROT_READ itself, unlike those of a hart (measured on 6.18). @linux check_vma_flags */
function vmaRefuses(vma: Vma, flags: FaultFlags, force: boolean): number {
  if (has(vma.flags, (VM_IO | VM_PFNMAP) as VmFlags)) return -EINVAL;
  const reads = (flags & FAULT_FLAG_WRITE) === 0;
  if (reads && !force && !has(vma.flags, VM_READ)) return -EINVAL;
  return accessError(vma, flags) ? -EINVAL : 0;
}

function nextPage(vma: Vma, address: Vaddr): Vaddr {
  const size = vmaPageSize(vma);
  return address - (address % size) + size;
}

/** Whether the page is there and allows the access. Requires: mmap_lock for reading. @linux follow_page_pte */
function* followPage({ mm }: Vma, address: Vaddr, write: boolean): Steps<boolean> {
  const entries = yield* lockEntries(mm, address);
  if (entries === null) return false;
  const pte = entryAt(entries, 0);
  const there = ptePresent(pte) && (pte & PTE_PROTNONE) === 0 && (!write || pteWrite(pte));
  // Nothing is written, but the page counts as written from now on: FOLL_TOUCH.
  if (there && write && !pteDirty(pte)) folioMarkDirty(ptePfn(pte));
  unlock(entries.lock);
  return there;
}

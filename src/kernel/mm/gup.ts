/** Faulting pages in without an access: MADV_POPULATE_* and MAP_POPULATE. @linux mm/gup.c */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { PTE_PROTNONE, ptePresent, pteWrite } from '../../machine/pte.ts';
import { getPte } from '../../machine/tables.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { interrupts } from '../../sched/wait.ts';
import { EFAULT, EHWPOISON, EINTR, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { accessError } from './fault.ts';
import { handleMmFault } from './memory.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock, vmaLookup } from './mmap-lock.ts';
import { ptLockOf } from './pgtable.ts';
import { pteOffsetMapLock } from './pte-offset-map.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_WRITE,
  type FaultFlags,
  faultHas,
  VM_FAULT_ERROR,
  VM_FAULT_HWPOISON,
  VM_FAULT_NONE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_IO, VM_PFNMAP, VM_READ, type VmFlags } from './vm-flags.ts';

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
    if (yield* followPage(mm, address, write)) {
      address += PAGE_SIZE;
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
export function vmaRefuses(vma: Vma, flags: FaultFlags, force: boolean): number {
  if (has(vma.flags, (VM_IO | VM_PFNMAP) as VmFlags)) return -EINVAL;
  const reads = (flags & FAULT_FLAG_WRITE) === 0;
  if (reads && !force && !has(vma.flags, VM_READ)) return -EINVAL;
  return accessError(vma, flags) ? -EINVAL : 0;
}

/** Whether the page is there and allows the access. Requires: mmap_lock for reading. @linux follow_page_pte */
export function* followPage(mm: Mm, address: Vaddr, write: boolean): Steps<boolean> {
  const slot = yield* pteOffsetMapLock(mm, address);
  if (slot < 0) return false;
  const pte = getPte(slot);
  unlock(ptLockOf(slot));
  if (!ptePresent(pte) || (pte & PTE_PROTNONE) !== 0) return false;
  return !write || pteWrite(pte);
}

export function killed(): boolean {
  const { thread } = world.current;
  return thread !== null && interrupts(thread, 'killable');
}

/** @linux vm_fault_to_errno */
export function faultErrno(result: VmFault): number {
  if (result === VM_FAULT_NONE) return 0;
  if (faultHas(result, VM_FAULT_OOM)) return -ENOMEM;
  return faultHas(result, VM_FAULT_HWPOISON) ? -EHWPOISON : -EFAULT;
}

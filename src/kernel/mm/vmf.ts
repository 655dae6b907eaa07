/** One fault on its way through the kernel. @linux include/linux/mm.h struct vm_fault */
import { PTE_NONE, type Pte, pteIsTable } from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, tryLockRead, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import { seam } from '../seam.ts';
import { anonVmaPrepare, hasAnonVma } from './anon-vma.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { mmapReadUnlock, vmaEndRead } from './mmap-lock.ts';
import { allocPte, pmdSlot, pteSlotIn, ptLockOf } from './pgtable.ts';
import { tableStillThere } from './pte-offset-map.ts';
import {
  FAULT_FLAG_VMA_LOCK,
  type FaultFlags,
  flagged,
  VM_FAULT_NONE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_UFFD_MISSING } from './vm-flags.ts';

export interface Fault {
  readonly vma: Vma;
  readonly task: Task;
  /** Page aligned. */
  readonly address: Vaddr;
  /** As the hart reported it. */
  readonly realAddress: Vaddr;
  readonly flags: FaultFlags;
  /** Slot of the PMD entry; -1 before it is known. */
  pmd: number;
  /** Slot of the PTE; -1 when there is no PTE table. */
  slot: number;
  /** What the slot held when it was read without its lock; re-checked under it. */
  orig: Pte;
}

/**
 * Finds the slot of the fault, and makes its table where there is none. @returns 'huge': there is a huge page instead
 * Requires: as handleMmFault. @linux pte_alloc
 */
export function* vmfPteAlloc(vmf: Fault): Steps<'done' | 'no-memory' | 'huge'> {
  const slot = yield* allocPte(vmf.vma.mm, vmf.address);
  if (slot < 0) return slot === -1 ? 'no-memory' : 'huge';
  vmf.slot = slot;
  vmf.pmd = pmdSlot(vmf.vma.mm, vmf.address);
  return 'done';
}

/** The slot of the fault where its table is there, without a step of its own. @returns whether it is */
export function vmfPteFind(vmf: Fault): boolean {
  const pmd = pmdSlot(vmf.vma.mm, vmf.address);
  if (pmd < 0) return false;
  const word = getPte(pmd);
  if (!pteIsTable(word)) return false;
  vmf.pmd = pmd;
  vmf.slot = pteSlotIn(word, vmf.address);
  return true;
}

/** Drops the lock under which the fault runs: whoever does must return VM_FAULT_RETRY. @linux release_fault_lock */
export function releaseFaultLock(vmf: Fault): void {
  if (flagged(vmf.flags, FAULT_FLAG_VMA_LOCK)) vmaEndRead(vmf.vma);
  else mmapReadUnlock(vmf.vma.mm);
}

/** Under the page-table lock: is the slot what the fault based its decision on? @linux vmf_pte_changed */
export const slotSameOnInstall = seam(
  'memory.slotSameOnInstall',
  (vmf: Fault): boolean => getPte(vmf.slot) === vmf.orig,
  'F: chk slot same under PTL: another fault or a fill may have put a page there, which must not be lost',
);

/** Under the page-table lock: may the kernel fill the slot itself? */
export const mayFillMissing = seam(
  'memory.mayFillMissing',
  (vmf: Fault): boolean => !has(vmf.vma.flags, VM_UFFD_MISSING),
  'F: chk MISSING under PTL: a slot registered for missing faults is filled by user space only',
);

/**
 * Makes sure that the VMA has an anon_vma. That needs mmap_lock: a fault under the VMA lock takes it if it is free, and
 * starts again under mmap_lock if not.
 * @returns VM_FAULT_NONE, or VM_FAULT_RETRY with the VMA lock dropped. @linux vmf_anon_prepare
 */
export function* vmfAnonPrepare(vmf: Fault): Steps<VmFault> {
  const { vma } = vmf;
  if (hasAnonVma(vma)) return VM_FAULT_NONE;
  const underVmaLock = flagged(vmf.flags, FAULT_FLAG_VMA_LOCK);
  if (underVmaLock && !(yield* tryLockRead(vma.mm.mmapLock))) {
    vmaEndRead(vma);
    return VM_FAULT_RETRY;
  }
  const made = yield* anonVmaPrepare(vma);
  if (underVmaLock) mmapReadUnlock(vma.mm);
  return made ? VM_FAULT_NONE : VM_FAULT_OOM;
}

/** A write-protect marker that outlived the registration: forget it and start again. @linux pte_marker_clear */
export function* pteMarkerClear(vmf: Fault): Steps<VmFault> {
  const ptl = ptLockOf(vmf.slot);
  yield* lock(ptl);
  if (tableStillThere(vmf.pmd, vmf.slot) && slotSameOnInstall(vmf)) setPte(vmf.slot, PTE_NONE);
  unlock(ptl);
  return VM_FAULT_NONE;
}

/** One fault on its way through the kernel. @linux include/linux/mm.h struct vm_fault */
import type { Pte } from '../../machine/pte.ts';
import type { Task } from '../core/task.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { mmapReadUnlock, vmaEndRead } from './mmap-lock.ts';
import { FAULT_FLAG_VMA_LOCK, type FaultFlags, flagged } from './vm-fault.ts';

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

/** Drops the lock under which the fault runs: whoever does must return VM_FAULT_RETRY. @linux release_fault_lock */
export function releaseFaultLock(vmf: Fault): void {
  if (flagged(vmf.flags, FAULT_FLAG_VMA_LOCK)) vmaEndRead(vmf.vma);
  else mmapReadUnlock(vmf.vma.mm);
}

/** Faults on huge pages of hugetlb mappings. @linux mm/hugetlb.c hugetlb_fault */
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { type FaultFlags, VM_FAULT_SIGBUS, type VmFault } from './vm-fault.ts';

/** The pool has no page to give. @returns VM_FAULT_SIGBUS. Requires: as handleMmFault */
export function* hugetlbFault(
  _vma: Vma,
  _task: Task,
  _address: Vaddr,
  _flags: FaultFlags,
): Steps<VmFault> {
  return VM_FAULT_SIGBUS;
}

/**
 * The descriptor side of userfaultfd: faults that wait for user space, and the file they are read from.
 * @linux fs/userfaultfd.c
 */
import type { Steps } from '../../sched/op.ts';
import type { Vma } from '../mm/mm-types.ts';
import { VM_FAULT_SIGBUS, type VmFault } from '../mm/vm-fault.ts';
import type { Fault } from '../mm/vmf.ts';

/** Why a fault waits: no page, a write-protected page, a page only in the page cache. */
export type UffdReason = 'missing' | 'wp' | 'minor';

/**
 * Delivers a fault to user space and sleeps until it is woken. Releases the fault's VMA lock or mmap_lock unless it
 * fails.
 * @returns VM_FAULT_RETRY when the lock is gone and the access has to start again; VM_FAULT_SIGBUS with the lock held
 * Requires: the VMA lock or mmap_lock, as vmf.flags says; no page-table lock. @linux fs/userfaultfd.c handle_userfault
 */
export function* handleUserfault(_vmf: Fault, _reason: UffdReason): Steps<VmFault> {
  return VM_FAULT_SIGBUS;
}

/** Whether write-protect faults of the VMA are resolved by the kernel. @linux userfaultfd_wp_async */
export function userfaultfdWpAsync(_vma: Vma): boolean {
  return false;
}

/** What a fault came to, and how it was asked for. @linux include/linux/mm_types.h vm_fault_reason, fault_flag */
import type { Brand } from '../../base/brand.ts';

export type VmFault = Brand<number, 'VmFault'>;

export const VM_FAULT_NONE = 0 as VmFault;
export const VM_FAULT_OOM = 0x1 as VmFault;
export const VM_FAULT_SIGBUS = 0x2 as VmFault;
export const VM_FAULT_HWPOISON = 0x10 as VmFault;
export const VM_FAULT_SIGSEGV = 0x40 as VmFault;
/** A page table changed under us; nothing to do, the access is simply tried again. */
export const VM_FAULT_NOPAGE = 0x100 as VmFault;
/** The lock was dropped; start again from finding the VMA. */
export const VM_FAULT_RETRY = 0x400 as VmFault;
export const VM_FAULT_FALLBACK = 0x800 as VmFault;
export const VM_FAULT_ERROR: VmFault = (VM_FAULT_OOM |
  VM_FAULT_SIGBUS |
  VM_FAULT_HWPOISON |
  VM_FAULT_SIGSEGV) as VmFault;

export type FaultFlags = Brand<number, 'FaultFlags'>;
export const FAULT_FLAG_WRITE = 0x1 as FaultFlags;
export const FAULT_FLAG_ALLOW_RETRY = 0x4 as FaultFlags;
export const FAULT_FLAG_RETRY_NOWAIT = 0x8 as FaultFlags;
export const FAULT_FLAG_KILLABLE = 0x10 as FaultFlags;
export const FAULT_FLAG_TRIED = 0x20 as FaultFlags;
export const FAULT_FLAG_USER = 0x40 as FaultFlags;
export const FAULT_FLAG_REMOTE = 0x80 as FaultFlags;
export const FAULT_FLAG_INSTRUCTION = 0x100 as FaultFlags;
export const FAULT_FLAG_INTERRUPTIBLE = 0x200 as FaultFlags;
export const FAULT_FLAG_UNSHARE = 0x400 as FaultFlags;
/** Under the VMA's own lock instead of mmap_lock. */
export const FAULT_FLAG_VMA_LOCK = 0x1000 as FaultFlags;

export function faultHas(word: VmFault, bits: VmFault): boolean {
  return (word & bits) !== 0;
}
export function flagged(word: FaultFlags, bits: FaultFlags): boolean {
  return (word & bits) !== 0;
}

/** PROT_* and page rounding as the memory calls use them. @linux include/linux/mman.h calc_vm_prot_bits */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from '../../uapi/mman.ts';
import { VM_EXEC, VM_NONE, VM_READ, VM_WRITE, type VmFlags, withFlag } from './vm-flags.ts';

/** The VM_ flags of a protection. */
export function vmProt(prot: number): VmFlags {
  let flags = VM_NONE;
  if ((prot & PROT_READ) !== 0) flags = withFlag(flags, VM_READ);
  if ((prot & PROT_WRITE) !== 0) flags = withFlag(flags, VM_WRITE);
  if ((prot & PROT_EXEC) !== 0) flags = withFlag(flags, VM_EXEC);
  return flags;
}

/** A length in bytes, rounded up to whole pages. @linux PAGE_ALIGN */
export function pageAlign(length: number): number {
  return Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
}

/** An address, rounded down to its page. */
export function pageStart(address: number): number {
  return Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
}

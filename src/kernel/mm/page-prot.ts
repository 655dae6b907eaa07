/** The PTE bits that a mapping's protection gives to its pages. @linux mm/mmap.c vm_get_page_prot */
import { PTE_EXEC, PTE_PROTNONE } from '../../machine/pte.ts';
import { has, VM_ACCESS_FLAGS, VM_EXEC, type VmFlags } from './vm-flags.ts';

/** PTE_EXEC and PTE_PROTNONE as the flags say; write permission is decided page by page. */
export function pageProt(flags: VmFlags): number {
  if (!has(flags, VM_ACCESS_FLAGS)) return PTE_PROTNONE;
  return has(flags, VM_EXEC) ? PTE_EXEC : 0;
}

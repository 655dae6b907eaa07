/**
 * Soft-dirty: which pages were written since /proc/PID/clear_refs was last told to forget. A kernel has it or not
 * (CONFIG_MEM_SOFT_DIRTY, x86-64 only here); one without it is what the core reads as, and the configuration
 * `soft-dirty` puts it in.
 *
 *   the bit of an entry     set by whatever marks the entry dirty in software, by mremap and by UFFDIO_MOVE; cleared with
 *                           the right to write by clear_refs
 *   VM_SOFTDIRTY            a new mapping, or one that grew by joining a new one: every page of it counts as written
 *
 * False positives are part of the design. What is lost with an entry of a file's page is a false negative.
 * @linux Documentation/admin-guide/mm/soft-dirty.rst; semantics.md section 13
 */
import { PTE_DIRTY, type Pte, pteSoftDirty } from '../../machine/pte.ts';
import { seam } from '../seam.ts';
import { has, VM_HUGETLB, VM_NONE, VM_SOFTDIRTY, type VmFlags } from './vm-flags.ts';

/** The bit of an entry that remembers a write; 0 where the kernel is built without it. @linux _PAGE_SOFT_DIRTY */
export const softDirtyBit = seam('softDirty.bit', (): number => 0);

/** What an entry gets when software marks it dirty. @linux pte_mkdirty */
export function dirtyBits(): number {
  return PTE_DIRTY | softDirtyBit();
}

/** What a new mapping is born with. @linux mm/vma.c __mmap_complete */
export function newVmaSoftDirty(): VmFlags {
  return softDirtyBit() === 0 ? VM_NONE : VM_SOFTDIRTY;
}

/** Whether first writes to pages of a mapping have to be noticed; hugetlb is overlooked. @linux vma_soft_dirty_enabled */
export function tracksSoftDirty(flags: VmFlags): boolean {
  return !has(flags, (VM_SOFTDIRTY | VM_HUGETLB) as VmFlags) && softDirtyBit() !== 0;
}

/** Whether an entry must stay read-only, so that the next write sets the bit. @linux pte_needs_soft_dirty_wp */
export function needsSoftDirtyWp(flags: VmFlags, pte: Pte): boolean {
  return tracksSoftDirty(flags) && !pteSoftDirty(pte);
}

/**
 * Whether a huge page may be used at a place: what the system, the process and the mapping say, and whether an aligned
 * one fits. @linux mm/huge_memory.c __thp_vma_allowable_orders, include/linux/huge_mm.h thp_vma_suitable_order
 */

import { PAGE_SIZE } from '../../machine/geometry.ts';
import { world } from '../current.ts';
import { type Seam, seam } from '../seam.ts';
import { hasAnonVma } from './anon-vma.ts';
import { vmaInode } from './filemap.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { pmdSize } from './pgtable.ts';
import type { ThpSettings } from './thp-settings.ts';
import {
  has,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_NOHUGEPAGE,
  VM_SPECIAL,
  type VmFlags,
} from './vm-flags.ts';

/** Who asks: a fault, smaps, the background daemon, or MADV_COLLAPSE, which no system setting keeps back. */
export type ThpUse = 'fault' | 'smaps' | 'khugepaged' | 'collapse';

/** PR_SET_THP_DISABLE of a process: off; all; all but what MADV_HUGEPAGE names (6.18). */
export type ThpDisabled = 'no' | 'all' | 'unadvised';

/** What the system allows. A seam, so that a litmus file can ask for huge pages (`config thp`). */
export const thpSettings: Seam<() => ThpSettings> = seam(
  'thp.settings',
  (): ThpSettings => world.thp,
);

/** Whether faults have to think of huge pages at all. */
export function usesHugePages(): boolean {
  const { enabled, shmem } = thpSettings();
  return enabled !== 'never' || shmem !== 'never';
}

/** Whether a huge page around the address lies in the mapping, at the same offset in a huge page of its file. */
export function thpVmaSuitable(vma: Vma, address: Vaddr): boolean {
  const size = pmdSize();
  const start = Math.floor(address / size) * size;
  if (start < vma.start || start + size > vma.end) return false;
  return vma.file === null || (vma.start / PAGE_SIZE - vma.pgoff) % (size / PAGE_SIZE) === 0;
}

/** Whether the mapping or the process forbid huge pages whatever the system says. @linux vma_thp_disabled */
export function vmaThpDisabled(vma: Vma, use: ThpUse = 'fault'): boolean {
  if (has(vma.flags, VM_NOHUGEPAGE)) return true;
  const { thpDisable } = vma.mm;
  if (thpDisable === 'all') return true;
  return thpDisable === 'unadvised' && !has(vma.flags, VM_HUGEPAGE) && use !== 'collapse';
}

/**
 * Whether huge pages may be used in a mapping, at an address when one is given.
 * Requires: something that keeps the VMA.
 */
export function thpAllowable(vma: Vma, use: ThpUse, address: Vaddr | null = null): boolean {
  if (has(vma.flags, VM_HUGETLB) || vmaThpDisabled(vma, use)) return false;
  if (use !== 'fault' && has(vma.flags, VM_SPECIAL as VmFlags)) return false;
  if (address !== null && !thpVmaSuitable(vma, address)) return false;
  if (address === null && use === 'smaps' && !anySuitable(vma)) return false;
  if (vma.file !== null) return vmaInode(vma) !== null && shmemAllowable(vma, use);
  // Nothing was ever there to be collapsed (measured on 6.18.44).
  if (use === 'collapse') return hasAnonVma(vma);
  const { enabled } = thpSettings();
  return enabled === 'always' || (enabled === 'madvise' && has(vma.flags, VM_HUGEPAGE));
}

/** @linux mm/shmem.c shmem_huge_global_enabled */
function shmemAllowable(vma: Vma, use: ThpUse): boolean {
  const { shmem } = thpSettings();
  if (use === 'collapse') return shmem !== 'deny';
  if (shmem === 'always' || shmem === 'force') return true;
  return shmem === 'advise' && has(vma.flags, VM_HUGEPAGE);
}

/** Whether there is any place in the mapping where a huge page fits. */
function anySuitable(vma: Vma): boolean {
  const size = pmdSize();
  return thpVmaSuitable(vma, Math.ceil(vma.start / size) * size);
}

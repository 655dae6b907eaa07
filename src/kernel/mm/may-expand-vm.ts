/**
 * Whether an address space may grow: RLIMIT_AS bounds all of it, RLIMIT_DATA what is private and may be written, and with
 * vm.overcommit_memory 2 all address spaces together may promise no more than CommitLimit.
 * @linux mm/vma.c may_expand_vm, mm/util.c __vm_enough_memory
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { RLIMIT_AS, RLIMIT_DATA, rlimitOf } from '../core/rlimit.ts';
import { world } from '../current.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { totalSwapPages } from './swapfile.ts';
import { has, VM_ACCOUNT, VM_GROWSDOWN, VM_SHARED, VM_WRITE, type VmFlags } from './vm-flags.ts';

function isDataMapping(flags: VmFlags): boolean {
  return (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) === VM_WRITE;
}

/**
 * Whether mappings of such flags may take up so many pages more. Requires: mmap_lock for writing.
 * @linux may_expand_vm
 */
export function mayExpandVm(mm: Mm, flags: VmFlags, pages: number): boolean {
  const { group } = world.current;
  // Without limits nothing is counted.
  if (group.rlimits === null) return true;
  const within = (resource: number, total: number): boolean =>
    BigInt(total) <= rlimitOf(group, resource)[0] / BigInt(PAGE_SIZE);
  if (!within(RLIMIT_AS, mm.totalVm + pages)) return false;
  if (!isDataMapping(flags) || !group.rlimits.has(RLIMIT_DATA)) return true;
  let data = pages;
  for (const vma of mm.vmas) {
    if (isDataMapping(vma.flags)) data += (vma.end - vma.start) / PAGE_SIZE;
  }
  return within(RLIMIT_DATA, data);
}

/** The same for a mapping at a place, over whatever is there. */
export function mayMapAt(mm: Mm, flags: VmFlags, start: Vaddr, end: Vaddr): boolean {
  let pages = (end - start) / PAGE_SIZE;
  for (const vma of mm.vmas.range(start, end)) {
    pages -= (Math.min(vma.end, end) - Math.max(vma.start, start)) / PAGE_SIZE;
  }
  return mayExpandVm(mm, flags, pages) && mayPromise(flags, pages);
}

/** Pages that all mappings have promised. @linux vm_committed_as */
export function committedPages(): number {
  let pages = 0;
  for (const mm of world.mms) {
    for (const vma of mm.vmas) {
      if (has(vma.flags, VM_ACCOUNT)) pages += (vma.end - vma.start) / PAGE_SIZE;
    }
  }
  return pages;
}

/** @linux mm/util.c vm_commit_limit */
export function commitLimitPages(): number {
  return Math.floor(machine.frames.count / 2) + totalSwapPages();
}

/** Whether so many pages more may be promised, if such mappings promise any: vm.overcommit_memory 2. @linux __vm_enough_memory */
export function mayPromise(flags: VmFlags, pages: number): boolean {
  if (world.sysctl.overcommitMemory !== 2 || !has(flags, VM_ACCOUNT)) return true;
  return committedPages() + pages <= commitLimitPages();
}

/** Whether so many pages of a mapping may have other flags: what becomes writable counts. @linux mm/mprotect.c mprotect_fixup */
export function mayBecome({ mm, flags }: Vma, wanted: VmFlags, pages: number): boolean {
  if (has(flags, VM_WRITE) || !has(wanted, VM_WRITE)) return true;
  if (!mayExpandVm(mm, wanted, pages) && mayExpandVm(mm, flags, pages)) return false;
  return has(flags, VM_ACCOUNT) || mayPromise(wanted, pages);
}

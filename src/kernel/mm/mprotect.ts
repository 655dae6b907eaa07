/**
 * mprotect(2), and the engine that changes what page-table entries allow, also for UFFDIO_WRITEPROTECT and _UNREGISTER.
 *
 *   slot        protect (uffdWp)            resolve (uffdWpResolve)         neither (mprotect)
 *   present     set uffd-wp, drop write     clear it, maybe writable again  new rights, maybe writable again
 *   swap        set the bit                 clear it                        -
 *   migration   set the bit, write -> read  clear it, write -> read         write -> read
 *   none        marker, if asked for        -                               -
 *   WP marker   -                           none                            -
 *   POISON, GUARD, HWPOISON: never changed
 *
 * @linux mm/mprotect.c change_pte_range; semantics.md sections 4 and 9.9
 */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  MIGRATION_WRITE,
  mkMarker,
  PTE_EXEC,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_PROTNONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  type Pte,
  pteDirty,
  pteHuge,
  pteIsTable,
  pteKind,
  pteMarker,
  ptePfn,
  pteSpecial,
  pteUffdWp,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';
import {
  PROT_EXEC,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
  PROT_READ,
  PROT_SEM,
  PROT_WRITE,
} from '../../uapi/mman.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { type Seam, seam } from '../seam.ts';
import { changeHugePmd } from './huge-pmd.ts';
import { splitHugePmd } from './huge-split.ts';
import { hugetlbChangeProtection as changeHugetlb } from './hugetlb-change.ts';
import { isVmHugetlb } from './hugetlb-vma.ts';
import { mayBecome } from './may-expand-vm.ts';
import { deniesWriteExec } from './mdwe.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock } from './mmap-lock.ts';
import { type MmuGather, tlbFinishMmu, tlbGatherMmu } from './mmu-gather.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { pageProt, vmPageProtWrite } from './page-prot.ts';
import {
  allocPte,
  isWholePmd,
  pmdAddrEnd,
  pmdSlot,
  pteSlotIn,
  ptLockOf,
  skipMissing,
} from './pgtable.ts';
import { populateForWriting } from './populate.ts';
import { needsSoftDirtyWp } from './soft-dirty.ts';
import { flushTlbRange } from './tlb.ts';
import {
  has,
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  VM_GROWSDOWN,
  VM_HUGETLB,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_NORESERVE,
  VM_SEALED,
  VM_SHARED,
  VM_UFFD_WP,
  VM_WRITE,
  type VmFlags,
  withFlag,
  withoutFlag,
} from './vm-flags.ts';
import { pageAlign, vmProt } from './vm-prot.ts';
import { vmaModify } from './vma.ts';

export const MPROTECT_ERRORS = errnoTable('mprotect', {
  bothGrow: ['EINVAL', 'PROT_GROWSDOWN and PROT_GROWSUP exclude each other'],
  unaligned: ['EINVAL', 'addr is not a multiple of the page size'],
  wraps: ['ENOMEM', 'addr + len is beyond the end of the address space'],
  prot: ['EINVAL', 'prot has a bit that no protection has'],
  unmapped: ['ENOMEM', 'nothing is mapped at addr'],
  growsNothing: ['EINVAL', 'PROT_GROWSDOWN on a mapping that does not grow down'],
  hole: ['ENOMEM', 'part of the range is not mapped; what lies before the hole is changed'],
  access: ['EACCES', 'the mapping may never have the access that prot asks for'],
  writeExec: ['EACCES', 'PR_SET_MDWE: what was not executable may not become so'],
  sealed: ['EPERM', 'the mapping is sealed'],
  cutsHuge: ['EINVAL', 'a mapping of huge pages would be cut within one of them'],
  limit: ['ENOMEM', 'RLIMIT_DATA, or with vm.overcommit_memory 2 the commit limit'],
  tooMany: ['ENOMEM', 'changing part of a mapping would make more mappings than max_map_count'],
});

/**
 * Changes the protection of [start, start + length), VMA by VMA: an error leaves those before it changed.
 * @param length bytes; rounded up to pages
 * @returns 0 or a negative errno
 * @linux mm/mprotect.c do_mprotect_pkey
 */
export function* doMprotect(mm: Mm, start: Vaddr, length: number, prot: number): Steps<number> {
  const E = MPROTECT_ERRORS;
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP)) return fail(E.bothGrow);
  if (start % PAGE_SIZE !== 0) return fail(E.unaligned);
  if (length === 0) return 0;
  const end = start + pageAlign(length);
  if (length < 0 || start < 0) return fail(E.wraps); // Register values are signed here.
  const access = prot & ~grows;
  if ((access & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) !== 0) return fail(E.prot);
  yield* mmapWriteLock(mm);
  const tlb = tlbGatherMmu(mm);
  const error = yield* mprotectRange(tlb, start, end, access, grows);
  yield* tlbFinishMmu(tlb);
  mmapWriteUnlock(mm);
  return error;
}

function* mprotectRange(
  tlb: MmuGather,
  start: Vaddr,
  end: Vaddr,
  prot: number,
  grows: number,
): Steps<number> {
  const E = MPROTECT_ERRORS;
  const { mm } = tlb;
  const first = mm.vmas.findFrom(start);
  if (first === null) return fail(E.unmapped);
  let here = start;
  if (grows === PROT_GROWSDOWN) {
    if (first.start >= end) return fail(E.unmapped);
    if (!has(first.flags, VM_GROWSDOWN)) return fail(E.growsNothing);
    here = first.start;
  } else {
    if (first.start > start) return fail(E.unmapped);
    if (grows === PROT_GROWSUP) return fail(E.growsNothing);
  }
  while (here < end) {
    const vma = mm.vmas.find(here);
    if (vma === null) return fail(E.hole);
    const next = Math.min(vma.end, end);
    const error = yield* mprotectFixup(tlb, vma, here, next, prot);
    if (error < 0) return error;
    here = next;
  }
  return 0;
}

/** One VMA, or the part of it in the range. @linux mm/mprotect.c mprotect_fixup */
function* mprotectFixup(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  prot: number,
): Steps<number> {
  const E = MPROTECT_ERRORS;
  const { flags } = vma;
  let wanted = withFlag(withoutFlag(flags, VM_ACCESS_FLAGS), vmProt(prot));
  const may = ((flags & (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)) >> 4) as VmFlags;
  if (has(withoutFlag(vmProt(prot), may), VM_ACCESS_FLAGS)) return fail(E.access);
  if (deniesWriteExec(vma.mm, flags, wanted)) return fail(E.writeExec);
  if (has(flags, VM_SEALED)) return fail(E.sealed);
  wanted = accounted(vma, wanted);
  if (wanted === flags) return 0;
  if (!mayBecome(vma, wanted, (end - start) / PAGE_SIZE)) return fail(E.limit);
  const changed = yield* vmaModify(vma, start, end, { flags: wanted });
  if (typeof changed === 'number') return fail(changed === -EINVAL ? E.cutsHuge : E.tooMany);
  const error = yield* changeProtectionRange(tlb, changed, start, end, {});
  if (error < 0) return error;
  // Locked memory that may now be written gets its own pages at once (measured on 6.18).
  const locked = (flags & (VM_WRITE | VM_SHARED | VM_LOCKED)) === VM_LOCKED;
  if (locked && has(wanted, VM_WRITE)) yield* populateForWriting(changed, start, end);
  return 0;
}

/** Private memory counts against the commit limit once it may be written: "ac", also in what merges (measured on 6.18). */
function accounted(vma: Vma, flags: VmFlags): VmFlags {
  if (has(flags, VM_WRITE)) {
    const never = (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE) as VmFlags;
    return has(vma.flags, never) ? flags : withFlag(flags, VM_ACCOUNT);
  }
  const unused = vma.file === null && vma.anonVma === null;
  return unused ? withoutFlag(flags, VM_ACCOUNT) : flags;
}

/** What changeProtection does besides giving every entry the rights that the VMA's flags say. */
export interface ProtectionChange {
  /** Set the uffd-wp bit. @linux MM_CP_UFFD_WP */
  readonly uffdWp?: boolean;
  /** Clear the uffd-wp bit. @linux MM_CP_UFFD_WP_RESOLVE */
  readonly uffdWpResolve?: boolean;
  /** With uffdWp on anonymous memory: whether empty slots get a marker (WP_UNPOPULATED). */
  readonly markers?: boolean;
}

/** Bits of a present word that hardware reads. */
const HARDWARE = PTE_WRITE | PTE_EXEC | PTE_PROTNONE;

/**
 * The flush at the end of a change: until it, other harts may write through what their TLBs remember, and what they
 * write is lost to whoever copied the page meanwhile.
 */
export const flushProtection = seam(
  'mprotect.flushProtection',
  function* (mm: Mm, start: Vaddr, end: Vaddr): Steps<void> {
    yield* flushTlbRange(mm, start, end);
  },
  'WP ioctl: a write through a stale TLB entry after the protection is in place',
);

/**
 * Changes the entries of [start, end), one step a table, and flushes what lost or gained rights.
 * @returns pages changed, or -ENOMEM when a table for markers cannot be had
 * Requires: mmap_lock for reading at least; the range within the VMA. @linux mm/mprotect.c change_protection
 */
export function* changeProtection(
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  change: ProtectionChange,
): Steps<number> {
  const tlb = tlbGatherMmu(vma.mm);
  const changed = yield* changeProtectionRange(tlb, vma, start, end, change);
  yield* tlbFinishMmu(tlb, flushProtection);
  return changed;
}

/**
 * Whether protecting leaves a marker in an empty slot: always for memory of files, which may come back from the page
 * cache; for anonymous memory when asked for. Before 5.19 there were no markers. @linux userfaultfd_wp_use_markers
 */
export const wpUsesMarkers = seam(
  'mprotect.wpUsesMarkers',
  (vma: Vma, change: ProtectionChange): boolean => vma.file !== null || change.markers === true,
);

/** The same without the flush, which the caller's gather does for several VMAs at once. */
export function* changeProtectionRange(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  change: ProtectionChange,
): Steps<number> {
  const { mm } = vma;
  const marks = change.uffdWp === true && wpUsesMarkers(vma, change);
  if (isVmHugetlb(vma)) return yield* changeHugetlb(tlb, vma, start, end, change, marks);
  let changed = 0;
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'protection-vma', start, end);
  tlb.walked(start, end);
  let address = marks ? start : skipMissing(mm, start, end);
  while (address < end) {
    const next = pmdAddrEnd(address, end);
    if (marks && (yield* allocPte(mm, address)) === -1) {
      changed = -ENOMEM;
      break;
    }
    changed += yield* changePteRange(tlb, vma, address, next, change, marks);
    address = marks ? next : skipMissing(mm, next, end);
  }
  yield* mmuNotifierInvalidateRangeEnd(range);
  return changed;
}

function* changePteRange(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  change: ProtectionChange,
  marks: boolean,
): Steps<number> {
  for (;;) {
    const pmd = pmdSlot(vma.mm, start);
    const table = pmd < 0 ? PTE_NONE : getPte(pmd);
    if (table === PTE_NONE) {
      if (!marks) return 0;
      // The table made for the markers was emptied and reclaimed before we came to use it.
      if ((yield* allocPte(vma.mm, start)) === -1) return 0;
      continue;
    }
    if (pteHuge(table)) {
      // What protects pages of files leaves a marker in each slot.
      const whole = isWholePmd(start, end) && !(vma.file !== null && change.uffdWp === true);
      const alter = (leaf: Pte): Pte => changePresentPte(vma, leaf, change);
      if (!whole) yield* splitHugePmd(vma, start);
      else if (yield* changeHugePmd(tlb, pmd, start, alter)) return (end - start) / PAGE_SIZE;
      continue;
    }
    assert(pteIsTable(table), 'migrating huge pages are not modelled: nothing makes one');
    const ptl = ptLockOf(pteSlotIn(table, start));
    yield* lock(ptl);
    if (getPte(pmd) !== table) {
      unlock(ptl);
      continue;
    }
    let changed = 0;
    for (let address = start; address < end; address += PAGE_SIZE) {
      if (changeSlot(tlb, vma, address, pteSlotIn(table, address), change, marks)) changed++;
    }
    unlock(ptl);
    return changed;
  }
}

function changeSlot(
  tlb: MmuGather,
  vma: Vma,
  address: Vaddr,
  slot: number,
  change: ProtectionChange,
  marks: boolean,
): boolean {
  const old = getPte(slot);
  const pte = changePte(vma, old, change, marks);
  if (pte === old) return pteKind(old) === 'present';
  setPte(slot, pte);
  if (pteKind(old) === 'present' && ((old ^ pte) & HARDWARE) !== 0) {
    tlb.note(address, address + PAGE_SIZE);
  }
  return true;
}

function changePte(vma: Vma, old: Pte, change: ProtectionChange, marks: boolean): Pte {
  switch (pteKind(old)) {
    case 'none':
      return marks ? mkMarker(PTE_MARKER_UFFD_WP) : old;
    case 'present':
      return changePresentPte(vma, old, change);
    case 'swap':
      return changeSavedBit(old, change);
    case 'migration':
      return changeSavedBit(withoutFlags(old, MIGRATION_WRITE), change);
    case 'marker':
      return change.uffdWpResolve === true && pteMarker(old) === PTE_MARKER_UFFD_WP
        ? PTE_NONE
        : old;
    default:
      return old;
  }
}

/** The bit of an entry that says it is write-protected for user space; some architectures have none. */
export const uffdWpBit: Seam<() => number> = seam('mprotect.uffdWpBit', (): number => PTE_UFFD_WP);

function changePresentPte(vma: Vma, old: Pte, change: ProtectionChange): Pte {
  const { flags } = vma;
  let pte = withFlags(withoutFlags(old, PTE_EXEC | PTE_PROTNONE | PTE_WRITE), pageProt(flags));
  if (change.uffdWp === true) return withFlags(pte, uffdWpBit());
  if (change.uffdWpResolve === true) pte = withoutFlags(pte, PTE_UFFD_WP);
  return canChangePteWritable(vma, pte) ? withFlags(pte, PTE_WRITE) : pte;
}

/** Whether the next write to a page has to fault, so that soft-dirty hears of it. Before 6.0 the test was the reverse. */
export const writeMarksSoftDirty = seam(
  'mprotect.writeMarksSoftDirty',
  (flags: VmFlags, pte: Pte): boolean => needsSoftDirtyWp(flags, pte),
);

/**
 * Whether an entry may be writable right away, without the fault that would make it so.
 * @linux mm/mprotect.c can_change_pte_writable
 */
function canChangePteWritable(vma: Vma, pte: Pte): boolean {
  const { flags } = vma;
  if (!has(flags, VM_WRITE) || writeMarksSoftDirty(flags, pte)) return false;
  // What is shared and not watched is writable by the mapping's protection: of watched ones that was once true too.
  if (pteUffdWp(pte)) return has(flags, VM_UFFD_WP) && vmPageProtWrite(vma) !== 0;
  if (has(flags, VM_SHARED)) {
    // Where first writes are reported, only what is dirty already may be written without one.
    return vmPageProtWrite(vma) !== 0 || pteDirty(pte);
  }
  return !pteSpecial(pte) && machine.frames.hasFlag(ptePfn(pte), PG_ANON_EXCLUSIVE);
}

function changeSavedBit(old: Pte, change: ProtectionChange): Pte {
  if (change.uffdWp === true) return withFlags(old, uffdWpBit());
  return change.uffdWpResolve === true ? withoutFlags(old, PTE_UFFD_WP) : old;
}

/**
 * Copying an address space: every VMA, and those page tables that could not be rebuilt by faults. Private pages become
 * read-only on both sides and exclusive to neither. @linux kernel/fork.c, mm/memory.c copy_page_range
 */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  MIGRATION_WRITE,
  mkMarker,
  mkPte,
  PTE_DIRTY,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  pteIsTable,
  pteKind,
  pteMarker,
  ptePfn,
  pteSpecial,
  pteUffdWp,
  pteWrite,
  SWP_EXCLUSIVE,
  swpOffset,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, take, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { fget } from '../fs/file.ts';
import {
  dupUserfaultfd,
  dupUserfaultfdComplete,
  dupUserfaultfdFail,
  type UserfaultfdForkCtx,
} from '../fs/userfaultfd-events.ts';
import { seam } from '../seam.ts';
import { anonVmaFork } from './anon-vma.ts';
import { mmput } from './exit-mmap.ts';
import { linkFileVma } from './filemap.ts';
import { copyHugePmd } from './huge-pmd.ts';
import { copyHugetlbPageRange } from './hugetlb-copy.ts';
import { hugetlbVmaDup, isVmHugetlb } from './hugetlb-vma.ts';
import { mayPromise } from './may-expand-vm.ts';
import { inheritedMdwe } from './mdwe.ts';
import { Mm, type Vaddr, Vma } from './mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock, vmaStartWrite } from './mmap-lock.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { maybeMkWrite, mkUffdWp, pageProt } from './page-prot.ts';
import { allocPte, pmdAddrEnd, pmdSlot, pteSlotIn, ptLockOf, skipMissing } from './pgtable.ts';
import {
  countMigrating,
  folioAddNewAnonRmap,
  folioDupFileRmap,
  folioTryDupAnonRmap,
} from './rmap.ts';
import { dirtyBits } from './soft-dirty.ts';
import { swapDuplicate } from './swapfile.ts';
import { flushTlbMm } from './tlb.ts';
import {
  has,
  isCowMapping,
  VM_DONTCOPY,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYBE_GUARD,
  VM_PFNMAP,
  VM_SHARED,
  VM_UFFD_WP,
  VM_WIPEONFORK,
  type VmFlags,
  withoutFlag,
} from './vm-flags.ts';
import { insertVma } from './vma.ts';

/** Locked-memory flags, which a child does not inherit. @linux VM_LOCKED_MASK */
const VM_LOCKED_MASK = (VM_LOCKED | VM_LOCKONFAULT) as VmFlags;

/**
 * A copy of an address space for a child that has one user, itself. Waits until the FORK events it causes are read.
 * @returns the child's mm, or -ENOMEM with the parent as it was but for pages that are read-only now
 * Requires: no lock. @linux kernel/fork.c dup_mm, mm/mmap.c dup_mmap
 */
export function* dupMm(old: Mm): Steps<Mm | number> {
  const mm = new Mm(world.nextMm++);
  world.mms.add(mm);
  const forks: UserfaultfdForkCtx[] = [];
  yield* mmapWriteLock(old);
  // Nobody else knows the child's mm yet: its lock costs no step.
  take(mm.mmapLock);
  copyFields(mm, old);
  let result = 0;
  for (const vma of old.vmas) {
    result = yield* dupVma(mm, vma, forks);
    if (result < 0) break;
  }
  yield* flushTlbMm(old);
  mmapWriteUnlock(mm);
  mmapWriteUnlock(old);
  if (result < 0) {
    if (cancelsForkEvents()) dupUserfaultfdFail(forks);
    else yield* dupUserfaultfdComplete(forks);
    yield* mmput(mm);
    return result;
  }
  yield* dupUserfaultfdComplete(forks);
  return mm;
}

/** Whether a fork that fails takes its FORK events back. */
export const cancelsForkEvents = seam('fork.cancelsForkEvents', (): boolean => true);

function copyFields(mm: Mm, old: Mm): void {
  mm.mergeAny = old.mergeAny;
  mm.mdwe = inheritedMdwe(old);
  mm.exeFile = old.exeFile === null ? null : fget(old.exeFile);
  mm.startBrk = old.startBrk;
  mm.brk = old.brk;
  mm.thpDisable = old.thpDisable;
  mm.startStack = old.startStack;
  mm.argStart = old.argStart;
  mm.argEnd = old.argEnd;
  mm.envStart = old.envStart;
  mm.envEnd = old.envEnd;
}

/** One VMA of the child. Requires: mmap_lock of both for writing. */
function* dupVma(mm: Mm, vma: Vma, forks: UserfaultfdForkCtx[]): Steps<number> {
  yield* vmaStartWrite(vma);
  if (has(vma.flags, VM_DONTCOPY)) return 0;
  if (!mayPromise(vma.flags, (vma.end - vma.start) / PAGE_SIZE)) return -ENOMEM;
  const copy = new Vma(mm, vma.start, vma.end, vma.flags, vma.pgoff);
  copy.file = vma.file;
  copy.uffd = vma.uffd;
  if (isVmHugetlb(vma)) hugetlbVmaDup(copy);
  const result = yield* dupUserfaultfd(vma, copy, forks);
  if (result < 0) return result;
  const wipe = has(vma.flags, VM_WIPEONFORK);
  if (!wipe) yield* anonVmaFork(copy, vma);
  copy.flags = withoutFlag(copy.flags, VM_LOCKED_MASK);
  if (copy.file !== null) fget(copy.file);
  yield* linkFileVma(copy);
  insertVma(copy);
  mm.totalVm += (copy.end - copy.start) / PAGE_SIZE;
  return wipe ? 0 : yield* copyPageRange(copy, vma);
}

/**
 * Copies the page tables of a VMA, unless faults would bring everything back by themselves.
 * @returns 0 or -ENOMEM
 * Requires: mmap_lock of both for writing, both VMAs write-locked. @linux mm/memory.c copy_page_range
 */
export function* copyPageRange(dst: Vma, src: Vma): Steps<number> {
  if (!vmaNeedsCopy(dst, src)) return 0;
  if (isVmHugetlb(src)) return yield* copyHugetlbPageRange(dst, src);
  const cow = isCowMapping(src.flags);
  const range = cow
    ? yield* mmuNotifierInvalidateRangeStart(src.mm, 'protection-page', src.start, src.end)
    : null;
  if (cow) bumpWriteProtectSeq(src.mm);
  let result = 0;
  let address = skipMissing(src.mm, src.start, src.end);
  while (address < src.end && result === 0) {
    const next = pmdAddrEnd(address, src.end);
    result = yield* copyPteRange(dst, src, address, next);
    address = skipMissing(src.mm, next, src.end);
  }
  if (cow) bumpWriteProtectSeq(src.mm);
  yield* mmuNotifierInvalidateRangeEnd(range);
  return result;
}

/** Begins or ends write-protecting pages that GUP-fast might be pinning. @linux raw_write_seqcount_begin */
function bumpWriteProtectSeq(mm: Mm): void {
  sched.touch(mm.writeProtectCell, WRITE);
  mm.writeProtectSeq++;
}

/** A VMA without anon_vma, write-protection and guards holds nothing private. @linux vma_needs_copy */
function vmaNeedsCopy(dst: Vma, src: Vma): boolean {
  if (has(dst.flags, VM_UFFD_WP) || src.anonVma !== null) return true;
  return has(src.flags, (VM_PFNMAP | VM_MAYBE_GUARD) as VmFlags);
}

/** One table, one step under both locks. @linux copy_pte_range */
function* copyPteRange(dst: Vma, src: Vma, start: Vaddr, end: Vaddr): Steps<number> {
  const pmd = pmdSlot(src.mm, start);
  const table = getPte(pmd);
  if (table === PTE_NONE) return 0;
  if (!pteIsTable(table)) {
    const copied = yield* copyHugePmd(dst, src, pmd, start);
    if (copied === 'again') return yield* copyPteRange(dst, src, start, end);
    return copied === 'done' ? 0 : -ENOMEM;
  }
  const first = yield* allocPte(dst.mm, start);
  if (first < 0) return -ENOMEM;
  const from = pteSlotIn(table, start);
  const ptl = ptLockOf(from);
  const dstPtl = ptLockOf(first);
  yield* lock(ptl);
  take(dstPtl);
  let result = 0;
  for (let address = start; address < end && result === 0; address += PAGE_SIZE) {
    const i = (address - start) / PAGE_SIZE;
    result = copyPte(dst, src, address, first + i, from + i);
  }
  unlock(dstPtl);
  unlock(ptl);
  return result;
}

/** Requires: both page-table locks. @returns 0 or -ENOMEM */
function copyPte(dst: Vma, src: Vma, address: Vaddr, to: number, from: number): number {
  const pte = getPte(from);
  switch (pteKind(pte)) {
    case 'none':
      return 0;
    case 'present':
      return copyPresentPte(dst, src, address, to, from);
    case 'marker': {
      const marker = copyPteMarker(pte, dst);
      if (marker !== PTE_NONE) setPte(to, marker);
      return 0;
    }
    case 'swap':
      setPte(to, copySwapPte(pte, dst, src, from));
      return 0;
    case 'migration':
      setPte(to, copyMigrationPte(pte, dst, src, from));
      return 0;
    case 'hwpoison':
      setPte(to, keepsUffdWp(dst, src) ? pte : withoutFlags(pte, PTE_UFFD_WP));
      return 0;
    case 'table':
      assert(false, 'a PTE that is a table');
  }
}

/** Whether the child's entry stays write-protected: only where the child's mapping is registered. */
export const keepsUffdWp = seam('fork.keepsUffdWp', (dst: Vma, _src: Vma): boolean =>
  has(dst.flags, VM_UFFD_WP),
);
/** The same for a marker in an empty slot. */
export const keepsMarker = seam('fork.keepsMarker', (dst: Vma): boolean =>
  has(dst.flags, VM_UFFD_WP),
);

/** One more entry names the slot, and neither is exclusive. @returns the child's. @linux copy_nonpresent_pte */
function copySwapPte(pte: Pte, dst: Vma, src: Vma, from: number): Pte {
  swapDuplicate(swpOffset(pte));
  dst.mm.rss.swap++;
  const shared = withoutFlags(pte, SWP_EXCLUSIVE);
  if (shared !== pte) setPte(from, shared);
  return keepsUffdWp(dst, src) ? shared : withoutFlags(shared, PTE_UFFD_WP);
}

/** The page that is being moved will be shared: neither may write it directly. @returns the child's. @linux copy_nonpresent_pte */
function copyMigrationPte(pte: Pte, dst: Vma, src: Vma, from: number): Pte {
  countMigrating(dst.mm, ptePfn(pte), 1);
  const shared = isCowMapping(src.flags) ? withoutFlags(pte, MIGRATION_WRITE | SWP_EXCLUSIVE) : pte;
  if (shared !== pte) setPte(from, shared);
  return keepsUffdWp(dst, src) ? shared : withoutFlags(shared, PTE_UFFD_WP);
}

/** Poison and guards are inherited; write-protection only where the child's VMA is registered. @linux copy_pte_marker */
function copyPteMarker(pte: Pte, dst: Vma): Pte {
  const kept = PTE_MARKER_POISONED | PTE_MARKER_GUARD | (keepsMarker(dst) ? PTE_MARKER_UFFD_WP : 0);
  const mask = pteMarker(pte) & kept;
  return mask === 0 ? PTE_NONE : mkMarker(mask);
}

/** @linux copy_present_ptes, copy_present_page */
function copyPresentPte(dst: Vma, src: Vma, address: Vaddr, to: number, from: number): number {
  let pte = getPte(from);
  const pfn = ptePfn(pte);
  if (!pteSpecial(pte)) {
    if (!machine.frames.hasFlag(pfn, PG_ANON)) folioDupFileRmap(pfn, dst);
    else if (!folioTryDupAnonRmap(pfn, dst, src)) return copyPinnedPage(dst, address, to, pte);
  }
  if (!has(src.flags, VM_SHARED) && pteWrite(pte)) {
    pte = withoutFlags(pte, PTE_WRITE);
    setPte(from, pte);
  }
  const inherited = keepsUffdWp(dst, src) ? pte : withoutFlags(pte, PTE_UFFD_WP);
  // What the child has not written itself is clean to it. @linux __copy_present_ptes
  const clean = has(src.flags, VM_SHARED) ? PTE_YOUNG | PTE_DIRTY : PTE_YOUNG;
  setPte(to, withoutFlags(inherited, clean));
  return 0;
}

/** A page that a device may be writing stays the parent's alone: the child gets its content as of now. */
function copyPinnedPage(dst: Vma, address: Vaddr, to: number, pte: Pte): number {
  const fresh = machine.frames.alloc(world.owner());
  if (fresh === 0) return -ENOMEM;
  machine.frames.copy(fresh, ptePfn(pte));
  folioAddNewAnonRmap(fresh, dst, address);
  const entry = maybeMkWrite(mkPte(fresh, dirtyBits() | pageProt(dst.flags)), dst);
  setPte(to, has(dst.flags, VM_UFFD_WP) && pteUffdWp(pte) ? mkUffdWp(entry) : entry);
  return 0;
}

/**
 * The fault path: from "this address" to a page-table entry that allows the access, or the reason why not.
 * Steps are those of semantics.md section 22, F and F-wp; what a fault decided without the page-table lock it looks at
 * again under it, and each such look is a seam. @linux mm/memory.c
 */
import { assert } from '../../base/assert.ts';
import { contentCell, pteCell, refcountCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON, PG_ANON_EXCLUSIVE, PG_SWAPCACHE, ZERO_PFN } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkPte,
  type Pfn,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_YOUNG,
  type Pte,
  pteHuge,
  pteIsTable,
  pteKind,
  pteMarker,
  ptePfn,
  pteSpecial,
  pteUffdWp,
  pteUffdWpAny,
  pteWrite,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access, announce } from '../../sched/access.ts';
import { ADD, READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, lockLater, lockNow, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import { accountFault } from '../core/usage.ts';
import { world } from '../current.ts';
import { handleUserfault, userfaultfdWpAsync } from '../fs/userfaultfd.ts';
import { seam } from '../seam.ts';
import { hasAnonVma } from './anon-vma.ts';
import { doFault } from './do-fault.ts';
import { doSwapPage } from './do-swap-page.ts';
import { inodeToTell, wpPageShared } from './filemap-fault.ts';
import { folioCouldLock } from './folio-lock.ts';
import { handleHugePmd } from './huge-memory.ts';
import { mappedByAlone } from './huge-split.ts';
import { hugetlbFault } from './hugetlb-fault.ts';
import { isVmHugetlb } from './hugetlb-vma.ts';
import { isKsm } from './ksm-page.ts';
import { migrationEntryWait } from './migrate.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { stableAddressSpace } from './oom-stable.ts';
import { allocPage, allocSlowpath, outOfTables } from './page-alloc.ts';
import { maybeMkWrite, mkUffdWp, pageProt } from './page-prot.ts';
import { allocPmd, pmdSlot, pteSlot, ptLockOf } from './pgtable.ts';
import { tableStillThere } from './pte-offset-map.ts';
import {
  folioAddNewAnonRmap,
  folioMarkDirty,
  folioMoveAnonRmap,
  folioRemoveRmap,
  noOtherReference,
} from './rmap.ts';
import { dirtyBits } from './soft-dirty.ts';
import { folioFreeSwap, freeFolioAndSwapCache } from './swapfile.ts';
import { usesHugePages } from './thp-policy.ts';
import { flushHartNow, flushNow, mmTlbFlushPending } from './tlb.ts';
import {
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  type FaultFlags,
  flagged,
  VM_FAULT_FALLBACK,
  VM_FAULT_HWPOISON,
  VM_FAULT_NONE,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_MAYSHARE, VM_SHARED, VM_UFFD_WP, type VmFlags } from './vm-flags.ts';
import {
  type Fault,
  mayFillMissing,
  pteMarkerClear,
  slotSameOnInstall,
  vmfAnonPrepare,
  vmfPteAlloc,
  vmfPteFind,
} from './vmf.ts';

/**
 * Makes an access possible. The permission of the VMA has been checked.
 * @param address any byte of the page
 * @returns VM_FAULT_NONE: access it again; VM_FAULT_RETRY: the lock was dropped; VM_FAULT_ERROR bits: it is still held
 * Requires: the VMA lock (FAULT_FLAG_VMA_LOCK) or mmap_lock, for reading. @linux handle_mm_fault
 */
export function* handleMmFault(
  vma: Vma,
  task: Task,
  address: Vaddr,
  flags: FaultFlags,
): Steps<VmFault> {
  if (isVmHugetlb(vma)) {
    return accountFault(task, flags, yield* hugetlbFault(vma, task, address, flags));
  }
  const vmf: Fault = {
    vma,
    task,
    address: Math.floor(address / PAGE_SIZE) * PAGE_SIZE,
    realAddress: address,
    flags,
    pmd: -1,
    slot: -1,
    orig: PTE_NONE,
  };
  const fault = usesHugePages() ? hugeOrPteFault(vmf) : handlePteFault(vmf);
  return accountFault(task, flags, yield* fault);
}

/** A huge page, where there is one or may be one; else pages one by one. @linux __handle_mm_fault */
function* hugeOrPteFault(vmf: Fault): Steps<VmFault> {
  const { vma, address } = vmf;
  vmf.pmd = vma.file === null ? allocPmd(vma.mm, address) : pmdSlot(vma.mm, address);
  if (vmf.pmd < 0) return vma.file === null ? VM_FAULT_OOM : yield* handlePteFault(vmf);
  vmf.orig = getPte(vmf.pmd);
  const result = pteIsTable(vmf.orig) ? VM_FAULT_FALLBACK : yield* handleHugePmd(vmf);
  vmf.orig = PTE_NONE;
  return result === VM_FAULT_FALLBACK ? yield* handlePteFault(vmf) : result;
}

/** @linux handle_pte_fault */
export function* handlePteFault(vmf: Fault): Steps<VmFault> {
  const { vma, address } = vmf;
  // Memory of files gets a table when there is a page to put in it: none for a SIGBUS, none while user space is asked.
  const late = vma.file !== null && pteSlot(vma.mm, address) < 0;
  const pmd = late ? pmdSlot(vma.mm, address) : -1;
  if (late && (pmd < 0 || !pteHuge(getPte(pmd)))) return yield* doFault(vmf);
  const outcome = late ? 'huge' : vmfPteFind(vmf) ? 'done' : yield* vmfPteAlloc(vmf);
  if (outcome === 'no-memory') {
    yield* outOfTables();
    return VM_FAULT_OOM;
  }
  // A huge page has come between, or is there although faults do not bring any.
  if (outcome === 'huge') return yield* hugeOrPteFault(vmf);
  // RCU: the table may be freed as soon as nobody reads in it.
  world.rcu.readLock();
  if (sched.wants()) yield* announce('loadPte', pteCell(vmf.slot));
  vmf.orig = getPte(vmf.slot);
  world.rcu.readUnlock();
  switch (pteKind(vmf.orig)) {
    case 'none':
      return yield* doPteMissing(vmf);
    case 'present':
      return yield* doPresent(vmf);
    case 'marker':
      return yield* handlePteMarker(vmf);
    case 'swap':
      return (yield* doSwapPage(vmf)) ?? (yield* doWpPage(vmf));
    case 'migration':
      yield* migrationEntryWait(vmf.vma.mm, vmf.address);
      return VM_FAULT_NONE;
    case 'hwpoison':
      return VM_FAULT_HWPOISON;
    case 'table':
      assert(false, 'a PTE that is a table');
  }
}

/** Nothing there, or only the memory of a write protection. @linux do_pte_missing */
function doPteMissing(vmf: Fault): Steps<VmFault> {
  return vmf.vma.file === null ? doAnonymousPage(vmf) : doFault(vmf);
}

/** Poison and guards are final; write protection is carried into the page that is made now. @linux handle_pte_marker */
function* handlePteMarker(vmf: Fault): Steps<VmFault> {
  const marker = pteMarker(vmf.orig);
  if ((marker & PTE_MARKER_POISONED) !== 0) return VM_FAULT_HWPOISON;
  if ((marker & PTE_MARKER_GUARD) !== 0) return VM_FAULT_SIGSEGV;
  assert(marker === PTE_MARKER_UFFD_WP, () => `a marker with mask ${marker}`);
  if (has(vmf.vma.flags, VM_UFFD_WP)) return yield* doPteMissing(vmf);
  return yield* pteMarkerClear(vmf);
}

/**
 * First touch of private memory: the zero page for a read, a new zeroed page for a write, a message when user space
 * asked to fill it. @linux do_anonymous_page
 */
function* doAnonymousPage(vmf: Fault): Steps<VmFault> {
  const { vma, slot } = vmf;
  let pfn: Pfn | 0 = 0;
  let entry: Pte;
  if (flagged(vmf.flags, FAULT_FLAG_WRITE)) {
    const prepared = hasAnonVma(vma) ? VM_FAULT_NONE : yield* vmfAnonPrepare(vmf);
    if (prepared !== VM_FAULT_NONE) return prepared;
    pfn = machine.frames.alloc(world.owner()) || (yield* allocSlowpath());
    if (pfn === 0) return VM_FAULT_OOM;
    machine.frames.zero(pfn);
    entry = maybeMkWrite(mkPte(pfn, PTE_YOUNG | dirtyBits() | pageProt(vma.flags)), vma);
  } else {
    entry = mkPte(ZERO_PFN, PTE_YOUNG | PTE_SPECIAL | pageProt(vma.flags));
  }
  if (pteUffdWpAny(vmf.orig)) entry = mkUffdWp(entry);

  const ptl = ptLockOf(slot);
  if (!lockNow(ptl)) yield* lockLater(ptl);
  const same = tableStillThere(vmf.pmd, slot) && slotSameOnInstall(vmf);
  const stable = stableAddressSpace(vma.mm);
  const fill = same && stable && mayFillMissing(vmf);
  if (fill) {
    if (pfn !== 0) folioAddNewAnonRmap(pfn, vma, vmf.address);
    setPte(slot, entry);
  }
  unlock(ptl);
  if (!fill && pfn !== 0) machine.frames.put(pfn, world.owner());
  if (same && !fill) return stable ? yield* handleUserfault(vmf, 'missing') : VM_FAULT_SIGBUS;
  return VM_FAULT_NONE;
}

/** The entry was present and did not allow the access when it was looked at, or a TLB said so. */
function* doPresent(vmf: Fault): Steps<VmFault> {
  const { slot } = vmf;
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  if (!tableStillThere(vmf.pmd, slot) || !slotSameBeforeWp(vmf)) {
    unlock(ptl);
    return VM_FAULT_NONE;
  }
  const write = flagged(vmf.flags, FAULT_FLAG_WRITE);
  if ((write || flagged(vmf.flags, FAULT_FLAG_UNSHARE)) && !pteWrite(vmf.orig)) {
    return yield* doWpPage(vmf);
  }
  // Spurious: somebody else resolved it, and only this hart's TLB did not know. x86 drops the entry as it faults.
  const entry = withFlags(vmf.orig, PTE_YOUNG | (write ? dirtyBits() : 0));
  if (entry !== vmf.orig) setPte(slot, entry);
  flushHartNow(vmf.task.hart, vmf.address);
  unlock(ptl);
  return VM_FAULT_NONE;
}

/** Under the page-table lock: is the entry still the one that denied the access? */
export const slotSameBeforeWp = seam(
  'memory.slotSameBeforeWp',
  (vmf: Fault): boolean => getPte(vmf.slot) === vmf.orig,
  'F-wp: chk same (first): the entry may have been zapped, protected or replaced since it was read',
);

/**
 * A write (or an unshare) meets a present entry that is not writable: tells user space when it protected the page, else
 * uses the page when nobody else has it, else copies it.
 * Requires: the page-table lock, which it releases. @linux do_wp_page
 */
function* doWpPage(vmf: Fault): Steps<VmFault> {
  const { vma, slot } = vmf;
  const ptl = ptLockOf(slot);
  const unshare = flagged(vmf.flags, FAULT_FLAG_UNSHARE);
  if (!unshare && has(vma.flags, VM_UFFD_WP) && pteUffdWp(vmf.orig)) {
    if (!userfaultfdWpAsync(vma)) {
      unlock(ptl);
      return yield* handleUserfault(vmf, 'wp');
    }
    vmf.orig = withoutFlags(vmf.orig, PTE_UFFD_WP);
    setPte(slot, vmf.orig);
  }
  const old = ptePfn(vmf.orig);
  if (has(vma.flags, (VM_SHARED | VM_MAYSHARE) as VmFlags)) {
    // Somebody wanted to hear of the first write, and now has. @linux wp_page_shared
    const asks = unshare ? null : inodeToTell(vma);
    if (asks !== null) return yield* wpPageShared(vmf, asks, wpPageReuse);
    if (!unshare) {
      folioMarkDirty(old);
      wpPageReuse(vmf);
    }
    unlock(ptl);
    return VM_FAULT_NONE;
  }
  if (!pteSpecial(vmf.orig)) {
    if (isReusable(old, vma)) {
      if (!unshare) wpPageReuse(vmf);
      unlock(ptl);
      return VM_FAULT_NONE;
    }
    machine.frames.get(old);
  }
  unlock(ptl);
  return yield* wpPageCopy(vmf);
}

/** Whether the write may go to the page itself: a private page that is nobody else's. */
function isReusable(pfn: Pfn, vma: Vma): boolean {
  if (!machine.frames.hasFlag(pfn, PG_ANON) || isKsm(pfn)) return false;
  return machine.frames.hasFlag(pfn, PG_ANON_EXCLUSIVE) || wpCanReuseAnonFolio(pfn, vma);
}

/**
 * Whether the only reference to the folio is this mapping, or that of the swap cache besides, which goes: then it becomes exclusive, and belongs to this VMA.
 * Requires: the page-table lock. @linux wp_can_reuse_anon_folio
 */
function wpCanReuseAnonFolio(pfn: Pfn, vma: Vma): boolean {
  const { frames } = machine;
  const cached = world.swap !== null && frames.hasFlag(pfn, PG_SWAPCACHE);
  if (frames.order(pfn) > 0) {
    if (!mappedByAlone(pfn, vma.mm)) return false;
    frames.setFlag(pfn, PG_ANON_EXCLUSIVE);
    return true;
  }
  if (!noOtherReference(pfn, cached ? 2 : 1)) return false;
  if (cached && !(folioCouldLock(pfn) && folioFreeSwap(pfn))) return false;
  folioMoveAnonRmap(pfn, vma);
  frames.setFlag(pfn, PG_ANON_EXCLUSIVE);
  return true;
}

/**
 * A protection bit that the VMA's registration has outlived stays, and the entry becomes writable all the same.
 * @linux wp_page_reuse
 */
function wpPageReuse(vmf: Fault): void {
  if (pteUffdWp(vmf.orig)) vmf.vma.mm.staleUffdWp = true;
  setPte(vmf.slot, maybeMkWrite(withFlags(vmf.orig, PTE_YOUNG | dirtyBits()), vmf.vma));
}

/**
 * Whether no hart can be writing through a right that write-protection took away and a flush has yet to take from the
 * TLBs: otherwise the copy would miss what it writes.
 *
 * Differs from Linux: the flush is part of the step that copies, not of the one that found the entry under its lock;
 * in between nothing can give a TLB the right to write back.
 */
export const noFlushPending = seam(
  'memory.noFlushPending',
  (vma: Vma): boolean => !has(vma.flags, VM_UFFD_WP) || !mmTlbFlushPending(vma.mm),
  'F-wp: flush-if-pending: a stale writable TLB entry could change the page while it is copied',
);

/** Under the page-table lock again: is it still the entry whose page was copied? */
export const slotSameAfterCopy = seam(
  'memory.slotSameAfterCopy',
  (vmf: Fault): boolean => getPte(vmf.slot) === vmf.orig,
  'F-wp: chk same after copy: while the page was copied the entry may have changed, and the copy is of the wrong page',
);

/** Requires: no page-table lock; a reference to the old page unless it is the zero page. @linux wp_page_copy */
function* wpPageCopy(vmf: Fault): Steps<VmFault> {
  const { vma, slot } = vmf;
  const { frames } = machine;
  const special = pteSpecial(vmf.orig);
  const old = ptePfn(vmf.orig);
  const prepared = yield* vmfAnonPrepare(vmf);
  const fresh = prepared === VM_FAULT_NONE ? yield* allocPage() : 0;
  if (fresh === 0) {
    if (!special) frames.put(old, world.owner());
    return prepared === VM_FAULT_NONE ? VM_FAULT_OOM : prepared;
  }
  if (sched.wants()) yield* access('copy page', contentCell(old), READ);
  if (!noFlushPending(vma)) flushNow(vma.mm, vmf.address, vmf.address + PAGE_SIZE);
  if (special) frames.zero(fresh);
  else frames.copy(fresh, old);

  const end = vmf.address + PAGE_SIZE;
  const range = yield* mmuNotifierInvalidateRangeStart(vma.mm, 'clear', vmf.address, end);
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  const same = tableStillThere(vmf.pmd, slot) && slotSameAfterCopy(vmf);
  if (same) {
    // The old right has to be gone everywhere before the new page can be written.
    flushNow(vma.mm, vmf.address, vmf.address + PAGE_SIZE);
    folioAddNewAnonRmap(fresh, vma, vmf.address);
    setPte(slot, copiedPte(vmf, fresh));
    if (!special) folioRemoveRmap(old, vma);
  }
  unlock(ptl);
  yield* mmuNotifierInvalidateRangeEnd(range);
  if (!same) frames.put(fresh, world.owner());
  if (special) return VM_FAULT_NONE;
  if (sched.wants()) yield* access('drop old page', refcountCell(old), ADD);
  if (same) freeFolioAndSwapCache(old);
  frames.put(old, world.owner());
  return VM_FAULT_NONE;
}

/** The entry for a copy: an unshare changes whose page it is, not what may be done with it. */
function copiedPte(vmf: Fault, pfn: Pfn): Pte {
  const entry = mkPte(pfn, PTE_YOUNG | pageProt(vmf.vma.flags));
  if (flagged(vmf.flags, FAULT_FLAG_UNSHARE)) {
    const kept = withFlags(entry, vmf.orig & PTE_SOFT_DIRTY);
    return pteUffdWp(vmf.orig) ? mkUffdWp(kept) : kept;
  }
  return maybeMkWrite(withFlags(entry, dirtyBits()), vmf.vma);
}

/**
 * Faults on hugetlb mappings.
 *
 *   fault mutex of the page | lock of the mapping's tables | walk, share or build tables | page cache or pool |
 *   PTL: chk slot same, install | all released
 *
 * @linux mm/hugetlb.c hugetlb_fault; semantics.md section 22, HUGETLB fault
 */
import { assert } from '../../base/assert.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  type Pfn,
  PTE_DIRTY,
  PTE_MARKER_POISONED,
  PTE_NONE,
  PTE_UFFD_WP,
  PTE_YOUNG,
  pteIsMarker,
  pteMarker,
  ptePresent,
  pteUffdWp,
  pteUffdWpAny,
  pteWrite,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, loadPte, setPte } from '../../machine/tables.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import type { Inode } from '../fs/inode.ts';
import { handleUserfault, type UffdReason, userfaultfdWpAsync } from '../fs/userfaultfd.ts';
import { seam } from '../seam.ts';
import { filemapLockFolio, vmaInode } from './filemap.ts';
import { folioSetLocked, folioUnlock, folioUnlockPut } from './folio-lock.ts';
import {
  allocHugetlbFolio,
  hugetlbAddNewAnonRmap,
  hugetlbAddRmap,
  hugetlbAddToPageCache,
  makeHugePte,
  putUnused,
  zeroHugeFolio,
} from './hugetlb-folio.ts';
import { hugetlbFaultMutex, hugetlbVmaLockRead, hugetlbVmaUnlockRead } from './hugetlb-lock.ts';
import { hugePteAlloc } from './hugetlb-pte.ts';
import { hstateVma } from './hugetlb-vma.ts';
import { type HugetlbFault, hugetlbSlotSame, hugetlbWp } from './hugetlb-wp.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { mkUffdWp } from './page-prot.ts';
import { ptLockOf } from './pgtable.ts';
import { linearPageIndex } from './rmap.ts';
import { flushNow } from './tlb.ts';
import {
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  type FaultFlags,
  flagged,
  VM_FAULT_HWPOISON,
  VM_FAULT_NONE,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  type VmFault,
} from './vm-fault.ts';
import {
  has,
  VM_MAYSHARE,
  VM_SHARED,
  VM_UFFD_MINOR,
  VM_UFFD_MISSING,
  VM_UFFD_WP,
} from './vm-flags.ts';
import { vmfAnonPrepare } from './vmf.ts';

/**
 * Makes an access to a huge page possible.
 * @returns as handleMmFault. Requires: as handleMmFault. @linux hugetlb_fault
 */
export function* hugetlbFault(
  vma: Vma,
  task: Task,
  address: Vaddr,
  flags: FaultFlags,
): Steps<VmFault> {
  const h = hstateVma(vma);
  const inode = vmaInode(vma);
  assert(inode !== null, 'a hugetlb mapping without a file');
  const page = Math.floor(address / h.size) * h.size;
  const index = linearPageIndex(vma, page);
  const mutex = hugetlbFaultMutex(inode.mapping, index);
  const base = { vma, task, address: page, realAddress: address, flags, h, inode, index, mutex };
  const vmf: HugetlbFault = { ...base, pmd: -1, slot: -1, orig: PTE_NONE };
  yield* lock(mutex);
  yield* hugetlbVmaLockRead(vma);
  vmf.slot = yield* hugePteAlloc(vma, page);
  if (vmf.slot < 0) return released(vmf, VM_FAULT_OOM);
  vmf.orig = yield* loadPte(vmf.slot);
  if (vmf.orig === PTE_NONE || pteIsMarker(vmf.orig)) {
    if ((pteMarker(vmf.orig) & PTE_MARKER_POISONED) !== 0) return released(vmf, VM_FAULT_HWPOISON);
    return yield* hugetlbNoPage(vmf, inode);
  }
  assert(ptePresent(vmf.orig), 'migrating and lost huge pages are not modelled: nothing makes one');
  return yield* doPresent(vmf);
}

/** The end of a fault that did not wait. */
function released(vmf: HugetlbFault, result: VmFault): VmFault {
  hugetlbVmaUnlockRead(vmf.vma);
  unlock(vmf.mutex);
  return result;
}

/** Gives the fault to user space, holding nothing that its handler may want. @linux hugetlb_handle_userfault */
function* toUserspace(vmf: HugetlbFault, reason: UffdReason): Steps<VmFault> {
  released(vmf, VM_FAULT_NONE);
  return yield* handleUserfault(vmf, reason);
}

/** There is an entry, and it did not allow the access. */
function* doPresent(vmf: HugetlbFault): Steps<VmFault> {
  const { vma, slot } = vmf;
  const write = flagged(vmf.flags, FAULT_FLAG_WRITE);
  const unshare = flagged(vmf.flags, FAULT_FLAG_UNSHARE);
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  if (!slotSameBeforeWp(vmf)) {
    unlock(ptl);
    return released(vmf, VM_FAULT_NONE);
  }
  if (write && !pteWrite(vmf.orig) && has(vma.flags, VM_UFFD_WP) && pteUffdWp(vmf.orig)) {
    if (!userfaultfdWpAsync(vma)) {
      unlock(ptl);
      return yield* toUserspace(vmf, 'wp');
    }
    vmf.orig = withoutFlags(vmf.orig, PTE_UFFD_WP);
    setPte(slot, vmf.orig);
  }
  if ((write || unshare) && !pteWrite(vmf.orig)) {
    return released(vmf, yield* hugetlbWp(vmf));
  }
  const entry = withFlags(vmf.orig, PTE_YOUNG | (write ? PTE_DIRTY : 0));
  if (entry !== vmf.orig) setPte(slot, entry);
  // Spurious: only this hart's TLB did not know.
  const at = Math.floor(vmf.realAddress / PAGE_SIZE) * PAGE_SIZE;
  flushNow(vma.mm, at, at + PAGE_SIZE);
  unlock(ptl);
  return released(vmf, VM_FAULT_NONE);
}

export const slotSameBeforeWp = seam(
  'hugetlb.slotSameBeforeWp',
  (vmf: HugetlbFault): boolean => getPte(vmf.slot) === vmf.orig,
  'HUGETLB fault: chk same before wp: the entry may have been protected or taken away since it was read',
);

/** Under the page-table lock, for a moment: is the slot what the fault saw? @linux hugetlb_pte_stable */
function* pteStable(vmf: HugetlbFault): Steps<boolean> {
  const ptl = ptLockOf(vmf.slot);
  yield* lock(ptl);
  const same = missingStable(vmf);
  unlock(ptl);
  return same;
}

export const missingStable = seam(
  'hugetlb.missingStable',
  (vmf: HugetlbFault): boolean => getPte(vmf.slot) === vmf.orig,
  'HUGETLB fault: chk slot under PTL before user space is told: what is there now need not be missing',
);

/** Whether the file reaches as far as the page. Requires: the fault mutex, which a removal takes too. */
export const withinFile = seam(
  'hugetlb.withinFile',
  (inode: Inode, index: number): boolean => index * PAGE_SIZE < inode.size,
  'HUGETLB fault: chk i_size: a truncation that has passed the index already would never remove the page',
);

/** What a fault on an empty slot found or made. */
interface Found {
  readonly pfn: Pfn;
  /** A page of the pool that nobody knows yet. */
  readonly fresh: boolean;
  /** It is in the page cache. */
  readonly cached: boolean;
}

/** @linux hugetlb_no_page */
function* hugetlbNoPage(vmf: HugetlbFault, inode: Inode): Steps<VmFault> {
  const { vma, slot } = vmf;
  if (vma.hugetlb?.unmapped === true) return released(vmf, VM_FAULT_SIGBUS);
  const found = yield* findOrMake(vmf, inode);
  if (typeof found === 'number') return found;
  const { pfn, cached } = found;
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  if (!hugetlbSlotSame(vmf)) {
    unlock(ptl);
    if (found.fresh && !cached) putUnlocked(vmf, pfn);
    else folioUnlockPut(pfn);
    return released(vmf, VM_FAULT_NONE);
  }
  if (cached) hugetlbAddRmap(pfn, vma);
  else hugetlbAddNewAnonRmap(pfn, vma, vmf.address);
  let entry = makeHugePte(vma, pfn, has(vma.flags, VM_SHARED));
  if (pteUffdWpAny(vmf.orig)) entry = mkUffdWp(entry);
  setPte(slot, entry);
  vmf.orig = entry;
  let result: VmFault = VM_FAULT_NONE;
  // A private page is written at once instead of by a second fault.
  if (flagged(vmf.flags, FAULT_FLAG_WRITE) && !has(vma.flags, VM_SHARED)) {
    result = yield* hugetlbWp(vmf);
  } else {
    unlock(ptl);
  }
  folioUnlock(pfn);
  return released(vmf, result);
}

function putUnlocked(vmf: HugetlbFault, pfn: Pfn): void {
  folioUnlock(pfn);
  putUnused(vmf.vma, vmf.address, pfn);
}

/** A page of the file or for the mapping, locked, with a reference; or the end of the fault. */
function* findOrMake(vmf: HugetlbFault, inode: Inode): Steps<Found | VmFault> {
  const { vma, index } = vmf;
  const cachedPfn = yield* filemapLockFolio(inode.mapping, index);
  if (cachedPfn !== 0) {
    if (!has(vma.flags, VM_UFFD_MINOR)) return { pfn: cachedPfn, fresh: false, cached: true };
    folioUnlockPut(cachedPfn);
    return (yield* pteStable(vmf))
      ? yield* toUserspace(vmf, 'minor')
      : released(vmf, VM_FAULT_NONE);
  }
  if (!withinFile(inode, index)) return released(vmf, VM_FAULT_SIGBUS);
  if (has(vma.flags, VM_UFFD_MISSING)) {
    return (yield* pteStable(vmf))
      ? yield* toUserspace(vmf, 'missing')
      : released(vmf, VM_FAULT_NONE);
  }
  const shared = has(vma.flags, VM_MAYSHARE);
  if (!shared) {
    const prepared = yield* vmfAnonPrepare(vmf);
    if (prepared !== VM_FAULT_NONE) return released(vmf, prepared);
  }
  const pfn = yield* allocHugetlbFolio(vma, vmf.address);
  if (pfn === 0) {
    // Somebody else may have used the last page for this very slot.
    return released(vmf, (yield* pteStable(vmf)) ? VM_FAULT_SIGBUS : VM_FAULT_NONE);
  }
  zeroHugeFolio(pfn);
  folioSetLocked(pfn);
  if (shared && !(yield* hugetlbAddToPageCache(inode.mapping, index, pfn))) {
    putUnlocked(vmf, pfn);
    return released(vmf, VM_FAULT_SIGBUS);
  }
  return { pfn, fresh: true, cached: shared };
}

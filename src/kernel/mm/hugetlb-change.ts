/**
 * What mprotect, UFFDIO_WRITEPROTECT and UFFDIO_UNREGISTER do to entries of hugetlb mappings; and giving up what is shared
 * of a mapping's tables, since what changes here must change for nobody else.
 * @linux mm/hugetlb.c hugetlb_change_protection, hugetlb_unshare_pmds
 */
import { assert } from '../../base/assert.ts';
import {
  mkMarker,
  PTE_EXEC,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_PROTNONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  type Pte,
  pteIsMarker,
  pteMarker,
  ptePresent,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import { seam } from '../seam.ts';
import { hugetlbVmaLockWrite, hugetlbVmaUnlockWrite } from './hugetlb-lock.ts';
import { flushShared, hugePmdUnshare, hugePteOffset, sharingRange } from './hugetlb-pte.ts';
import { hstateVma, hugetlbMapping } from './hugetlb-vma.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import type { MmuGather } from './mmu-gather.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import type { ProtectionChange } from './mprotect.ts';
import { mkUffdWp, pageProt, vmPageProtWrite } from './page-prot.ts';
import { allocPmd, ptLockOf, pudSize, skipMissing } from './pgtable.ts';
import { has, VM_MAYSHARE } from './vm-flags.ts';

/**
 * Changes the entries of [start, end).
 * @param marks whether write-protecting an empty slot leaves a marker
 * @returns pages changed, or -ENOMEM
 * Requires: mmap_lock for reading at least; the range within the VMA
 */
export function* hugetlbChangeProtection(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  change: ProtectionChange,
  marks: boolean,
): Steps<number> {
  const { mm } = vma;
  const h = hstateVma(vma);
  const { iMmapLock } = hugetlbMapping(vma);
  let changed = 0;
  tlb.walked(start, end);
  const [low, high] = sharingRange(vma, start, end);
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'protection-vma', low, high);
  yield* hugetlbVmaLockWrite(vma);
  yield* lock(iMmapLock);
  for (let address = start; address < end; ) {
    let slot = hugePteOffset(mm, address);
    if (slot < 0) {
      if (!(marks && preallocatesForWp())) {
        address = skipMissing(mm, address, end);
        continue;
      }
      slot = allocPmd(mm, address);
      if (slot < 0) {
        changed = -ENOMEM;
        break;
      }
    }
    const ptl = ptLockOf(slot);
    yield* lock(ptl);
    if (yield* hugePmdUnshare(vma, address)) {
      unlock(ptl);
      flushShared(mm, address);
      changed += pudSize() / h.size;
      address = (Math.floor(address / pudSize()) + 1) * pudSize();
      continue;
    }
    if (changeSlot(tlb, vma, address, slot, h.size, change, marks)) changed++;
    unlock(ptl);
    address += h.size;
  }
  unlock(iMmapLock);
  hugetlbVmaUnlockWrite(vma);
  yield* mmuNotifierInvalidateRangeEnd(range);
  return changed < 0 ? changed : changed * h.pages;
}

/**
 * Whether write-protecting builds tables for its markers where there are none. 6.4 and later (commit 60d5b473d61b):
 * before, protection of what had no table was lost.
 */
export const preallocatesForWp = seam('hugetlb.preallocatesForWp', (): boolean => true);

function changeSlot(
  tlb: MmuGather,
  vma: Vma,
  address: Vaddr,
  slot: number,
  size: number,
  change: ProtectionChange,
  marks: boolean,
): boolean {
  const old = getPte(slot);
  const pte = changedPte(vma, old, change, marks);
  if (pte !== old) {
    setPte(slot, pte);
    if (ptePresent(old)) tlb.note(address, address + size);
  }
  return pte !== old || ptePresent(old);
}

function changedPte(vma: Vma, old: Pte, change: ProtectionChange, marks: boolean): Pte {
  if (old === PTE_NONE) return marks ? mkMarker(PTE_MARKER_UFFD_WP) : old;
  if (pteIsMarker(old)) {
    // Poison and what is protected already stay as they are.
    const lifted = change.uffdWpResolve === true && pteMarker(old) === PTE_MARKER_UFFD_WP;
    return lifted ? PTE_NONE : old;
  }
  assert(ptePresent(old), 'migrating and lost huge pages are not modelled: nothing makes one');
  const { flags } = vma;
  const rights = pageProt(flags) | vmPageProtWrite(vma);
  let pte = withFlags(withoutFlags(old, PTE_EXEC | PTE_PROTNONE | PTE_WRITE), rights);
  if (change.uffdWp === true) return mkUffdWp(pte);
  if (change.uffdWpResolve === true) pte = withoutFlags(pte, PTE_UFFD_WP);
  return (pte & PTE_UFFD_WP) !== 0 ? withoutFlags(pte, PTE_WRITE) : pte;
}

/**
 * Gives up every shared table of a mapping that is wholly in [start, end): userfaultfd is about to keep things in it, or
 * the VMA is about to be cut within it.
 * Requires: mmap_lock for writing. @linux hugetlb_unshare_pmds, hugetlb_unshare_all_pmds
 */
export function* hugetlbUnsharePmds(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  if (!has(vma.flags, VM_MAYSHARE)) return;
  const span = pudSize();
  const from = Math.ceil(start / span) * span;
  const to = Math.floor(end / span) * span;
  if (from >= to) return;
  const { iMmapLock } = hugetlbMapping(vma);
  yield* hugetlbVmaLockWrite(vma);
  yield* lock(iMmapLock);
  yield* unshareLocked(vma, from, to);
  unlock(iMmapLock);
  hugetlbVmaUnlockWrite(vma);
}

/** Requires: the hugetlb lock and the i_mmap lock for writing; bounds of whole tables. */
export function* unshareLocked(vma: Vma, from: Vaddr, to: Vaddr): Steps<void> {
  for (let address = from; address < to; address += pudSize()) {
    const slot = hugePteOffset(vma.mm, address);
    if (slot < 0) continue;
    const ptl = ptLockOf(slot);
    yield* lock(ptl);
    const given = yield* hugePmdUnshare(vma, address);
    unlock(ptl);
    if (given) flushShared(vma.mm, address);
  }
}

/** The span of tables that a cut at an address goes through, if the VMA has all of it. @linux hugetlb_split */
function cutSpan(vma: Vma, address: Vaddr): readonly [Vaddr, Vaddr] | null {
  const low = Math.floor(address / pudSize()) * pudSize();
  const high = low + pudSize();
  return low !== address && low >= vma.start && high <= vma.end ? [low, high] : null;
}

/**
 * A VMA is about to be cut: a shared table must not reach over the cut, so it is given up in the same critical section.
 * Requires: the hugetlb lock and the i_mmap lock, both for writing.
 */
export const hugetlbSplit = seam(
  'hugetlb.split',
  function* (vma: Vma, address: Vaddr): Steps<void> {
    const span = cutSpan(vma, address);
    if (span !== null) yield* unshareLocked(vma, span[0], span[1]);
  },
  'UNSHARE: a table given up before the VMA is cut could be shared again by a fault in between',
);

/** What was done before the locks of the cut were taken: nothing, since 6.16. */
export const hugetlbSplitEarly = seam(
  'hugetlb.splitEarly',
  function* (_vma: Vma, _address: Vaddr): Steps<void> {},
);

/** As kernels before 6.16 did. */
export function* unshareAtCut(vma: Vma, address: Vaddr): Steps<void> {
  const span = cutSpan(vma, address);
  if (span !== null) yield* hugetlbUnsharePmds(vma, span[0], span[1]);
}

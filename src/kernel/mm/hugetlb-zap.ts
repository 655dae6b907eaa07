/**
 * Taking huge pages out of page tables: munmap, MADV_DONTNEED, truncation and hole punching, exit. Tables that others use
 * too are given up instead of emptied. @linux mm/hugetlb.c __unmap_hugepage_range
 */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON } from '../../machine/frames.ts';
import {
  mkMarker,
  type Pfn,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  type Pte,
  pteDirty,
  pteIsMarker,
  pteMarker,
  ptePfn,
  ptePresent,
  pteUffdWp,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { seam } from '../seam.ts';
import { type Hstate, PG_RESTORE_RESERVE } from './hugetlb.ts';
import { hugetlbRemoveRmap } from './hugetlb-folio.ts';
import { hugetlbVmaLockWrite, hugetlbVmaUnlockWrite } from './hugetlb-lock.ts';
import { flushShared, hugePmdUnshare, hugePteOffset, sharingRange } from './hugetlb-pte.ts';
import { vmaAddReservation, vmaNeedsReservation } from './hugetlb-reserve.ts';
import { hstateVma, hugetlbMapping } from './hugetlb-vma.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { type MmuGather, tlbFinishMmu, tlbGatherMmu } from './mmu-gather.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { ptLockOf, pudSize, skipMissing } from './pgtable.ts';
import { folioMarkDirty } from './rmap.ts';
import type { ZapDetails } from './zap.ts';

/** All of a part of a VMA, under the locks that giving tables up needs. @linux hugetlb_zap_begin, hugetlb_zap_end */
export function* zapHugetlbRange(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  details: ZapDetails,
): Steps<void> {
  yield* hugetlbVmaLockWrite(vma);
  const { iMmapLock } = hugetlbMapping(vma);
  yield* lock(iMmapLock);
  yield* unmapIn(tlb, vma, start, end, details, 0);
  unlock(iMmapLock);
  hugetlbVmaUnlockWrite(vma);
}

/**
 * The same where the caller has those locks (of VMAs that have them), with a gather of its own.
 * @param only 0, or the page to take away: whoever loses it never gets another
 * Requires: the i_mmap lock for writing. @linux unmap_hugepage_range
 */
export function* unmapHugepageRange(
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  details: ZapDetails,
  only: Pfn | 0 = 0,
): Steps<void> {
  const tlb = tlbGatherMmu(vma.mm);
  yield* unmapIn(tlb, vma, start, end, details, only);
  yield* tlbFinishMmu(tlb);
}

/** @linux __unmap_hugepage_range */
function* unmapIn(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  details: ZapDetails,
  only: Pfn | 0,
): Steps<void> {
  const h = hstateVma(vma);
  const { mm } = vma;
  const [low, high] = sharingRange(vma, start, end);
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'clear', low, high);
  tlb.walked(start, end);
  let address = skipMissing(mm, start, end);
  while (address < end) {
    const slot = hugePteOffset(mm, address);
    if (slot < 0) {
      address = skipMissing(mm, address, end);
      continue;
    }
    const ptl = ptLockOf(slot);
    yield* lock(ptl);
    if (yield* hugePmdUnshare(vma, address)) {
      unlock(ptl);
      // Others go on using what is in it: it must be gone from here before they are let in.
      flushShared(mm, address);
      address = (Math.floor(address / pudSize()) + 1) * pudSize();
      continue;
    }
    zapEntry(tlb, vma, h, address, slot, details, only);
    unlock(ptl);
    address += h.size;
  }
  yield* mmuNotifierInvalidateRangeEnd(range);
}

/** Requires: the page-table lock. */
function zapEntry(
  tlb: MmuGather,
  vma: Vma,
  h: Hstate,
  address: Vaddr,
  slot: number,
  details: ZapDetails,
  only: Pfn | 0,
): void {
  const pte = getPte(slot);
  if (pte === PTE_NONE) return;
  if (!ptePresent(pte)) {
    assert(pteIsMarker(pte), 'migrating and lost huge pages are not modelled: nothing makes one');
    // Poison goes whatever the reason; write protection stays unless it is to be forgotten.
    const stays = (pteMarker(pte) & PTE_MARKER_UFFD_WP) !== 0 && !details.dropMarker;
    if (!stays) setPte(slot, PTE_NONE);
    return;
  }
  const pfn = ptePfn(pte);
  if (only !== 0) {
    if (pfn !== only) return;
    if (vma.hugetlb !== null) vma.hugetlb.unmapped = true;
  }
  if (pteDirty(pte)) folioMarkDirty(pfn);
  setPte(slot, rest(pte, details));
  hugetlbRemoveRmap(pfn, vma);
  restorePromise(vma, h, address, pfn);
  tlb.note(address, address + h.size);
  tlb.pages.push(pfn);
}

function rest(pte: Pte, details: ZapDetails): Pte {
  return hugetlbInstallsUffdWp(pte, details) ? mkMarker(PTE_MARKER_UFFD_WP) : PTE_NONE;
}

/** Whether a marker remembers the write-protection of an entry that goes away. 5.19 and later. */
export const hugetlbInstallsUffdWp = seam(
  'hugetlb.installsUffdWp',
  (pte: Pte, details: ZapDetails): boolean => pteUffdWp(pte) && !details.dropMarker,
);

/**
 * The owner of a private mapping that loses a page is promised another: nobody shall take it before he touches it again.
 * 6.9 and later; not while the pool has surplus pages, of which this may be one.
 */
export const restorePromise = seam(
  'hugetlb.restorePromise',
  (vma: Vma, h: Hstate, address: Vaddr, pfn: Pfn): void => {
    const { frames } = machine;
    const owner = (vma.hugetlb?.resv ?? null) !== null;
    if (h.surplus > 0 || !owner || !frames.hasFlag(pfn, PG_ANON)) return;
    if (!vmaNeedsReservation(vma, address)) return;
    frames.setFlag(pfn, PG_RESTORE_RESERVE);
    vmaAddReservation(vma, address);
  },
);

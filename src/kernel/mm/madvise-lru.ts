/**
 * Advice about how soon pages may be reclaimed: MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED.
 *
 * A page that MADV_FREE gave up keeps its content until it is written, which takes the offer back, or until MADV_PAGEOUT
 * takes it (measured on 6.18, which may take it earlier when memory is short). MADV_PAGEOUT of one that was written again
 * only notes that the offer is gone; the next one moves it out (measured on 6.18). Without a swap device every other page
 * stays in memory; one of a file is unmapped all the same.
 * @linux mm/madvise.c madvise_free_pte_range, madvise_cold_or_pageout_pte_range, swapin_walk_pmd_entry
 */
import { machine } from '../../machine/current.ts';
import { PG_ANON, PG_DIRTY, PG_LAZYFREE, PG_MLOCKED } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  type Pfn,
  PTE_DIRTY,
  PTE_MARKER_POISONED,
  PTE_NONE,
  PTE_YOUNG,
  type Pte,
  pteDirty,
  pteHuge,
  pteKind,
  pteMarker,
  ptePfn,
  pteSpecial,
  swpOffset,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { folioCouldLock, folioTrylock, folioUnlockPut } from './folio-lock.ts';
import { changeHugePmd, hugeMappedShared } from './huge-pmd.ts';
import { splitFolio } from './huge-split.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import type { MmuGather } from './mmu-gather.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import {
  isWholePmd,
  pmdAddrEnd,
  pmdSlot,
  ptLockOf,
  skipMissing,
  withdrawTable,
} from './pgtable.ts';
import { entryAt, lockEntries, pteOffsetMapLock } from './pte-offset-map.ts';
import { folioRemoveRmap, folioRemoveRmapPmd } from './rmap.ts';
import { shmemSwapinRange } from './shmem-swapin.ts';
import { swapReadahead } from './swap-state.ts';
import { folioFreeSwap, folioSwapOffset, freeSwapAndCache } from './swapfile.ts';
import { has, VM_DROPPABLE } from './vm-flags.ts';
import { pageoutFolio } from './vmscan.ts';

/** What one entry becomes. */
type Change = (tlb: MmuGather, vma: Vma, pte: Pte) => Pte;

/** MADV_FREE: clean pages from now on may vanish. Poison is forgotten, guards and write protection are kept. */
export function* freeRange(tlb: MmuGather, vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  const range = yield* mmuNotifierInvalidateRangeStart(vma.mm, 'clear', start, end);
  yield* eachTable(tlb, vma, start, end, freePte);
  yield* mmuNotifierInvalidateRangeEnd(range);
}

/** MADV_COLD: pages that only this mapping has were not used lately. */
export function coldRange(tlb: MmuGather, vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  return eachTable(tlb, vma, start, end, coldPte);
}

/**
 * MADV_PAGEOUT: drops what was given up with MADV_FREE and not written since, and moves the pages that only this mapping
 * has to the swap device: table by table, picked under its lock, then moved one by one.
 */
export function* pageoutRange(tlb: MmuGather, vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  for (let address = skipMissing(vma.mm, start, end); address < end; ) {
    const next = pmdAddrEnd(address, end);
    const picked: Pfn[] = [];
    const pick: Change = (gather, area, pte) => pageoutPte(gather, area, pte, picked);
    const range = yield* mmuNotifierInvalidateRangeStart(vma.mm, 'clear', address, next);
    yield* eachTable(tlb, vma, address, next, pick);
    yield* mmuNotifierInvalidateRangeEnd(range);
    for (const pfn of picked) yield* pageoutFolio(pfn);
    address = skipMissing(vma.mm, next, end);
  }
}

/** MADV_WILLNEED: swapped pages are read into the swap cache; entries stay as they are. */
export function* willneedRange(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  if (world.swap === null) return;
  if (vma.file !== null) return yield* shmemSwapinRange(vma, start, end);
  for (let address = skipMissing(vma.mm, start, end); address < end; ) {
    const next = pmdAddrEnd(address, end);
    const offsets: number[] = [];
    const first = yield* pteOffsetMapLock(vma.mm, address);
    for (let here = address; first >= 0 && here < next; here += PAGE_SIZE) {
      const pte = getPte(first + (here - address) / PAGE_SIZE);
      if (pteKind(pte) === 'swap') offsets.push(swpOffset(pte));
    }
    if (first >= 0) unlock(ptLockOf(first));
    for (const offset of offsets) yield* swapReadahead(offset);
    address = skipMissing(vma.mm, next, end);
  }
}

/** One step a table, under its lock; the caller's gather flushes. */
function* eachTable(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  change: Change,
): Steps<void> {
  tlb.walked(start, end);
  for (let address = skipMissing(vma.mm, start, end); address < end; ) {
    const next = pmdAddrEnd(address, end);
    if (yield* hugePage(tlb, vma, address, next, change)) {
      address = skipMissing(vma.mm, next, end);
      continue;
    }
    yield* splitPartial(vma, address, next);
    const first = yield* pteOffsetMapLock(vma.mm, address);
    for (let here = address; first >= 0 && here < next; here += PAGE_SIZE) {
      const slot = first + (here - address) / PAGE_SIZE;
      const pte = getPte(slot);
      const changed = pte === PTE_NONE ? pte : change(tlb, vma, pte);
      if (changed === pte) continue;
      setPte(slot, changed);
      if (pteKind(pte) === 'present') tlb.note(here, here + PAGE_SIZE);
    }
    if (first >= 0) unlock(ptLockOf(first));
    address = skipMissing(vma.mm, next, end);
  }
}

/**
 * A huge page: as a whole where all of it is named. Where part of it is, its folio is split first.
 * @returns true: there is nothing to do page by page
 * @linux madvise_free_huge_pmd, madvise_cold_or_pageout_pte_range
 */
function* hugePage(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  change: Change,
): Steps<boolean> {
  const pmd = pmdSlot(vma.mm, start);
  if (pmd < 0 || !pteHuge(getPte(pmd))) return false;
  if (!isWholePmd(start, end)) return false;
  return yield* changeHugePmd(tlb, pmd, start, (leaf) =>
    pteSpecial(leaf) || hugeMappedShared(leaf) ? leaf : hugeChanged(tlb, vma, pmd, leaf, change),
  );
}

/** Requires: the PMD lock. */
function hugeChanged(tlb: MmuGather, vma: Vma, pmd: number, leaf: Pte, change: Change): Pte {
  const changed = change(tlb, vma, leaf);
  if (changed === PTE_NONE) tlb.tables.push(withdrawTable(pmd));
  return changed;
}

/**
 * Makes single frames of the large folios that are mapped in [start, end): whoever holds a reference besides keeps his
 * whole.
 *
 * Differs from Linux: also where the range covers all of a large folio that a table maps.
 */
function* splitPartial(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  if (!machine.frames.anyLarge) return;
  for (let address = start; address < end; address += PAGE_SIZE) {
    const entries = yield* lockEntries(vma.mm, address);
    if (entries === null) return;
    const pfn = largeFolioAt(entryAt(entries, 0));
    const alone = pfn !== 0 && machine.frames.pageMapcount(pfn) === 1;
    const locked = alone && folioTrylock(pfn);
    if (locked) machine.frames.get(pfn);
    unlock(entries.lock);
    if (locked) {
      yield* splitFolio(pfn);
      folioUnlockPut(pfn);
    } else if (entries.huge) {
      return;
    }
  }
}

/** The frame of an entry that maps part of a large folio, or 0. */
function largeFolioAt(pte: Pte): Pfn | 0 {
  if (pteKind(pte) !== 'present' || pteSpecial(pte)) return 0;
  return machine.frames.order(ptePfn(pte)) > 0 ? ptePfn(pte) : 0;
}

function freePte(_tlb: MmuGather, vma: Vma, pte: Pte): Pte {
  if (pteKind(pte) === 'marker') {
    return (pteMarker(pte) & PTE_MARKER_POISONED) !== 0 ? PTE_NONE : pte;
  }
  if (pteKind(pte) === 'swap') {
    vma.mm.rss.swap--;
    freeSwapAndCache(swpOffset(pte));
    return PTE_NONE;
  }
  if (pteKind(pte) !== 'present' || pteSpecial(pte) || !cleanable(ptePfn(pte))) return pte;
  if (!pteHuge(pte) && machine.frames.order(ptePfn(pte)) > 0) return pte;
  machine.frames.setFlag(ptePfn(pte), PG_LAZYFREE);
  return withoutFlags(pte, PTE_YOUNG | PTE_DIRTY);
}

/**
 * A page that is in the swap cache too gives its slot up first; then there is nothing that it would be a copy of. Of one
 * that is dirty without its entry saying so, only who has it alone can say that it does not matter.
 */
function cleanable(pfn: Pfn): boolean {
  const { frames } = machine;
  const cached = world.swap !== null && folioSwapOffset(pfn) !== 0;
  if (!cached && !frames.hasFlag(pfn, PG_DIRTY)) return true;
  if (frames.mapcount(pfn) > 1 || !folioCouldLock(pfn)) return false;
  if (cached && !folioFreeSwap(pfn)) return false;
  frames.clearFlag(pfn, PG_DIRTY);
  return true;
}

function coldPte(_tlb: MmuGather, _vma: Vma, pte: Pte): Pte {
  if (pteKind(pte) !== 'present' || pteSpecial(pte)) return pte;
  return machine.frames.mapcount(ptePfn(pte)) > 1 ? pte : withoutFlags(pte, PTE_YOUNG);
}

/** @param picked pages to be moved out, each with a reference */
function pageoutPte(tlb: MmuGather, vma: Vma, pte: Pte, picked: Pfn[]): Pte {
  if (pteKind(pte) !== 'present' || pteSpecial(pte)) return pte;
  const pfn = ptePfn(pte);
  const { frames } = machine;
  if (frames.hasFlag(pfn, PG_MLOCKED)) return pte;
  if (!frames.hasFlag(pfn, PG_ANON)) {
    if (frames.mapcount(pfn) > 1) return pte;
    frames.get(pfn);
    picked.push(pfn);
    return pte;
  }
  if (!frames.hasFlag(pfn, PG_LAZYFREE)) {
    // A huge page is split before it is known that there is no room for it.
    if ((world.swap === null && !pteHuge(pte)) || frames.mapcount(pfn) > 1) return pte;
    frames.get(pfn);
    picked.push(pfn);
    return pte;
  }
  const written = pteDirty(pte) || frames.hasFlag(pfn, PG_DIRTY);
  if (written && !has(vma.flags, VM_DROPPABLE)) {
    if (world.swap !== null) frames.clearFlag(pfn, PG_LAZYFREE);
    return pte;
  }
  // Somebody else uses the page: a device, a system call in flight, another mapping.
  if (frames.mapcount(pfn) > 1 || frames.refcount(pfn) > 1) return pte;
  if (pteHuge(pte)) folioRemoveRmapPmd(pfn, vma);
  else folioRemoveRmap(pfn, vma);
  tlb.pages.push(pfn);
  return PTE_NONE;
}

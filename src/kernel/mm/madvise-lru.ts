/**
 * Advice about how soon pages may be reclaimed: MADV_FREE, MADV_COLD, MADV_PAGEOUT, on anonymous memory without swap.
 *
 * Nothing is reclaimed by itself here: a page that MADV_FREE gave up keeps its content until it is written, which takes
 * the offer back, or until MADV_PAGEOUT takes it (measured on 6.18, which may take it earlier when memory is short).
 * Without swap, MADV_PAGEOUT leaves every other page where it is (measured on 6.18 without swap).
 * @linux mm/madvise.c madvise_free_pte_range, madvise_cold_or_pageout_pte_range
 */
import { machine } from '../../machine/current.ts';
import { PG_ANON, PG_DIRTY, PG_LAZYFREE } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkMarker,
  PTE_DIRTY,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_YOUNG,
  type Pte,
  pteDirty,
  pteKind,
  pteMarker,
  ptePfn,
  pteSpecial,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { filemapRemoveFolio } from './filemap.ts';
import { folioCouldLock } from './folio-lock.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import type { MmuGather } from './mmu-gather.ts';
import { pmdAddrEnd, ptLockOf, skipMissing } from './pgtable.ts';
import { pteOffsetMapLock } from './pte-offset-map.ts';
import { folioMarkDirty, folioRemoveRmap } from './rmap.ts';
import { installsUffdWp } from './zap.ts';

/** What one entry becomes. */
type Change = (tlb: MmuGather, vma: Vma, pte: Pte) => Pte;

/** MADV_FREE: clean pages from now on may vanish. Poison is forgotten, guards and write protection are kept. */
export function freeRange(tlb: MmuGather, vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  return eachTable(tlb, vma, start, end, freePte);
}

/** MADV_COLD: pages that only this mapping has were not used lately. */
export function coldRange(tlb: MmuGather, vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  return eachTable(tlb, vma, start, end, coldPte);
}

/** MADV_PAGEOUT without swap: what was given up with MADV_FREE and not written since is dropped. */
export function pageoutRange(tlb: MmuGather, vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  return eachTable(tlb, vma, start, end, pageoutPte);
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

function freePte(_tlb: MmuGather, _vma: Vma, pte: Pte): Pte {
  if (pteKind(pte) === 'marker') {
    return (pteMarker(pte) & PTE_MARKER_POISONED) !== 0 ? PTE_NONE : pte;
  }
  if (pteKind(pte) !== 'present' || pteSpecial(pte)) return pte;
  machine.frames.setFlag(ptePfn(pte), PG_LAZYFREE);
  return withoutFlags(pte, PTE_YOUNG | PTE_DIRTY);
}

function coldPte(_tlb: MmuGather, _vma: Vma, pte: Pte): Pte {
  if (pteKind(pte) !== 'present' || pteSpecial(pte)) return pte;
  return machine.frames.mapcount(ptePfn(pte)) > 1 ? pte : withoutFlags(pte, PTE_YOUNG);
}

function pageoutPte(tlb: MmuGather, vma: Vma, pte: Pte): Pte {
  if (pteKind(pte) !== 'present' || pteSpecial(pte)) return pte;
  const pfn = ptePfn(pte);
  const { frames } = machine;
  if (!frames.hasFlag(pfn, PG_ANON)) return pageoutFilePte(tlb, vma, pte);
  if (pteDirty(pte)) return pte;
  if (!frames.hasFlag(pfn, PG_LAZYFREE) || frames.mapcount(pfn) > 1) return pte;
  // Somebody else uses the page: a device, or a system call in flight.
  if (frames.refcount(pfn) > 1) return pte;
  folioRemoveRmap(pfn, vma);
  tlb.pages.push(pfn);
  return PTE_NONE;
}

/**
 * A page of shared memory that only this entry maps: unmapped, its write protection remembered. There is no swap to
 * write it to, so it stays in the page cache, unless nobody ever wrote it: then it is dropped (measured on 6.18).
 * Differs from Linux: unmapping a page and dropping it are one step.
 * @linux mm/vmscan.c shrink_folio_list, mm/rmap.c try_to_unmap_one
 */
function pageoutFilePte(tlb: MmuGather, vma: Vma, pte: Pte): Pte {
  const pfn = ptePfn(pte);
  const { frames } = machine;
  const mapping = world.mappings.get(-(frames.mapping[pfn] ?? 0));
  if (mapping === undefined || frames.mapcount(pfn) > 1 || frames.refcount(pfn) > 2) return pte;
  if (!folioCouldLock(pfn)) return pte;
  if (pteDirty(pte)) folioMarkDirty(pfn);
  folioRemoveRmap(pfn, vma);
  tlb.pages.push(pfn);
  if (!frames.hasFlag(pfn, PG_DIRTY)) filemapRemoveFolio(mapping, frames.index[pfn] ?? 0, pfn);
  return installsUffdWp(vma, pte, { dropMarker: false }) ? mkMarker(PTE_MARKER_UFFD_WP) : PTE_NONE;
}

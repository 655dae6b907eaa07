/**
 * Taking pages out of page tables, and empty tables out of the tree: munmap, MADV_DONTNEED, exit.
 * What stays behind in a slot is the table of semantics.md section 10. @linux mm/memory.c zap_pte_range, free_pgtables
 */
import { assert } from '../../base/assert.ts';
import { pteCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkMarker,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  type Pte,
  pteDirty,
  pteHuge,
  pteIsTable,
  pteKind,
  pteMarker,
  ptePfn,
  pteSpecial,
  pteTable,
  pteUffdWp,
  swpOffset,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access } from '../../sched/access.ts';
import { WRITE } from '../../sched/cell.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { seam } from '../seam.ts';
import { zapHugePmd } from './huge-pmd.ts';
import { splitHugePmd } from './huge-split.ts';
import { isVmHugetlb } from './hugetlb-vma.ts';
import { zapHugetlbRange } from './hugetlb-zap.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { type MmuGather, tlbFinishMmu, tlbGatherMmu } from './mmu-gather.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import {
  freeTable,
  isWholePmd,
  pmdAddrEnd,
  pmdSize,
  pmdSlot,
  pteSlotIn,
  ptLockOf,
  pudSize,
  pudSlot,
  skipMissing,
} from './pgtable.ts';
import { countMigrating, folioMarkDirty, folioRemoveRmap } from './rmap.ts';
import { freeSwapAndCache } from './swapfile.ts';
import { has, VM_UFFD_WP } from './vm-flags.ts';

/** @linux include/linux/mm.h struct zap_details */
export interface ZapDetails {
  /** Forget write-protection and guards too (munmap, exit). @linux ZAP_FLAG_DROP_MARKER */
  readonly dropMarker: boolean;
  /** Also private copies of file pages; false only for hole punching. Default true. @linux even_cows */
  readonly evenCows?: boolean;
  /** Whether the caller has told MMU notifiers. Default false. */
  readonly told?: boolean;
  /** Free page tables that become empty (MADV_DONTNEED since 6.14). @linux reclaim_pt */
  readonly reclaimPt?: boolean;
}

/** Whether MADV_DONTNEED frees page tables that it empties: 6.14 and later (CONFIG_PT_RECLAIM). */
export const reclaimsPt = seam('zap.reclaimsPt', (): boolean => true);

/**
 * Takes all pages of [start, end) out of a VMA: cleared and noted table by table, flushed, then freed.
 * Requires: mmap_lock, the VMA lock or the i_mmap lock of its file, for reading; the range within the VMA.
 * @linux mm/memory.c zap_page_range_single
 */
export function* zapPageRange(
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  details: ZapDetails,
): Steps<void> {
  const tlb = tlbGatherMmu(vma.mm);
  yield* unmapPageRange(tlb, vma, start, end, details);
  yield* tlbFinishMmu(tlb);
}

/** The same without flush and free, which the caller's gather does for several ranges at once. */
export function* unmapPageRange(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  details: ZapDetails,
): Steps<void> {
  const { mm } = tlb;
  if (isVmHugetlb(vma)) return yield* zapHugetlbRange(tlb, vma, start, end, details);
  const told = details.told === true;
  const range = told ? null : yield* mmuNotifierInvalidateRangeStart(mm, 'unmap', start, end);
  tlb.walked(start, end);
  let address = skipMissing(mm, start, end);
  while (address < end) {
    mm.hiwaterRss = Math.max(mm.hiwaterRss, mm.rss.anon + mm.rss.file + mm.rss.shmem);
    const next = pmdAddrEnd(address, end);
    yield* zapPteRange(tlb, vma, address, next, details);
    address = skipMissing(mm, next, end);
  }
  yield* mmuNotifierInvalidateRangeEnd(range);
}

/** Under the page-table lock: does the PMD entry still lead to the table? @linux pte_offset_map_lock */
export const tableStillThere = seam(
  'zap.tableStillThere',
  (pmd: number, table: Pte): boolean => getPte(pmd) === table,
  'ZAP: the table may have been freed, or freed and used elsewhere, before its lock was ours',
);

/** One table, one step under its lock. @linux mm/memory.c zap_pte_range */
function* zapPteRange(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  details: ZapDetails,
): Steps<void> {
  const pmd = pmdSlot(vma.mm, start);
  if (pmd < 0) return;
  if (pteHuge(getPte(pmd))) {
    if (isWholePmd(start, end) && (yield* zapHugePmd(tlb, vma, pmd, start))) return;
    yield* splitHugePmd(vma, start);
  }
  const table = getPte(pmd);
  if (table === PTE_NONE) return;
  if (!pteIsTable(table)) {
    // A huge page came back before we looked again.
    yield* zapPteRange(tlb, vma, start, end, details);
    return;
  }
  const ptl = ptLockOf(pteSlotIn(table, start));
  yield* lock(ptl);
  const same = tableStillThere(pmd, table);
  let empty = true;
  for (let address = start; same && address < end; address += PAGE_SIZE) {
    const slot = pteSlotIn(table, address);
    const pte = getPte(slot);
    if (pte === PTE_NONE) continue;
    const rest = zapPte(tlb, vma, address, pte, details);
    if (rest !== pte) setPte(slot, rest);
    if (rest !== PTE_NONE) empty = false;
  }
  unlock(ptl);
  if (!same || !empty || details.reclaimPt !== true || end - start !== pmdSize()) return;
  if (reclaimsPt()) yield* reclaimPteTable(tlb, pmd, table);
}

/** Takes away what a slot holds. @returns what stays in it */
function zapPte(tlb: MmuGather, vma: Vma, address: Vaddr, pte: Pte, details: ZapDetails): Pte {
  switch (pteKind(pte)) {
    case 'present':
      return zapPresentPte(tlb, vma, address, pte, details);
    case 'marker':
      return zapMarker(vma, pte, details);
    case 'swap':
      return zapSwap(vma, pte, details);
    case 'migration':
      return zapMigration(vma, pte, details);
    case 'hwpoison':
      return details.evenCows === false ? pte : PTE_NONE;
    default:
      assert(false, `zap of a ${pteKind(pte)} entry, which nothing makes yet`);
  }
}

/** @linux mm/memory.c zap_present_ptes */
function zapPresentPte(
  tlb: MmuGather,
  vma: Vma,
  address: Vaddr,
  pte: Pte,
  details: ZapDetails,
): Pte {
  const pfn = ptePfn(pte);
  if (!pteSpecial(pte)) {
    const anon = vma.file === null || machine.frames.hasFlag(pfn, PG_ANON);
    if (anon && details.evenCows === false) return pte;
    if (!anon && pteDirty(pte)) folioMarkDirty(pfn);
    folioRemoveRmap(pfn, vma);
    tlb.pages.push(pfn);
  }
  tlb.note(address, address + PAGE_SIZE);
  return installsUffdWp(vma, pte, details) ? mkMarker(PTE_MARKER_UFFD_WP) : PTE_NONE;
}

/**
 * Whether a marker remembers the write-protection of an entry that goes away while its page may come back. Before 5.19
 * there were no markers. @linux include/linux/mm_inline.h pte_install_uffd_wp_if_needed
 */
export const installsUffdWp = seam(
  'zap.installsUffdWp',
  (vma: Vma, pte: Pte, details: ZapDetails): boolean =>
    vma.file !== null && has(vma.flags, VM_UFFD_WP) && !details.dropMarker && pteUffdWp(pte),
);

/** Private, so hole punching leaves it. @linux mm/memory.c zap_nonpresent_ptes */
function zapSwap(vma: Vma, pte: Pte, details: ZapDetails): Pte {
  if (details.evenCows === false) return pte;
  vma.mm.rss.swap--;
  freeSwapAndCache(swpOffset(pte));
  return installsUffdWp(vma, pte, details) ? mkMarker(PTE_MARKER_UFFD_WP) : PTE_NONE;
}

/** Whoever moves the page finds the entry gone and maps nothing here. @linux mm/memory.c zap_nonpresent_ptes */
function zapMigration(vma: Vma, pte: Pte, details: ZapDetails): Pte {
  const pfn = ptePfn(pte);
  const anon = ((machine.frames.flags[pfn] ?? 0) & PG_ANON) !== 0;
  if (anon && details.evenCows === false) return pte;
  countMigrating(vma.mm, pfn, -1);
  return installsUffdWp(vma, pte, details) ? mkMarker(PTE_MARKER_UFFD_WP) : PTE_NONE;
}

/** @linux mm/memory.c zap_nonpresent_ptes */
function zapMarker(vma: Vma, pte: Pte, details: ZapDetails): Pte {
  if (details.dropMarker) return PTE_NONE;
  const marks = pteMarker(pte);
  if ((marks & PTE_MARKER_GUARD) !== 0) return pte;
  if ((marks & PTE_MARKER_POISONED) !== 0) return details.evenCows === false ? pte : PTE_NONE;
  return vma.file === null ? PTE_NONE : pte;
}

/** Under both page-table locks: is there nothing in the table, from its first slot on? */
export const tableStillEmpty = seam(
  'zap.tableStillEmpty',
  (first: number): boolean => {
    for (let i = 0; i < machine.geometry.ptrsPerPte; i++) {
      if (getPte(first + i) !== PTE_NONE) return false;
    }
    return true;
  },
  'ZAP: a fault may have put a page into the emptied table before its locks were ours',
);

/**
 * Frees a page table that was just emptied, unless somebody has put something into it meanwhile.
 * @linux mm/pt_reclaim.c try_to_free_pte
 */
function* reclaimPteTable(tlb: MmuGather, pmd: number, table: Pte): Steps<void> {
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  if (getPte(pmd) === table) {
    const first = machine.tables.slot(pteTable(table), 0);
    const ptl = ptLockOf(first);
    yield* lock(ptl);
    if (tableStillEmpty(first)) {
      setPte(pmd, PTE_NONE);
      tlb.tables.push(pteTable(table));
    }
    unlock(ptl);
  }
  unlock(pml);
}

/**
 * Takes the page tables of an unmapped range out of the tree, as far as nothing between `floor` and `ceiling` needs
 * them; the gather frees them after the flush, after RCU.
 * Requires: nothing mapped in [floor, ceiling) and nobody faulting there: the VMAs are detached.
 * @param floor end of the VMA below, or 0
 * @param ceiling start of the VMA above, or infinity
 * @linux mm/memory.c free_pgtables
 */
export function* freePgtables(
  tlb: MmuGather,
  start: Vaddr,
  end: Vaddr,
  floor: Vaddr,
  ceiling: Vaddr,
): Steps<void> {
  const { mm } = tlb;
  const [pte, pud] = [pmdSize(), pudSize()];
  let announced = false;
  let address = skipMissing(mm, Math.floor(start / pte) * pte, end);
  while (address < end) {
    const pmd = pmdSlot(mm, address);
    const low = Math.floor(address / pte) * pte;
    const next = low + pte;
    const puds = Math.floor(address / pud) * pud;
    const free = low >= floor && next <= ceiling;
    if (free && !announced) yield* access('free page tables', pteCell(pmd), WRITE);
    announced ||= free;
    if (free) freeEntry(tlb, pmd);
    if ((next >= end || next >= puds + pud) && puds >= floor && puds + pud <= ceiling) {
      freeEntry(tlb, pudSlot(mm, address));
    }
    address = skipMissing(mm, next, end);
  }
}

function freeEntry(tlb: MmuGather, slot: number): void {
  const word = getPte(slot);
  if (word === PTE_NONE) return;
  assert(pteIsTable(word), 'a page-table entry to free is no table');
  setPte(slot, PTE_NONE);
  tlb.tables.push(pteTable(word));
}

/** Frees the top-level tables of an mm that has nothing else left. @linux mm/mmap.c exit_mmap, pgd_free */
export function freePgd(mm: Mm): void {
  for (const table of mm.pgd.values()) freeTable(mm, table);
  mm.pgd.clear();
}

/**
 * Making a huge page of the pages that a table maps: MADV_COLLAPSE, and the daemon that looks for such tables
 * (semantics.md section 22, COLLAPSE-anon).
 *
 *   mmap_lock for reading: worth it? | a huge folio | mmap_lock for writing: still so? | anon_vma lock | take the table out,
 *   flush | lock every page: nobody else's, not write-protected? (else the table goes back) | copy | the huge page goes in
 *
 * Memory of files is collapsed in the page cache (khugepaged-file.ts).
 * @linux mm/khugepaged.c
 */
import { assert } from '../../base/assert.ts';
import { contentCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkPte,
  type Pfn,
  PTE_HUGE,
  PTE_NONE,
  PTE_YOUNG,
  type Pte,
  pteHuge,
  pteIsTable,
  pteKind,
  pteNone,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteTable,
  pteUffdWpAny,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access } from '../../sched/access.ts';
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { type Lock, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { fail } from '../errno-row.ts';
import { seam } from '../seam.ts';
import { vmaInode } from './filemap.ts';
import { folioTrylock, folioUnlock } from './folio-lock.ts';
import { collapseFile } from './khugepaged-file.ts';
import { MADVISE_ERRORS } from './madvise-errors.ts';
import { handleMmFault } from './memory.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import {
  mmapReadLock,
  mmapReadUnlock,
  mmapWriteLock,
  mmapWriteUnlock,
  vmaLookup,
  vmaStartWrite,
} from './mmap-lock.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { maybeMkWrite, pageProt } from './page-prot.ts';
import { depositTable, pmdOrder, pmdSize, pmdSlot, ptLockOf } from './pgtable.ts';
import { folioAddNewAnonRmapPmd, folioRemoveRmap } from './rmap.ts';
import { dirtyBits } from './soft-dirty.ts';
import { folioSwapOffset, freeFolioAndSwapCache } from './swapfile.ts';
import { thpAllowable, thpSettings, thpVmaSuitable } from './thp-policy.ts';
import { flushNow } from './tlb.ts';
import { FAULT_FLAG_ALLOW_RETRY, faultHas, VM_FAULT_ERROR, VM_FAULT_RETRY } from './vm-fault.ts';
import { has, VM_SPECIAL, VM_UFFD_FLAGS } from './vm-flags.ts';

/** What became of one span. @linux enum scan_result, as far as callers tell them apart */
export type ScanResult =
  | 'done'
  /** Something is in the way, here only: EINVAL. */
  | 'unfit'
  /** The mapping is not what it was, or a page cannot be had: EINVAL, and no further. */
  | 'stop'
  /** Too many pages missing: EBUSY. */
  | 'holes'
  /** Somebody uses a page right now: EAGAIN. */
  | 'busy'
  | 'no-memory';

/** How much may be missing, swapped or shared. @linux max_ptes_none, max_ptes_swap, max_ptes_shared */
interface Limits {
  readonly none: number;
  readonly swap: number;
  readonly shared: number;
}

const NO_LIMITS: Limits = { none: Infinity, swap: Infinity, shared: Infinity };

function errnoOf(result: ScanResult): number {
  const E = MADVISE_ERRORS;
  switch (result) {
    case 'done':
      return 0;
    case 'no-memory':
      return fail(E.collapseMemory);
    case 'holes':
      return fail(E.collapseHoles);
    case 'busy':
      return fail(E.collapseBusy);
    default:
      return fail(E.collapseUnfit);
  }
}

/**
 * Makes huge pages of [start, end), as far as whole ones lie in it.
 * @returns 0, or the negative errno of the last span that could not be collapsed; others are
 * Requires: no lock of the mm. @linux madvise_collapse
 */
export function* madviseCollapse(mm: Mm, start: Vaddr, end: Vaddr): Steps<number> {
  yield* mmapReadLock(mm);
  let [address, hole] = [start, false];
  for (;;) {
    const vma = mm.vmas.findFrom(address);
    if (vma === null || vma.start >= end) {
      hole ||= address < end;
      break;
    }
    hole ||= vma.start > address;
    const to = Math.min(end, vma.end);
    const error = yield* collapseVma(vma, Math.max(address, vma.start), to);
    if (error < 0) {
      mmapReadUnlock(mm);
      return error;
    }
    address = to;
    if (address >= end) break;
  }
  mmapReadUnlock(mm);
  return hole ? fail(MADVISE_ERRORS.hole) : 0;
}

/** Requires: mmap_lock for reading; it is dropped in between, and held again at the end. */
function* collapseVma(vma: Vma, start: Vaddr, end: Vaddr): Steps<number> {
  if (!collapsible(vma)) return fail(MADVISE_ERRORS.collapseUnfit);
  const { mm } = vma;
  const size = pmdSize();
  // It ends before the border behind its start: not even nothing can be done (measured on 6.18.44).
  if (Math.floor(end / size) < Math.ceil(start / size)) return fail(MADVISE_ERRORS.collapseUnfit);
  let last: ScanResult = 'done';
  for (let here = Math.ceil(start / size) * size; here + size <= end; here += size) {
    const result = yield* collapseSpan(mm, here, NO_LIMITS);
    if (result !== 'done') last = result;
    if (result === 'stop' || result === 'no-memory' || result === 'holes') break;
  }
  return errnoOf(last);
}

/** Whether huge pages of any place of the mapping could be asked for. */
function collapsible(vma: Vma): boolean {
  if (has(vma.flags, VM_SPECIAL) || !thpAllowable(vma, 'collapse')) return false;
  return thpVmaSuitable(vma, Math.floor((vma.end - 1) / pmdSize()) * pmdSize() - pmdSize() + 1)
    ? true
    : thpVmaSuitable(vma, Math.ceil(vma.start / pmdSize()) * pmdSize());
}

/**
 * The daemon comes to the span around an address, as it may at any time: the actor of `adversary khugepaged`.
 * Requires: no lock. @linux khugepaged_scan_mm_slot
 */
export function* khugepagedScan(mm: Mm, address: Vaddr): Steps<void> {
  const start = Math.floor(address / pmdSize()) * pmdSize();
  yield* mmapReadLock(mm);
  const vma = vmaLookup(mm, start);
  const { maxPtesNone, maxPtesSwap, maxPtesShared } = thpSettings();
  const most = machine.geometry.ptrsPerPte - 1;
  const limits = { none: Math.min(most, maxPtesNone), swap: maxPtesSwap, shared: maxPtesShared };
  if (vma !== null && thpAllowable(vma, 'khugepaged', start)) {
    yield* collapseSpan(mm, start, limits);
  }
  mmapReadUnlock(mm);
}

/** Requires: mmap_lock for reading; it is dropped in between, and held again at the end. */
function* collapseSpan(mm: Mm, start: Vaddr, limits: Limits): Steps<ScanResult> {
  const vma = vmaLookup(mm, start);
  if (vma === null || !thpAllowable(vma, 'collapse', start)) return 'stop';
  if (vmaInode(vma) !== null) return yield* collapseFile(vma, start, limits.none);
  if (vma.file !== null) return 'stop';
  const scanned = yield* scanPmd(vma, start, limits);
  if (scanned !== 'done') return scanned === 'huge' ? 'done' : scanned;
  mmapReadUnlock(mm);
  const result = yield* collapseHugePage(mm, start);
  yield* mmapReadLock(mm);
  return result;
}

/** Whether the pages of a span are such that copying them is worth it. @linux hpage_collapse_scan_pmd */
function* scanPmd(vma: Vma, start: Vaddr, limits: Limits): Steps<ScanResult | 'huge'> {
  const pmd = pmdSlot(vma.mm, start);
  const table = pmd < 0 ? PTE_NONE : getPte(pmd);
  if (pteHuge(table)) return 'huge';
  if (!pteIsTable(table)) return 'unfit';
  const first = machine.tables.slot(pteTable(table), 0);
  const ptl = ptLockOf(first);
  yield* lock(ptl);
  const result = getPte(pmd) === table ? scanTable(vma, first, limits) : 'unfit';
  unlock(ptl);
  return result;
}

/** Requires: the page-table lock. */
function scanTable(vma: Vma, first: number, limits: Limits): ScanResult {
  const { frames, geometry } = machine;
  let [none, swapped, shared] = [0, 0, 0];
  for (let i = 0; i < geometry.ptrsPerPte; i++) {
    const pte = getPte(first + i);
    if (pteNone(pte) || (ptePresent(pte) && pteSpecial(pte))) {
      if (pteUffdWpAny(pte)) return 'unfit';
      if (has(vma.flags, VM_UFFD_FLAGS) || ++none > limits.none) return 'holes';
    } else if (pteUffdWpAny(pte)) {
      return 'unfit';
    } else if (pteKind(pte) === 'swap') {
      if (++swapped > limits.swap) return 'stop';
    } else if (!ptePresent(pte)) {
      return 'stop';
    } else {
      const pfn = ptePfn(pte);
      if (!frames.hasFlag(pfn, PG_ANON)) return 'unfit';
      if (frames.pageMapcount(pfn) > 1 && ++shared > limits.shared) return 'stop';
      if (!aloneInMappings(pfn, 0)) return 'busy';
    }
  }
  return none === geometry.ptrsPerPte ? 'unfit' : 'done';
}

/** Whether nobody but mappings, the swap cache and the caller refers to the folio. @linux folio_expected_ref_count */
export const aloneInMappings = seam(
  'khugepaged.aloneInMappings',
  (pfn: Pfn, own: number): boolean => {
    const { frames } = machine;
    const cached = world.swap !== null && folioSwapOffset(pfn) !== 0 ? 1 << frames.order(pfn) : 0;
    return frames.refcount(pfn) === frames.mapcount(pfn) + cached + own;
  },
  'COLLAPSE: chk refs: whoever holds a reference, a device for one, would go on using the page that was copied',
);

/** After mmap_lock was dropped: does the mapping still allow a huge page here? @linux hugepage_vma_revalidate */
export const vmaStillFits = seam(
  'khugepaged.vmaStillFits',
  (vma: Vma | null, start: Vaddr): boolean =>
    vma !== null &&
    vma.file === null &&
    vma.anonVma !== null &&
    thpAllowable(vma, 'collapse', start),
);

/** @linux collapse_huge_page */
function* collapseHugePage(mm: Mm, start: Vaddr): Steps<ScanResult> {
  const head = machine.frames.allocFolio(world.owner(), pmdOrder());
  if (head === 0) return 'no-memory';
  const result = (yield* swapIn(mm, start)) ? yield* collapseLocked(mm, start, head) : 'stop';
  if (result !== 'done') machine.frames.put(head, world.owner());
  return result;
}

/** Brings back what is on the swap device. Requires: no lock of the mm. @linux __collapse_huge_page_swapin */
function* swapIn(mm: Mm, start: Vaddr): Steps<boolean> {
  if (world.swap === null) return true;
  yield* mmapReadLock(mm);
  for (let address = start; address < start + pmdSize(); address += PAGE_SIZE) {
    const vma = vmaLookup(mm, start);
    if (vma === null || !vmaStillFits(vma, start)) {
      mmapReadUnlock(mm);
      return false;
    }
    const pmd = pmdSlot(mm, address);
    const table = pmd < 0 ? PTE_NONE : getPte(pmd);
    if (!pteIsTable(table)) break;
    const slot = machine.tables.slot(pteTable(table), (address - start) / PAGE_SIZE);
    if (pteKind(getPte(slot)) !== 'swap') continue;
    const fault = yield* handleMmFault(vma, world.current, address, FAULT_FLAG_ALLOW_RETRY);
    if (faultHas(fault, VM_FAULT_RETRY)) return false;
    if (faultHas(fault, VM_FAULT_ERROR)) break;
  }
  mmapReadUnlock(mm);
  return true;
}

function* collapseLocked(mm: Mm, start: Vaddr, head: Pfn): Steps<ScanResult> {
  yield* mmapWriteLock(mm);
  const vma = vmaLookup(mm, start);
  const pmd = vma === null ? -1 : pmdSlot(mm, start);
  const table = pmd < 0 ? PTE_NONE : getPte(pmd);
  if (vma === null || !vmaStillFits(vma, start) || !pteIsTable(table)) {
    mmapWriteUnlock(mm);
    return 'stop';
  }
  yield* vmaStartWrite(vma);
  assert(vma.anonVma !== null, 'a private mapping to be collapsed has no anon_vma');
  const root = vma.anonVma.root.lock;
  yield* lock(root);
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'clear', start, start + pmdSize());
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  setPte(pmd, PTE_NONE);
  // Until it is back or replaced, what the table maps is mapped.
  world.detachedTables.set(pmd, table);
  flushNow(mm, start, start + pmdSize());
  unlock(pml);
  yield* mmuNotifierInvalidateRangeEnd(range);
  const pages = yield* isolate(vma, table);
  if (!Array.isArray(pages)) {
    yield* lock(pml);
    setPte(pmd, table);
    world.detachedTables.delete(pmd);
    unlock(pml);
  }
  unlock(root);
  if (Array.isArray(pages)) yield* replace(vma, { pmd, pml, table, head, start }, pages);
  mmapWriteUnlock(mm);
  return Array.isArray(pages) ? 'done' : pages;
}

/** Under the page-table lock again: was a page write-protected since it was looked at? */
export const stillNotProtected = seam(
  'khugepaged.stillNotProtected',
  (pte: Pte): boolean => !pteUffdWpAny(pte),
);

/**
 * Locks every page of the table, each with a reference.
 * @returns their frames, 0 where there is none; or why not. @linux __collapse_huge_page_isolate
 */
function* isolate(vma: Vma, table: Pte): Steps<(Pfn | 0)[] | ScanResult> {
  const first = machine.tables.slot(pteTable(table), 0);
  const ptl = ptLockOf(first);
  yield* lock(ptl);
  const pages: (Pfn | 0)[] = [];
  const heads = new Set<Pfn>();
  let failed: ScanResult | null = null;
  for (let i = 0; failed === null && i < machine.geometry.ptrsPerPte; i++) {
    const pte = getPte(first + i);
    if (!stillNotProtected(pte)) failed = 'unfit';
    else if (pteNone(pte) || (ptePresent(pte) && pteSpecial(pte))) {
      if (has(vma.flags, VM_UFFD_FLAGS)) failed = 'holes';
      else pages.push(0);
    } else if (!ptePresent(pte)) failed = 'unfit';
    else {
      failed = lockPage(ptePfn(pte), heads);
      if (failed === null) pages.push(ptePfn(pte));
    }
  }
  unlock(ptl);
  if (failed === null) return pages;
  for (const head of heads) folioUnlock(head);
  return failed;
}

function lockPage(pfn: Pfn, heads: Set<Pfn>): ScanResult | null {
  const head = machine.frames.head(pfn);
  if (heads.has(head)) return null;
  if (!folioTrylock(head)) return 'busy';
  heads.add(head);
  return aloneInMappings(head, 0) ? null : 'busy';
}

interface Span {
  readonly pmd: number;
  readonly pml: Lock;
  readonly table: Pte;
  readonly head: Pfn;
  readonly start: Vaddr;
}

/** Copies the pages and puts the huge one in. @linux __collapse_huge_page_copy */
function* replace(vma: Vma, span: Span, pages: readonly (Pfn | 0)[]): Steps<void> {
  const { frames } = machine;
  const { pmd, pml, table, head, start } = span;
  if (sched.wants()) yield* access('copy pages', contentCell(head), WRITE);
  const first = machine.tables.slot(pteTable(table), 0);
  const heads = new Set<Pfn>();
  for (const [i, pfn] of pages.entries()) {
    setPte(first + i, PTE_NONE);
    if (pfn === 0) {
      frames.zero((head + i) as Pfn);
      continue;
    }
    frames.copy((head + i) as Pfn, pfn);
    folioRemoveRmap(pfn, vma);
    heads.add(frames.head(pfn));
  }
  for (const locked of heads) folioUnlock(locked);
  for (const pfn of pages) if (pfn !== 0) freeFolioAndSwapCache(pfn);
  const bits = PTE_HUGE | PTE_YOUNG | dirtyBits() | pageProt(vma.flags);
  folioAddNewAnonRmapPmd(head, vma, start);
  const leaf = maybeMkWrite(mkPte(head, bits), vma);
  world.detachedTables.set(pmd, leaf);
  yield* lock(pml);
  setPte(pmd, leaf);
  world.detachedTables.delete(pmd);
  depositTable(pmd, pteTable(table));
  unlock(pml);
}

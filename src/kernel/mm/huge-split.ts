/**
 * Taking huge pages apart. Two different things: the mapping, one entry becoming a table of entries of the same folio;
 * and the folio, a large one becoming single frames, which wants every mapping of it taken apart first and nobody else
 * holding a reference.
 *
 * Differs from Linux: a folio is split in one step under the locks of all tables that map it, instead of putting migration
 * entries in for the time being; and a folio that lost part of its mappings is split when it is next asked for, not by
 * a shrinker that looks for such folios.
 * @linux mm/huge_memory.c __split_huge_pmd, split_huge_page_to_list_to_order
 */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { ZERO_PFN } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkPte,
  mkTable,
  type Pfn,
  PTE_NONE,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  type Pte,
  pteDirty,
  pteHuge,
  pteOfHuge,
  ptePfn,
  ptePresent,
  pteSpecial,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { type Lock, lock, tryTake, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import { folioLockMoved } from './folio-lock.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { pageProt } from './page-prot.ts';
import { pmdAddrEnd, pmdSize, pmdSlot, pteSlot, ptLockOf, withdrawTable } from './pgtable.ts';
import { folioMarkDirty, folioRemoveRmap, folioRemoveRmapPmd, folioSplitRmap } from './rmap.ts';
import { flushNow } from './tlb.ts';
import { has, VM_LOCKED } from './vm-flags.ts';

/**
 * Makes sure that no huge page maps the address: one of anonymous memory becomes a table of its pages, one of a file is
 * unmapped, since faults bring it back.
 * Requires: mmap_lock, the VMA lock or a lock of the reverse mapping, for reading. @linux __split_huge_pmd
 */
export function* splitHugePmd(vma: Vma, address: Vaddr): Steps<void> {
  const pmd = pmdSlot(vma.mm, address);
  if (pmd < 0 || !pteHuge(getPte(pmd))) return;
  const start = Math.floor(address / pmdSize()) * pmdSize();
  const range = yield* mmuNotifierInvalidateRangeStart(vma.mm, 'clear', start, start + pmdSize());
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  if (pteHuge(getPte(pmd))) splitHugePmdLocked(vma, pmd, address);
  unlock(pml);
  yield* mmuNotifierInvalidateRangeEnd(range);
}

/** Requires: the PMD lock; the slot holds a huge page. @linux __split_huge_pmd_locked */
export function splitHugePmdLocked(vma: Vma, pmd: number, address: Vaddr): void {
  const leaf = getPte(pmd);
  const start = Math.floor(address / pmdSize()) * pmdSize();
  assert(pteHuge(leaf), 'only huge pages are split');
  if (vma.file !== null) {
    dropFilePmd(vma, pmd, leaf);
  } else {
    const table = withdrawTable(pmd);
    if (!pteSpecial(leaf)) folioSplitRmap(ptePfn(leaf));
    for (let i = 0; i < machine.geometry.ptrsPerPte; i++) {
      setPte(machine.tables.slot(table, i), pteOfHuge(leaf, i));
    }
    setPte(pmd, mkTable(table));
  }
  flushNow(vma.mm, start, start + pmdSize());
}

function dropFilePmd(vma: Vma, pmd: number, leaf: Pte): void {
  const head = ptePfn(leaf);
  setPte(pmd, PTE_NONE);
  if (pteDirty(leaf)) folioMarkDirty(head);
  folioRemoveRmapPmd(head, vma);
  machine.frames.put(head, world.owner());
}

/**
 * Splits what would lie across a boundary that a VMA is about to get. Requires: mmap_lock for writing, the VMA
 * write-locked. @linux vma_adjust_trans_huge
 */
export function* splitHugePmdAt(vma: Vma, address: Vaddr): Steps<void> {
  if (address % pmdSize() !== 0) yield* splitHugePmd(vma, address);
}

/** The part of a VMA that maps, or may map, pages of a large folio. */
interface RmapRange {
  readonly vma: Vma;
  readonly start: Vaddr;
  readonly end: Vaddr;
}

/**
 * Makes single frames of a large folio.
 * @param frame any of its frames; the caller's reference is to this one from then on
 * @param zeroes whether pages that hold nothing but zeroes give way to the zero page
 * @returns whether it is split: not when somebody holds a reference besides the caller
 * Requires: the folio lock; a reference; no lock of the reverse mapping. @linux split_folio
 */
export function* splitFolio(frame: Pfn, zeroes = true): Steps<boolean> {
  const { frames } = machine;
  const head = frames.head(frame);
  if (frames.order(head) === 0) return true;
  const rmap = yield* lockRmap(head);
  if (rmap === null) return false;
  for (const { vma, start } of rangesOf(head)) yield* splitHugePmd(vma, start);
  const ranges = rangesOf(head);
  const held = yield* lockTables(ranges);
  const anon = frames.mappingOf(head) > 0;
  const done = held !== null && splitNow(head, frame);
  if (done && anon && zeroes) for (const range of ranges) mapUnusedToZeropage(range);
  for (const l of held ?? []) unlock(l);
  unlock(rmap);
  return done;
}

/**
 * Pages of a folio just split that hold nothing but zeroes become the zero page (measured on 6.18.44).
 * Requires: the page-table locks. @linux try_to_map_unused_to_zeropage
 */
function mapUnusedToZeropage({ vma, start, end }: RmapRange): void {
  const { frames } = machine;
  if (has(vma.flags, VM_LOCKED)) return;
  for (let address = start; address < end; address += PAGE_SIZE) {
    const slot = pteSlot(vma.mm, address);
    const pte = slot < 0 ? PTE_NONE : getPte(slot);
    if (!ptePresent(pte) || pteSpecial(pte)) continue;
    const pfn = ptePfn(pte);
    if (!isZero(pfn)) continue;
    const bits = pte & (PTE_UFFD_WP | PTE_SOFT_DIRTY);
    setPte(slot, mkPte(ZERO_PFN, PTE_SPECIAL | bits | pageProt(vma.flags)));
    flushNow(vma.mm, address, address + PAGE_SIZE);
    folioRemoveRmap(pfn, vma);
    frames.put(pfn, world.owner());
  }
}

function isZero(pfn: Pfn): boolean {
  const { frames } = machine;
  return frames.read(pfn, 0, frames.contentBytes).every((byte) => byte === 0);
}

/** Under all locks: does nobody but the mappings, the page cache and the caller hold a reference? */
export const nobodyElseHolds = seam(
  'huge-split.nobodyElseHolds',
  (head: Pfn, expected: number): boolean => machine.frames.refcount(head) === expected,
);

function splitNow(head: Pfn, frame: Pfn): boolean {
  const { frames } = machine;
  const each = frames.mappingOf(head) < 0 ? 1 : 0;
  if (frames.entireMapcount(head) > 0) return false;
  const expected = frames.mapcount(head) + (each << frames.order(head)) + 1;
  if (!nobodyElseHolds(head, expected)) return false;
  frames.splitFolio(head, world.owner(), frame, each);
  folioLockMoved(head, frame);
  return true;
}

/** Locks the anon_vma or the file of a folio; null: it has none any more. */
function* lockRmap(head: Pfn): Steps<Lock | null> {
  const mapping = machine.frames.mappingOf(head);
  const owner =
    mapping < 0 ? world.mappings.get(-mapping)?.iMmapLock : world.anonVmas.get(mapping)?.root.lock;
  if (owner === undefined) return null;
  yield* lock(owner);
  return owner;
}

/** Requires: the lock of the reverse mapping. */
function rangesOf(head: Pfn): RmapRange[] {
  const { frames } = machine;
  const mapping = frames.mappingOf(head);
  const index = frames.indexOf(head);
  const vmas: Iterable<Vma> =
    mapping < 0
      ? (world.mappings.get(-mapping)?.iMmap ?? [])
      : [...(world.anonVmas.get(mapping)?.links ?? [])].map((link) => link.vma);
  const ranges: RmapRange[] = [];
  for (const vma of vmas) {
    const first = vma.start + (index - vma.pgoff) * PAGE_SIZE;
    const start = Math.max(first, vma.start);
    const end = Math.min(first + (PAGE_SIZE << frames.order(head)), vma.end);
    if (start < end) ranges.push({ vma, start, end });
  }
  return ranges;
}

/**
 * Whether a large anonymous folio is mapped in one address space only, and nobody else refers to it.
 * Requires: a page-table lock under which it is mapped. @linux __wp_can_reuse_large_anon_folio
 */
export function mappedByAlone(frame: Pfn, mm: Mm): boolean {
  const { frames } = machine;
  const head = frames.head(frame);
  const mapped = frames.mapcount(head);
  if (frames.refcount(head) !== mapped) return false;
  let here = 0;
  for (const { vma, start, end } of rangesOf(head)) {
    for (let address = start; vma.mm === mm && address < end; address += PAGE_SIZE) {
      const slot = pteSlot(mm, address);
      const pte = slot < 0 ? PTE_NONE : getPte(slot);
      if (ptePresent(pte) && !pteSpecial(pte) && frames.head(ptePfn(pte)) === head) here++;
    }
  }
  return here === mapped;
}

/**
 * Locks every PTE table in the ranges: the first is waited for, those that are not free then end it.
 * @returns the locks, or null with none held
 */
function* lockTables(ranges: readonly RmapRange[]): Steps<readonly Lock[] | null> {
  const held: Lock[] = [];
  const wanted = new Set<Lock>();
  for (const { vma, start, end } of ranges) {
    for (let address = start; address < end; address = pmdAddrEnd(address, end)) {
      const slot = pteSlot(vma.mm, address);
      if (slot >= 0) wanted.add(ptLockOf(slot));
    }
  }
  for (const l of wanted) {
    if (held.length === 0) yield* lock(l);
    else if (!tryTake(l)) break;
    held.push(l);
  }
  if (held.length === wanted.size) return held;
  for (const l of held) unlock(l);
  return null;
}

/**
 * Moving page-table entries from one range of an address space to another: mremap. Whole PTE tables where both ranges
 * are aligned to them, else entry by entry; either way the old place is flushed before its lock is let go, so that no
 * page is ever reachable at two addresses.
 *
 * Differs from Linux: tables of PMDs (1 GiB) are not moved whole; the PTE tables in them are, one by one.
 * @linux mm/mremap.c move_page_tables; semantics.md sections 5 and 22 (MREMAP)
 */
import { assert } from '../../base/assert.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_UFFD_WP,
  type Pte,
  pteHuge,
  pteIsTable,
  pteKind,
  pteMarker,
  ptePresent,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { type Lock, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { vmaHasUffdWithoutEventRemap } from '../fs/userfaultfd-events.ts';
import { seam } from '../seam.ts';
import { lockMapping } from './filemap.ts';
import { moveHugePmd } from './huge-pmd.ts';
import { splitHugePmd } from './huge-split.ts';
import { moveHugetlbPageTables } from './hugetlb-copy.ts';
import { isVmHugetlb } from './hugetlb-vma.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import {
  allocPmd,
  allocPte,
  pmdAddrEnd,
  pmdSize,
  pmdSlot,
  pteSlot,
  ptLockOf,
  skipMissing,
} from './pgtable.ts';
import { pteOffsetMapLock, tableStillThere } from './pte-offset-map.ts';
import { softDirtyBit } from './soft-dirty.ts';
import { flushNow, flushTlbRange } from './tlb.ts';

/** What moves where. @linux mm/mremap.c struct pagetable_move_control */
export interface PagetableMove {
  readonly old: Vma;
  readonly fresh: Vma;
  readonly from: Vaddr;
  readonly to: Vaddr;
  readonly length: number;
  /** Whether a walk over the VMAs of the family may look at the new place before the old one. */
  readonly needRmapLocks: boolean;
}

/** Before the old table's lock is dropped: what was there leaves the TLBs. */
export const flushMoved = seam(
  'mremap.flushMoved',
  (mm: Mm, start: Vaddr, end: Vaddr): void => flushNow(mm, start, end),
  'MREMAP: an access through a stale TLB entry of the old address after the page is reachable at the new one',
);

/** A flush once everything has moved: none since 4.20. */
export const flushAfterMove = seam(
  'mremap.flushAfterMove',
  function* (_mm: Mm, _start: Vaddr, _end: Vaddr): Steps<void> {},
);

/** Whether a move keeps walkers over the VMAs of the family out; a move of a whole table always does. */
export const takesRmapLocks = seam(
  'mremap.takesRmapLocks',
  (needed: boolean, wholeTable: boolean): boolean => needed || wholeTable,
);

/**
 * Moves what the page tables hold for [from, from + length).
 * @returns bytes moved: less than the length when a page table cannot be had
 * Requires: mmap_lock for writing, both VMAs write-locked; nothing mapped at the new place.
 */
export function* movePageTables(move: PagetableMove): Steps<number> {
  const { old, length } = move;
  if (isVmHugetlb(old)) return yield* moveHugetlbPageTables(move);
  const { mm } = old;
  const end = move.from + length;
  const distance = move.to - move.from;
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'unmap', move.from, end);
  let address = move.from - realigned(move);
  while (address < end) {
    address = skipMissing(mm, address, end);
    if (address >= end) break;
    const next = Math.min(
      pmdAddrEnd(address, end),
      pmdAddrEnd(address + distance, end + distance) - distance,
    );
    if (!(yield* moveTable(move, address, address + distance, next - address))) break;
    address = next;
  }
  yield* mmuNotifierInvalidateRangeEnd(range);
  yield* flushAfterMove(mm, move.from, end);
  return Math.max(0, Math.min(address, end) - move.from);
}

/**
 * By how many bytes both ranges may begin earlier, so that a table that nothing else uses moves whole: 0 unless both
 * VMAs begin there at the same offset into their tables, behind a gap. @linux mm/mremap.c try_realign_addr
 */
function realigned({ old, fresh, from, to, length }: PagetableMove): number {
  const into = from % pmdSize();
  if (into === 0 || into !== to % pmdSize() || length < pmdSize() - into) return 0;
  return alone(old, from, into) && alone(fresh, to, into) ? into : 0;
}

function alone(vma: Vma, start: Vaddr, into: number): boolean {
  const below = vma.mm.vmas.prev(vma);
  return vma.start === start && (below === null || below.end <= start - into);
}

/** What one table holds for the range. @returns false when out of memory */
function* moveTable(move: PagetableMove, from: Vaddr, to: Vaddr, extent: number): Steps<boolean> {
  const { mm } = move.old;
  const old = pmdSlot(mm, from);
  if (old < 0) return true;
  if (pteHuge(getPte(old))) {
    const fresh = extent === pmdSize() ? allocPmd(mm, to) : -1;
    if (fresh >= 0 && (yield* moveHuge(move, old, fresh, from))) return true;
    yield* splitHugePmd(move.old, from);
  }
  if (extent === pmdSize() && movesTables(move)) {
    const fresh = allocPmd(mm, to);
    if (fresh < 0) return false;
    if (yield* moveNormalPmd(move, old, fresh, from)) return true;
  }
  if (getPte(old) === PTE_NONE) return true;
  if ((yield* allocPte(mm, to)) < 0) return false;
  yield* movePtes(move, from, to, extent);
  return true;
}

/** Requires: both addresses aligned to huge pages. */
function* moveHuge(move: PagetableMove, old: number, fresh: number, from: Vaddr): Steps<boolean> {
  const rmap = takesRmapLocks(move.needRmapLocks, true) ? yield* takeRmapLocks(move.old) : [];
  const moved = yield* moveHugePmd(move.old, old, fresh, from);
  for (const held of rmap) unlock(held);
  return moved;
}

/**
 * Entries that lose their write protection on the way have to be looked at one by one; on the way back too, since the
 * tables of the old place are still there then. @linux mm/mremap.c uffd_supports_page_table_move
 */
function movesTables({ old, fresh }: PagetableMove): boolean {
  return !vmaHasUffdWithoutEventRemap(old) && !vmaHasUffdWithoutEventRemap(fresh);
}

/** A whole PTE table: one step under both PMD locks. @returns false: not possible. @linux move_normal_pmd */
function* moveNormalPmd(
  move: PagetableMove,
  old: number,
  fresh: number,
  from: Vaddr,
): Steps<boolean> {
  const { mm } = move.old;
  if (getPte(fresh) !== PTE_NONE) return false;
  const keepsWalkersOut = takesRmapLocks(move.needRmapLocks, true);
  const rmap = keepsWalkersOut ? yield* takeRmapLocks(move.old) : [];
  const oldLock = ptLockOf(old);
  const newLock = ptLockOf(fresh);
  yield* lock(oldLock);
  if (newLock !== oldLock) yield* lock(newLock);
  const table = getPte(old);
  const whole = pteIsTable(table);
  if (whole) {
    setPte(old, PTE_NONE);
    setPte(fresh, table);
    // The lock of the table's own entries is free: only the locks of the reverse mapping keep walkers out of the new place.
    if (keepsWalkersOut) flushMoved(mm, from, from + pmdSize());
    else yield* flushTlbRange(mm, from, from + pmdSize());
  }
  if (newLock !== oldLock) unlock(newLock);
  unlock(oldLock);
  for (const held of rmap) unlock(held);
  return whole;
}

/** Entry by entry: one step under both PTE locks. @linux move_ptes */
function* movePtes(move: PagetableMove, from: Vaddr, to: Vaddr, extent: number): Steps<void> {
  const { mm } = move.old;
  const rmap = takesRmapLocks(move.needRmapLocks, false) ? yield* takeRmapLocks(move.old) : [];
  const old = yield* pteOffsetMapLock(mm, from);
  if (old >= 0) {
    const fresh = yield* lockSecond(mm, to, ptLockOf(old));
    const clears = vmaHasUffdWithoutEventRemap(move.old);
    let flush = false;
    for (let i = 0; i < extent / PAGE_SIZE; i++) {
      const pte = getPte(old + i);
      if (pte === PTE_NONE) continue;
      flush ||= ptePresent(pte);
      setPte(old + i, PTE_NONE);
      const moved = clears ? withoutUffdWp(pte) : pte;
      // Whatever is at a new place counts as written there. @linux move_soft_dirty_pte
      if (moved !== PTE_NONE) setPte(fresh + i, withFlags(moved, softDirtyBit()));
    }
    if (flush) flushMoved(mm, from, from + extent);
    if (ptLockOf(fresh) !== ptLockOf(old)) unlock(ptLockOf(fresh));
    unlock(ptLockOf(old));
  }
  for (const held of rmap) unlock(held);
}

/**
 * The lock of the destination's table, inside that of the source's: mmap_lock for writing keeps everybody out who
 * would take them in another order. @returns the slot
 */
function* lockSecond(mm: Mm, address: Vaddr, held: Lock): Steps<number> {
  const slot = pteSlot(mm, address);
  assert(slot >= 0, 'the table that entries move to has gone');
  if (ptLockOf(slot) !== held) yield* lock(ptLockOf(slot));
  assert(tableStillThere(pmdSlot(mm, address), slot), 'the table that entries move to has gone');
  return slot;
}

/** What is left of an entry whose VMA loses its registration. */
function withoutUffdWp(pte: Pte): Pte {
  if (pteKind(pte) !== 'marker') return withoutFlags(pte, PTE_UFFD_WP);
  return (pteMarker(pte) & PTE_MARKER_UFFD_WP) !== 0 ? PTE_NONE : pte;
}

/** Keeps walkers over the VMAs of the file and of the family out. @returns the locks. @linux take_rmap_locks */
function* takeRmapLocks(vma: Vma): Steps<readonly Lock[]> {
  const held: Lock[] = [];
  const mapping = yield* lockMapping(vma);
  if (mapping !== null) held.unshift(mapping.iMmapLock);
  if (vma.anonVma === null) return held;
  const { root } = vma.anonVma;
  yield* lock(root.lock);
  held.unshift(root.lock);
  return held;
}

/** fork and mremap of hugetlb entries. @linux mm/hugetlb.c copy_hugetlb_page_range, move_hugetlb_page_tables */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { GUP_PIN_COUNTING_BIAS, PG_ANON, PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import {
  mkMarker,
  type Pfn,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  type Pte,
  pteIsMarker,
  pteMarker,
  ptePfn,
  ptePresent,
  pteUffdWp,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, take, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { vmaHasUffdWithoutEventRemap } from '../fs/userfaultfd-events.ts';
import { seam } from '../seam.ts';
import {
  allocHugetlbFolio,
  copyHugeFolio,
  hugetlbAddNewAnonRmap,
  hugetlbAddRmap,
  makeHugePte,
} from './hugetlb-folio.ts';
import {
  hugetlbVmaLockRead,
  hugetlbVmaLockWrite,
  hugetlbVmaUnlockRead,
  hugetlbVmaUnlockWrite,
} from './hugetlb-lock.ts';
import {
  flushShared,
  hugePmdUnshare,
  hugePteAlloc,
  hugePteOffset,
  sharingRange,
} from './hugetlb-pte.ts';
import { hstateVma, hugetlbMapping } from './hugetlb-vma.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { mkUffdWp } from './page-prot.ts';
import { allocPmd, ptLockOf, pudSize, skipMissing } from './pgtable.ts';
import { flushNow } from './tlb.ts';
import { has, isCowMapping, VM_UFFD_WP } from './vm-flags.ts';

/**
 * Copies the entries of a hugetlb VMA to a child's.
 * @returns 0 or -ENOMEM
 * Requires: mmap_lock of both for writing, both VMAs write-locked
 */
export function* copyHugetlbPageRange(dst: Vma, src: Vma): Steps<number> {
  const h = hstateVma(src);
  const { mm } = src;
  const cow = isCowMapping(src.flags);
  const range = cow
    ? yield* mmuNotifierInvalidateRangeStart(mm, 'clear', src.start, src.end)
    : null;
  yield* hugetlbVmaLockRead(src);
  let result = 0;
  for (let address = src.start; address < src.end && result === 0; ) {
    const from = hugePteOffset(mm, address);
    if (from < 0) {
      address = skipMissing(mm, address, src.end);
      continue;
    }
    const to = yield* hugePteAlloc(dst, address);
    if (to < 0) result = -ENOMEM;
    else if (to === from) {
      // The child took part in the parent's table: there is nothing to copy.
      address = (Math.floor(address / pudSize()) + 1) * pudSize();
      continue;
    } else result = yield* copyEntry(dst, src, address, to, from);
    address += h.size;
  }
  hugetlbVmaUnlockRead(src);
  yield* mmuNotifierInvalidateRangeEnd(range);
  return result;
}

function* copyEntry(dst: Vma, src: Vma, address: Vaddr, to: number, from: number): Steps<number> {
  const [toLock, fromLock] = [ptLockOf(to), ptLockOf(from)];
  yield* lock(fromLock);
  take(toLock);
  const pte = getPte(from);
  let pinned: Pfn | 0 = 0;
  if (pteIsMarker(pte)) {
    const kept = PTE_MARKER_POISONED | (forkKeepsUffdWp(dst, src) ? PTE_MARKER_UFFD_WP : 0);
    const marks = pteMarker(pte) & kept;
    if (marks !== 0) setPte(to, mkMarker(marks));
  } else if (pte !== PTE_NONE) {
    assert(ptePresent(pte), 'migrating and lost huge pages are not modelled: nothing makes one');
    pinned = dupPresent(dst, src, to, from);
  }
  if (pinned !== 0) machine.frames.get(pinned);
  unlock(toLock);
  unlock(fromLock);
  return pinned === 0 ? 0 : yield* copyPinned(dst, src, address, to, from, pinned);
}

/** @returns 0, or the page that may be pinned and has to be copied. Requires: both page-table locks */
function dupPresent(dst: Vma, src: Vma, to: number, from: number): Pfn | 0 {
  const { frames } = machine;
  let pte = getPte(from);
  const pfn = ptePfn(pte);
  if (frames.hasFlag(pfn, PG_ANON) && frames.hasFlag(pfn, PG_ANON_EXCLUSIVE)) {
    if (src.mm.hasPinned && frames.refcount(pfn) >= GUP_PIN_COUNTING_BIAS) return pfn;
    frames.clearFlag(pfn, PG_ANON_EXCLUSIVE);
  }
  frames.get(pfn);
  hugetlbAddRmap(pfn, dst);
  if (isCowMapping(src.flags)) {
    pte = withoutFlags(pte, PTE_WRITE);
    setPte(from, pte);
  }
  setPte(to, forkKeepsUffdWp(dst, src) ? pte : withoutFlags(pte, PTE_UFFD_WP));
  return 0;
}

/**
 * Whether the child's entries keep the parent's write protection: it is the child's VMA that must be registered for it.
 * Before 6.4 the parent's was asked (commit 5a2f8d22ace4).
 */
export const forkKeepsUffdWp = seam('hugetlb.forkKeepsUffdWp', (dst: Vma, _src: Vma): boolean =>
  has(dst.flags, VM_UFFD_WP),
);

/** A page that a device may be writing stays the parent's: the child gets its content as of now. */
function* copyPinned(
  dst: Vma,
  src: Vma,
  address: Vaddr,
  to: number,
  from: number,
  pinned: Pfn,
): Steps<number> {
  const { frames } = machine;
  const owner = world.owner();
  const fresh = yield* allocHugetlbFolio(dst, address);
  if (fresh === 0) {
    frames.put(pinned, owner);
    return -ENOMEM;
  }
  yield* copyHugeFolio(fresh, pinned);
  frames.put(pinned, owner);
  const [toLock, fromLock] = [ptLockOf(to), ptLockOf(from)];
  yield* lock(fromLock);
  take(toLock);
  hugetlbAddNewAnonRmap(fresh, dst, address);
  const entry = makeHugePte(dst, fresh, true);
  const protectedToo = pteUffdWp(getPte(from)) && forkKeepsUffdWp(dst, src);
  setPte(to, protectedToo ? mkUffdWp(entry) : entry);
  unlock(toLock);
  unlock(fromLock);
  return 0;
}

/** What moves where; as in move-page-tables.ts. */
export interface HugetlbMove {
  readonly old: Vma;
  readonly from: Vaddr;
  readonly to: Vaddr;
  readonly length: number;
}

/**
 * Moves entries, one by one; tables that others use are given up.
 * @returns bytes moved: less than the length when a table cannot be had
 * Requires: mmap_lock for writing, both VMAs write-locked
 */
export function* moveHugetlbPageTables(move: HugetlbMove): Steps<number> {
  const { old, from, to, length } = move;
  const { mm } = old;
  const h = hstateVma(old);
  const { iMmapLock } = hugetlbMapping(old);
  const clears = vmaHasUffdWithoutEventRemap(old);
  const end = from + length;
  const [low, high] = sharingRange(old, from, end);
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'clear', low, high);
  yield* hugetlbVmaLockWrite(old);
  yield* lock(iMmapLock);
  let address = from;
  while (address < end) {
    const source = hugePteOffset(mm, address);
    if (source < 0) {
      address = skipMissing(mm, address, end);
      continue;
    }
    const span = (Math.floor(address / pudSize()) + 1) * pudSize();
    const ptl = ptLockOf(source);
    yield* lock(ptl);
    const shared = yield* hugePmdUnshare(old, address);
    unlock(ptl);
    if (shared) {
      flushShared(mm, address);
      address = span;
      continue;
    }
    if (getPte(source) !== PTE_NONE) {
      const target = allocPmd(mm, address - from + to);
      if (target < 0) break;
      yield* moveHugePte(source, target, clears);
    }
    address += h.size;
  }
  flushNow(mm, from, end);
  unlock(iMmapLock);
  hugetlbVmaUnlockWrite(old);
  yield* mmuNotifierInvalidateRangeEnd(range);
  return Math.min(address, end) - from;
}

/** Requires: the i_mmap lock and mmap_lock, both for writing: nobody takes the two page-table locks the other way round. */
function* moveHugePte(from: number, to: number, clears: boolean): Steps<void> {
  const [fromLock, toLock] = [ptLockOf(from), ptLockOf(to)];
  yield* lock(fromLock);
  if (toLock !== fromLock) yield* lock(toLock);
  const pte = getPte(from);
  setPte(from, PTE_NONE);
  const moved = clears ? withoutUffdWp(pte) : pte;
  if (moved !== PTE_NONE) setPte(to, moved);
  if (toLock !== fromLock) unlock(toLock);
  unlock(fromLock);
}

/** What is left of an entry whose VMA loses its registration. @linux move_huge_pte */
function withoutUffdWp(pte: Pte): Pte {
  if (!pteIsMarker(pte)) return withoutFlags(pte, PTE_UFFD_WP);
  return (pteMarker(pte) & PTE_MARKER_UFFD_WP) !== 0 ? PTE_NONE : pte;
}

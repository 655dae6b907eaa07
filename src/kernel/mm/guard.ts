/**
 * Guard regions: entries that make every access a SIGSEGV, without a mapping of their own. @linux mm/madvise.c
 * madvise_guard_install, madvise_guard_remove; semantics.md sections 6 and 22
 */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkMarker,
  PTE_MARKER_GUARD,
  PTE_NONE,
  type Pte,
  pteIsTable,
  pteMarker,
  pteNone,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { giveWay, pause, until } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { interrupts, type SleepClass } from '../../sched/wait.ts';
import { ERESTARTNOINTR } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { fail } from '../errno-row.ts';
import { seam } from '../seam.ts';
import { anonVmaPrepare } from './anon-vma.ts';
import { splitHugePmd } from './huge-split.ts';
import { MADVISE_ERRORS } from './madvise-errors.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock } from './mmap-lock.ts';
import { discardSealed } from './mseal.ts';
import {
  allocPte,
  isWholePmd,
  pmdAddrEnd,
  pmdSlot,
  pteSlotIn,
  ptLockOf,
  skipMissing,
} from './pgtable.ts';
import { pteOffsetMapLock, tableStillThere } from './pte-offset-map.ts';
import {
  has,
  VM_HUGETLB,
  VM_LOCKED,
  VM_MAYBE_GUARD,
  VM_SPECIAL,
  type VmFlags,
  withFlag,
} from './vm-flags.ts';
import { zapPageRange } from './zap.ts';

const E = MADVISE_ERRORS;

/** What an installation that lost to faults does: starts over with the lock dropped. */
export const guardRestarts = seam('guard.restarts', (): boolean => true);

/**
 * Guards, VMA by VMA. An installation that faults keep defeating lets go of mmap_lock and starts the whole call again.
 * @linux mm/madvise.c madvise_guard_install, restart_syscall
 */
export function* madviseGuard(
  mm: Mm,
  start: Vaddr,
  end: Vaddr,
  install: boolean,
  sleeps: SleepClass,
): Steps<number> {
  for (;;) {
    yield* mmapReadLock(mm);
    const result = yield* guardVmas(mm, start, end, install);
    mmapReadUnlock(mm);
    if (result !== LOST) return result;
    if (!guardRestarts()) return fail(E.guardRace);
    const { thread } = world.current;
    if (thread !== null && interrupts(thread, sleeps)) {
      return thread.signal === 'fatal' ? fail(E.killed) : -ERESTARTNOINTR;
    }
    yield* accessesTried(mm);
    // Faults need not be what defeats it: see docs/findings.md on markers that zapping leaves where they are.
    if (!sched.exploring) yield* giveWay('start over');
  }
}

/**
 * Differs from Linux: a call that starts over lets accesses go first that have faulted. Under a fair schedule they get
 * there sooner or later; without this one access and one call could defeat each other for ever.
 */
function* accessesTried(mm: Mm): Steps<void> {
  const none = (): boolean => mm.accessesDue <= 0;
  yield* until('start over', mm.accessesDueCell, READ, none, 'accesses under way');
}

const LOST = 1;

function* guardVmas(mm: Mm, start: Vaddr, end: Vaddr, install: boolean): Steps<number> {
  let address = start;
  let hole = false;
  for (const vma of mm.vmas.range(start, end)) {
    if (vma.start > address) hole = true;
    const from = Math.max(address, vma.start);
    address = Math.min(end, vma.end);
    if (install && discardSealed(vma)) return fail(E.sealed);
    if (!isValidGuardVma(vma, !install)) return fail(E.guardKind);
    if (!install) {
      yield* madviseGuardRemove(vma, from, address);
      continue;
    }
    const outcome = yield* madviseGuardInstall(vma, from, address);
    if (outcome === 'lost') return LOST;
    if (outcome === 'no-memory') return fail(E.guardMemory);
  }
  return hole || address < end ? fail(E.hole) : 0;
}

/** How an installation ended: done, out of memory, or lost to faults too often. */
export type GuardOutcome = 'done' | 'no-memory' | 'lost';

/** Walks of one attempt: after each but the last that met a page the range is zapped. @linux MAX_MADVISE_GUARD_RETRIES */
export const guardRounds = seam('guard.rounds', (): number => 3);

/**
 * Whether the VMA gets its anon_vma before the first marker is written. Without an anon_vma fork leaves the page tables
 * behind, guards and all.
 */
export const anonVmaFirst = seam('guard.anonVmaFirst', (): boolean => true);

/** Whether a VMA can have guards at all. @linux mm/madvise.c is_valid_guard_vma */
export function isValidGuardVma(vma: Vma, allowLocked: boolean): boolean {
  const never = (VM_SPECIAL | VM_HUGETLB | (allowLocked ? 0 : VM_LOCKED)) as VmFlags;
  return !has(vma.flags, never);
}

/**
 * Makes every slot of [start, end) a guard marker; pages that are there are dropped first.
 * @returns 'lost' when faults put pages back in every round: the call starts again from the beginning
 * Requires: mmap_lock for reading; the range within the VMA
 */
export function* madviseGuardInstall(vma: Vma, start: Vaddr, end: Vaddr): Steps<GuardOutcome> {
  const early = anonVmaFirst();
  if (early) {
    if (!(yield* prepareForGuards(vma))) return 'no-memory';
    markMaybeGuard(vma);
  }
  for (let round = guardRounds(); round > 0; round--) {
    const walk = { installed: 0 };
    const result = yield* guardWalk(vma, start, end, walk);
    if (result === 'no-memory') return result;
    if (!early && walk.installed > 0) {
      yield* pause('guards installed');
      if (!(yield* prepareForGuards(vma))) return 'no-memory';
      markMaybeGuard(vma);
    }
    if (result === 'done') return 'done';
    yield* zapPageRange(vma, start, end, { dropMarker: false });
  }
  return 'lost';
}

/**
 * Makes sure that fork copies the page tables: anonymous memory gets its anon_vma. In memory of files the sticky flag
 * does it alone, and mappings with guards merge as others do (measured on 6.18.44).
 */
function* prepareForGuards(vma: Vma): Steps<boolean> {
  return vma.file !== null || (yield* anonVmaPrepare(vma));
}

/**
 * The sticky flag: it tells that guards may be here, and never goes away. Requires: mmap_lock for reading; Linux sets the
 * bit atomically. @linux VM_MAYBE_GUARD
 */
function markMaybeGuard(vma: Vma): void {
  if (has(vma.flags, VM_MAYBE_GUARD)) return;
  vma.poke();
  vma.flags = withFlag(vma.flags, VM_MAYBE_GUARD);
}

/** Fills empty slots, table by table, up to the first that is neither empty nor a guard. */
function* guardWalk(
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  walk: { installed: number },
): Steps<GuardOutcome> {
  for (let address = start; address < end; ) {
    const next = pmdAddrEnd(address, end);
    const slot = yield* allocPte(vma.mm, address);
    if (slot === -1) return 'no-memory';
    if (slot < 0) {
      // A whole huge page is zapped as one. Of a part of one the mapping is split, and the walk sees its pages.
      if (isWholePmd(address, next)) return 'lost';
      yield* splitHugePmd(vma, address);
      continue;
    }
    const pmd = pmdSlot(vma.mm, address);
    const ptl = ptLockOf(slot);
    yield* lock(ptl);
    const there = tableStillThere(pmd, slot);
    const full = there ? guardTable(slot, (next - address) / PAGE_SIZE, walk) : true;
    unlock(ptl);
    if (!full) return 'lost';
    // A table that was freed while we waited for its lock is walked again.
    if (there) address = next;
  }
  return 'done';
}

/** Under the page-table lock: may this slot become a guard? */
export const slotFreeForGuard = seam(
  'guard.slotFree',
  (pte: Pte): boolean => pteNone(pte),
  'GUARD_INSTALL: a fault may have put a page there since the range was zapped, and a marker over it would lose it',
);

/** Requires: the page-table lock. @returns whether every slot is a guard now */
function guardTable(first: number, count: number, walk: { installed: number }): boolean {
  for (let i = 0; i < count; i++) {
    const pte = getPte(first + i);
    if (isGuardMarker(pte)) continue;
    if (!slotFreeForGuard(pte)) return false;
    setPte(first + i, mkMarker(PTE_MARKER_GUARD));
    walk.installed++;
  }
  return true;
}

/** @linux is_guard_swp_entry */
export function isGuardMarker(pte: Pte): boolean {
  return (pteMarker(pte) & PTE_MARKER_GUARD) !== 0;
}

/**
 * Makes guards of [start, end) empty slots again. Makes no page tables and touches nothing else.
 * Requires: mmap_lock for reading; the range within the VMA
 */
export function* madviseGuardRemove(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  const { mm } = vma;
  let address = skipMissing(mm, start, end);
  while (address < end) {
    const next = pmdAddrEnd(address, end);
    if (pteIsTable(getPte(pmdSlot(mm, address)))) yield* removeFromTable(vma, address, next);
    address = skipMissing(mm, next, end);
  }
}

function* removeFromTable(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  const first = yield* pteOffsetMapLock(vma.mm, start);
  if (first < 0) return;
  const table = getPte(pmdSlot(vma.mm, start));
  for (let address = start; address < end; address += PAGE_SIZE) {
    const slot = pteSlotIn(table, address);
    if (isGuardMarker(getPte(slot))) setPte(slot, PTE_NONE);
  }
  unlock(ptLockOf(first));
}

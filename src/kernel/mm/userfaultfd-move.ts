/**
 * UFFDIO_MOVE: a page changes its address without being copied. Steps are those of semantics.md section 22, MOVE; each
 * re-validation is a seam.
 *
 *   lock dst VMA, try src VMA | map_changing_lock | dst slot | src slot | pin and try the folio lock | anon_vma lock |
 *   both page-table locks: look again, clear src, re-index the folio, set dst, flush
 *
 * Differs from Linux: page by page; 6.18 moves a run of small pages under one hold of the page-table locks.
 *
 * @linux mm/userfaultfd.c move_pages; semantics.md section 9.8
 */

import { folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { GUP_PIN_COUNTING_BIAS, PG_ANON, PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkPte,
  type Pfn,
  PTE_NONE,
  PTE_SPECIAL,
  PTE_YOUNG,
  type Pte,
  pteIsMigration,
  pteIsSwap,
  pteIsTable,
  pteNone,
  ptePfn,
  ptePresent,
  pteSpecial,
  SWP_EXCLUSIVE,
  swpOffset,
  withFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { pause } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { type Lock, lock, lockRead, tryLock, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES } from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import type { ErrnoRow } from '../errno-row.ts';
import { MOVE_ERRNOS } from '../fs/userfaultfd-errnos.ts';
import { seam } from '../seam.ts';
import { folioLock, folioTrylock, folioUnlock, folioWaitUnlocked } from './folio-lock.ts';
import { splitFolio } from './huge-split.ts';
import { migrationEntryWait } from './migrate.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { mmuNotifierInvalidateRangeEnd } from './mmu-notifier.ts';
import { looksForSwapFolio, noNewSwapFolio, swapFolioSame } from './move-swap.ts';
import { pageProt } from './page-prot.ts';
import { allocPte, pmdSize, pmdSlot, ptLockOf } from './pgtable.ts';

import { doublePtLock, pteOffsetMapLock, tableStillThere } from './pte-offset-map.ts';
import { folioMoveAnonRmap, linearPageIndex } from './rmap.ts';
import { softDirtyBit } from './soft-dirty.ts';
import { swapCacheGetFolio } from './swap-state.ts';
import { getSwapDevice, putSwapDevice } from './swapfile.ts';
import { flushNow } from './tlb.ts';
import { moveHugePage } from './userfaultfd-move-huge.ts';
import {
  type Areas,
  areasValid,
  locksAnonVma,
  type Move,
  moveLock,
  moveNotChanging,
  moveUnlock,
  notifyBeforeMove,
  notifyInsideMove,
} from './userfaultfd-move-lock.ts';
import { countMoved, movedPte } from './userfaultfd-moved-pte.ts';

/**
 * Moves pages one by one until something stops it.
 * @returns bytes moved, holes included, or why not even the first page was
 * Requires: no lock; a use of ctx.mm. @linux move_pages
 */
export function* movePages(task: Task, move: Move): Steps<number | ErrnoRow> {
  const { ctx } = move;
  const areas = yield* moveLock(move);
  if (!('dst' in areas)) return areas;
  yield* lockRead(ctx.mapChangingLock);
  let moved = 0;
  let stop: ErrnoRow | null = null;
  if (!moveNotChanging(ctx)) stop = MOVE_ERRNOS.changing;
  else if (!areasValid(areas, move)) stop = MOVE_ERRNOS.areas;
  while (stop === null && moved < move.len) {
    const result = yield* movePage(areas, move, moved);
    if (result === 'moved') moved += PAGE_SIZE;
    else if (result === 'huge') moved += pmdSize();
    else if (result !== 'again') stop = result;
    if (stop === null && task.thread?.signal === 'fatal') stop = MOVE_ERRNOS.killed;
  }
  unlockRead(ctx.mapChangingLock);
  moveUnlock(areas);
  return moved > 0 || stop === null ? moved : stop;
}

type Moved = 'moved' | 'again' | ErrnoRow;

/**
 * What becomes of a page whose table is not to be had any more: a huge page has appeared in its place, or the table was
 * freed. Looked for again; the proposal of 2023 told user space.
 */
export const tableGone = seam('move.tableGone', (): Moved => 'again');

/** The folio at the source: pinned and locked, with the entry that led to it. */
interface Held {
  readonly pfn: Pfn;
  readonly pte: Pte;
  anonVma: Lock | null;
}

/** One page. @linux move_pages_ptes */
function* movePage(areas: Areas, move: Move, done: number): Steps<Moved | 'huge'> {
  const { mm } = areas.src;
  const [dst, src] = [move.dst + done, move.src + done];
  const holes = (move.mode & UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES) !== 0;
  const range = yield* notifyBeforeMove(mm, src);
  let result = yield* prepareMove(areas, move, done, holes);
  const hold: { folio: Held | null } = { folio: null };
  while (result === 'blocked') result = yield* moveSlot(areas, dst, src, holes, hold);
  yield* mmuNotifierInvalidateRangeEnd(range);
  return result;
}

/** Huge pages first, then the tables. @returns 'blocked': go on with the page alone */
function* prepareMove(
  areas: Areas,
  move: Move,
  done: number,
  holes: boolean,
): Steps<Moved | 'huge' | 'blocked'> {
  const { mm } = areas.src;
  const [dst, src] = [move.dst + done, move.src + done];
  const huge = yield* moveHugePage(areas, dst, src, move.len - done);
  if (huge !== 'pages') return huge;
  const pmd = pmdSlot(mm, src);
  if (!holes && (pmd < 0 || !pteIsTable(getPte(pmd)))) return MOVE_ERRNOS.hole;
  const slots = [yield* allocPte(mm, src), yield* allocPte(areas.dst.mm, dst)];
  if (slots.includes(-1)) return MOVE_ERRNOS.noMemory;
  return slots.includes(-2) ? tableGone() : 'blocked';
}

/**
 * Up to the point where it would have to wait under RCU: then the locks it waited for are kept and it starts over.
 * RCU: the tables may not be freed while their slots are compared.
 */
function* moveSlot(
  areas: Areas,
  dst: Vaddr,
  src: Vaddr,
  holes: boolean,
  hold: { folio: Held | null },
): Steps<Moved | 'blocked'> {
  const { mm } = areas.src;
  world.rcu.readLock();
  const range = yield* notifyInsideMove(mm, src);
  const to = yield* peekSlot(areas.dst.mm, dst);
  const from = to !== null && pteNone(to.pte) ? yield* peekSlot(mm, src) : null;
  let result: Moved | 'blocked' = tableGone();
  if (to !== null && !pteNone(to.pte)) result = MOVE_ERRNOS.exists;
  else if (to !== null && from !== null) result = yield* moveEntry(areas, to, from, holes, hold);
  if (result !== 'blocked') {
    world.rcu.readUnlock();
    release(hold);
  }
  yield* mmuNotifierInvalidateRangeEnd(range);
  return result;
}

interface Slot {
  readonly address: Vaddr;
  readonly slot: number;
  readonly pte: Pte;
}

function* peekSlot(mm: Mm, address: Vaddr): Steps<Slot | null> {
  const slot = yield* pteOffsetMapLock(mm, address);
  if (slot < 0) return null;
  const pte = getPte(slot);
  unlock(ptLockOf(slot));
  return { address, slot, pte };
}

/** After waiting for the folio: is it still the folio of the source? */
export const srcSameAfterLock = seam(
  'move.srcSameAfterLock',
  (held: Held, pte: Pte): boolean => held.pte === pte,
  'MOVE: chk src slot again after blocking on the folio lock: it may hold another page, and the one that was locked would be mapped twice',
);

function* moveEntry(
  areas: Areas,
  to: Slot,
  from: Slot,
  holes: boolean,
  hold: { folio: Held | null },
): Steps<Moved | 'blocked'> {
  if (pteNone(from.pte)) return holes ? 'moved' : MOVE_ERRNOS.hole;
  if (hold.folio !== null && !srcSameAfterLock(hold.folio, from.pte)) return 'again';
  if (pteIsSwap(from.pte)) return yield* moveSwap(areas, to, from, hold);
  if (pteIsMigration(from.pte)) {
    world.rcu.readUnlock();
    yield* migrationEntryWait(areas.src.mm, from.address);
    return 'blocked';
  }
  if (!ptePresent(from.pte)) return MOVE_ERRNOS.marker;
  if (pteSpecial(from.pte)) return yield* moveZeroPage(areas, to, from);
  if (hold.folio === null) {
    const pinned = yield* pinFolio(areas, from, hold);
    if (pinned !== null) return pinned;
  }
  const { folio } = hold;
  if (folio === null) return 'again';
  if (folio.anonVma === null && locksAnonVma()) {
    const waited = yield* lockAnonVma(folio);
    if (waited !== null) return waited;
  }
  return yield* movePresent(areas, to, from, folio, hold);
}

export const srcSameOnPin = seam(
  'move.srcSameOnPin',
  (now: Pte, before: Pte): boolean => now === before,
  'MOVE: chk src slot same under its lock before the folio is pinned: it may have been freed since',
);

/** Whether the page is this mapping's alone. The proposal of 2023 asked for one mapping instead. */
export const movable = seam('move.movable', (pfn: Pfn): boolean =>
  machine.frames.hasFlag(pfn, PG_ANON_EXCLUSIVE),
);

/** Whether page tables are let go before anything that may sleep. */
export const unmapsBeforeBlocking = seam('move.unmapsBeforeBlocking', (): boolean => true);

/**
 * Whether a large folio is held while its lock is waited for. Two calls that both did kept each other from splitting it
 * for ever; 6.14 fixed it.
 */
export const keepsRefToLarge = seam('move.keepsRefToLarge', (): boolean => false);

/** @returns null when the folio is pinned and locked */
function* pinFolio(
  _areas: Areas,
  from: Slot,
  hold: { folio: Held | null },
): Steps<Moved | 'blocked' | null> {
  const ptl = ptLockOf(from.slot);
  yield* lock(ptl);
  if (!srcSameOnPin(getPte(from.slot), from.pte)) {
    unlock(ptl);
    return 'again';
  }
  const pfn = ptePfn(from.pte);
  if (!machine.frames.hasFlag(pfn, PG_ANON) || !movable(pfn)) {
    unlock(ptl);
    return MOVE_ERRNOS.notExclusive;
  }
  const locked = folioTrylock(pfn);
  if (!locked && machine.frames.order(pfn) > 0 && !keepsRefToLarge()) {
    unlock(ptl);
    world.rcu.readUnlock();
    yield* folioWaitUnlocked(pfn);
    world.rcu.readLock();
    return 'again';
  }
  machine.frames.get(pfn);
  unlock(ptl);
  if (!locked) {
    if (unmapsBeforeBlocking()) world.rcu.readUnlock();
    yield* folioLock(pfn);
  }
  hold.folio = { pfn, pte: from.pte, anonVma: null };
  if (machine.frames.order(pfn) === 0) return locked ? null : 'blocked';
  if (locked) world.rcu.readUnlock();
  if (yield* splitFolio(pfn)) return 'blocked';
  world.rcu.readLock();
  return MOVE_ERRNOS.notExclusive;
}

/** folio_referenced walks the anon_vma without the folio lock: keeps it out. Up to 6.18. */
function* lockAnonVma(folio: Held): Steps<Moved | 'blocked' | null> {
  sched.touch(folioCell(folio.pfn), READ);
  const anonVma = world.anonVmas.get(machine.frames.mappingOf(folio.pfn));
  if (anonVma === undefined) return 'again';
  const { lock: rwsem } = anonVma.root;
  const locked = yield* tryLock(rwsem);
  if (!locked) {
    world.rcu.readUnlock();
    yield* lock(rwsem);
  }
  folio.anonVma = rwsem;
  return locked ? null : 'blocked';
}

/** Under both page-table locks: is everything as it was when the decision was made? */
export const slotsSame = seam(
  'move.slotsSame',
  (to: Slot, from: Slot): boolean => getPte(to.slot) === to.pte && getPte(from.slot) === from.pte,
  'MOVE: chk both slots same under both PTLs: a fault may have filled the destination, a zap emptied the source',
);
export const tablesSame = seam(
  'move.tablesSame',
  ({ dst, src }: Areas, to: Slot, from: Slot): boolean =>
    tableStillThere(pmdSlot(dst.mm, to.address), to.slot) &&
    tableStillThere(pmdSlot(src.mm, from.address), from.slot),
  'MOVE: chk dst PMD same under both PTLs: the table may have been taken out of the tree',
);
export const stillMovable = seam(
  'move.stillMovable',
  (pfn: Pfn): boolean => movable(pfn),
  'MOVE: chk exclusive under both PTLs: fork may have shared the page since it was pinned',
);
export const notPinned = seam(
  'move.notPinned',
  (pfn: Pfn, mm: Mm): boolean =>
    !mm.hasPinned || machine.frames.refcount(pfn) < GUP_PIN_COUNTING_BIAS,
  'MOVE: chk not pinned once the entry is cleared: a device would go on writing to the page at its old place',
);
/** Whether the pin is dropped with the move, before the folio is unlocked. */
export const dropsPinEarly = seam('move.dropsPinEarly', (): boolean => false);

/** @linux move_present_ptes */
function* movePresent(
  areas: Areas,
  to: Slot,
  from: Slot,
  folio: Held,
  hold: { folio: Held | null },
): Steps<Moved> {
  const { mm } = areas.src;
  const { pfn } = folio;
  const unlockBoth = yield* doublePtLock(to.slot, from.slot);
  let result: Moved = 'again';
  if (tablesSame(areas, to, from) && slotsSame(to, from)) {
    result = stillMovable(pfn) ? 'moved' : MOVE_ERRNOS.notExclusive;
    if (result === 'moved') {
      setPte(from.slot, PTE_NONE);
      flushNow(mm, from.address, from.address + PAGE_SIZE);
      if (!notPinned(pfn, mm)) {
        setPte(from.slot, from.pte);
        result = MOVE_ERRNOS.notExclusive;
      } else {
        folioMoveAnonRmap(pfn, areas.dst);
        machine.frames.index[pfn] = linearPageIndex(areas.dst, to.address);
        setPte(to.slot, movedPte(areas.dst, from.pte, pfn));
        countMoved(areas.src, areas.dst, 'anon');
      }
    }
  }
  const early = result === 'moved' && dropsPinEarly();
  if (early) machine.frames.put(pfn, world.owner());
  unlockBoth();
  if (early) {
    hold.folio = null;
    if (folio.anonVma !== null) unlock(folio.anonVma);
    yield* pause('folio unlock');
    folioUnlock(pfn);
  }
  return result;
}

/**
 * A page on the swap device: the entry moves, with its bits; a folio that the swap cache has of it is locked and gets its
 * new place in the rmap. None may have come since none was found. @linux move_swap_pte
 */
function* moveSwap(
  areas: Areas,
  to: Slot,
  from: Slot,
  hold: { folio: Held | null },
): Steps<Moved | 'blocked'> {
  if ((from.pte & SWP_EXCLUSIVE) === 0) return MOVE_ERRNOS.notExclusive;
  if (!(yield* getSwapDevice())) return 'again';
  const result = yield* moveSwapHeld(areas, to, from, hold);
  putSwapDevice();
  return result;
}

/** Requires: the device is held. */
function* moveSwapHeld(
  areas: Areas,
  to: Slot,
  from: Slot,
  hold: { folio: Held | null },
): Steps<Moved | 'blocked'> {
  const offset = swpOffset(from.pte);
  if (hold.folio === null && looksForSwapFolio()) {
    const pfn = yield* swapCacheGetFolio(offset);
    const locked = pfn === 0 || folioTrylock(pfn);
    if (!locked) {
      if (unmapsBeforeBlocking()) world.rcu.readUnlock();
      yield* folioLock(pfn);
    }
    if (pfn !== 0) hold.folio = { pfn, pte: from.pte, anonVma: null };
    if (!locked) return 'blocked';
  }
  const { folio } = hold;
  if (folio !== null && !swapFolioSame(folio.pfn, offset)) return 'again';
  const unlockBoth = yield* doublePtLock(to.slot, from.slot);
  const same =
    tablesSame(areas, to, from) &&
    slotsSame(to, from) &&
    (folio !== null || noNewSwapFolio(offset));
  if (same) {
    if (folio !== null) {
      folioMoveAnonRmap(folio.pfn, areas.dst);
      machine.frames.index[folio.pfn] = linearPageIndex(areas.dst, to.address);
    }
    setPte(from.slot, PTE_NONE);
    setPte(to.slot, withFlags(from.pte, softDirtyBit()));
    countMoved(areas.src, areas.dst, 'swap');
  }
  unlockBoth();
  return same ? 'moved' : 'again';
}

/** Nobody's page needs no pin: the destination gets the zero page too. @linux move_zeropage_pte */
function* moveZeroPage(areas: Areas, to: Slot, from: Slot): Steps<Moved> {
  const { mm } = areas.src;
  const unlockBoth = yield* doublePtLock(to.slot, from.slot);
  const same = tablesSame(areas, to, from) && slotsSame(to, from);
  if (same) {
    setPte(from.slot, PTE_NONE);
    flushNow(mm, from.address, from.address + PAGE_SIZE);
    setPte(to.slot, mkPte(ptePfn(from.pte), PTE_YOUNG | PTE_SPECIAL | pageProt(areas.dst.flags)));
  }
  unlockBoth();
  return same ? 'moved' : 'again';
}

function release(hold: { folio: Held | null }): void {
  const { folio } = hold;
  if (folio === null) return;
  hold.folio = null;
  if (folio.anonVma !== null) unlock(folio.anonVma);
  folioUnlock(folio.pfn);
  machine.frames.put(folio.pfn, world.owner());
}

/**
 * The two mappings of UFFDIO_MOVE: locking both without waiting for the second, and whether pages may go from the one to
 * the other. @linux mm/userfaultfd.c uffd_move_lock, validate_move_areas
 */

import { PAGE_SIZE } from '../../machine/geometry.ts';
import { takeRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import type { ErrnoRow } from '../errno-row.ts';
import type { UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import { MOVE_ERRNOS } from '../fs/userfaultfd-errnos.ts';
import { seam } from '../seam.ts';
import { anonVmaPrepare } from './anon-vma.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import {
  lockVmaUnderRcu,
  mmapReadLock,
  mmapReadUnlock,
  vmaEndRead,
  vmaLookup,
} from './mmap-lock.ts';
import { type MmuNotifierRange, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { pageProt } from './page-prot.ts';
import { fillLocksVma, isVma, lockDst, unlockDst } from './userfaultfd.ts';
import {
  has,
  VM_ACCESS_FLAGS,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
  type VmFlags,
} from './vm-flags.ts';

export interface Move {
  readonly ctx: UserfaultfdCtx;
  /** Where the source is: the address space of the userfaultfd, unless a patch has it otherwise. */
  readonly srcMm: Mm;
  readonly dst: Vaddr;
  readonly src: Vaddr;
  readonly len: number;
  readonly mode: number;
}

export interface Areas {
  readonly dst: Vma;
  readonly src: Vma;
}

/**
 * Finds and locks the VMA of the source while that of the destination is read-locked. Never waits: who write-locks both
 * may have the one and be waiting for the other.
 */
export const lockSrc = seam(
  'move.lockSrc',
  (mm: Mm, address: Vaddr): Steps<Vma | null> => lockVmaUnderRcu(mm, address),
);

/** Where listeners are told: before the page tables are mapped, where one may still sleep. @linux move_pages_ptes */
export const notifyBeforeMove = seam(
  'move.notifyBeforeMove',
  (mm: Mm, src: Vaddr): Steps<MmuNotifierRange | null> =>
    mmuNotifierInvalidateRangeStart(mm, 'clear', src, src + PAGE_SIZE),
);

/** Where the proposal of 2023 told them: with the page tables mapped. Today: nothing. */
export const notifyInsideMove = seam(
  'move.notifyInsideMove',
  function* (_mm: Mm, _src: Vaddr): Steps<MmuNotifierRange | null> {
    return null;
  },
);

/** Whether walkers over the mappings of the page are kept out by the lock of its anon_vma: up to 6.18. */
export const locksAnonVma = seam('move.locksAnonVma', (): boolean => true);

/** @linux uffd_move_lock */
export function* moveLock({ ctx, srcMm, dst, src }: Move): Steps<Areas | ErrnoRow> {
  const { mm } = ctx;
  if (srcMm !== mm) return yield* lockTwoMms(mm, srcMm, dst, src);
  const first = yield* lockDst(mm, dst, MOVE_ERRNOS);
  if (!isVma(first)) return first;
  if (first.contains(src)) return { dst: first, src: first };
  if (!fillLocksVma()) {
    const under = vmaLookup(mm, src);
    if (under !== null) return { dst: first, src: under };
    unlockDst(first);
    return MOVE_ERRNOS.noSource;
  }
  const second = yield* lockSrc(mm, src);
  if (second !== null) return { dst: first, src: second };
  vmaEndRead(first);
  yield* mmapReadLock(mm);
  const areas = yield* findBoth(mm, dst, src);
  mmapReadUnlock(mm);
  return areas;
}

/** Two address spaces, as the proposal of 2023 had it: both mmap_locks for reading, in a fixed order. */
function* lockTwoMms(mm: Mm, srcMm: Mm, dst: Vaddr, src: Vaddr): Steps<Areas | ErrnoRow> {
  const [low, high] = mm.id < srcMm.id ? [mm, srcMm] : [srcMm, mm];
  yield* mmapReadLock(low);
  yield* mmapReadLock(high);
  const [first, second] = [vmaLookup(mm, dst), vmaLookup(srcMm, src)];
  let refused: ErrnoRow | null = null;
  if (first === null) refused = MOVE_ERRNOS.notRegistered;
  else if (second === null) refused = MOVE_ERRNOS.noSource;
  else if (!(yield* anonVmaPrepare(first))) refused = MOVE_ERRNOS.noMemory;
  if (first !== null && second !== null && refused === null) return { dst: first, src: second };
  mmapReadUnlock(high);
  mmapReadUnlock(low);
  return refused ?? MOVE_ERRNOS.noSource;
}

/** Under mmap_lock nobody can hold a VMA for writing. @linux find_vmas_mm_locked */
function* findBoth(mm: Mm, dst: Vaddr, src: Vaddr): Steps<Areas | ErrnoRow> {
  const first = vmaLookup(mm, dst);
  if (first === null) return MOVE_ERRNOS.notRegistered;
  if (!has(first.flags, VM_SHARED) && !(yield* anonVmaPrepare(first))) return MOVE_ERRNOS.noMemory;
  const second = first.contains(src) ? first : vmaLookup(mm, src);
  if (second === null) return MOVE_ERRNOS.noSource;
  takeRead(first.lock);
  if (second !== first) takeRead(second.lock, true);
  return { dst: first, src: second };
}

export const moveNotChanging = seam(
  'move.notChanging',
  (ctx: UserfaultfdCtx): boolean => !ctx.isMmapChanging(),
  'MOVE: chk counter under map_changing-R: after an event was queued no page may be moved in',
);

/** @linux validate_move_areas */
export const areasValid = seam(
  'move.areasValid',
  ({ dst, src }: Areas, move: Move): boolean => {
    const never = (VM_SHARED | VM_PFNMAP | VM_IO | VM_HUGETLB) as VmFlags;
    if (has(src.flags, never) || has(dst.flags, never)) return false;
    if (move.src + move.len > src.end || move.dst + move.len > dst.end) return false;
    if (((src.flags ^ dst.flags) & (VM_ACCESS_FLAGS | VM_LOCKED)) !== 0) return false;
    if (pageProt(src.flags) !== pageProt(dst.flags) || !has(src.flags, VM_WRITE)) return false;
    return dst.uffd === move.ctx && src.file === null && dst.file === null;
  },
  'MOVE: chk VMAs under their locks: the caller only guesses what is mapped at both ends',
);

/** Lets go of what moveLock took. */
export function moveUnlock(areas: Areas): void {
  if (areas.src.mm !== areas.dst.mm) {
    mmapReadUnlock(areas.src.mm);
    mmapReadUnlock(areas.dst.mm);
    return;
  }
  if (areas.src !== areas.dst && fillLocksVma()) vmaEndRead(areas.src);
  unlockDst(areas.dst);
}

/**
 * Events: changes of an address space that its monitor hears about before it may fill pages again.
 * @linux fs/userfaultfd.c userfaultfd_event_wait_completion and its callers; semantics.md section 9.12
 */
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { sleep } from '../../sched/wait.ts';
import {
  UFFD_FEATURE_EVENT_FORK,
  UFFD_FEATURE_EVENT_REMAP,
  UFFD_FEATURE_EVENT_REMOVE,
  UFFD_FEATURE_EVENT_UNMAP,
  type UffdMsg,
} from '../../uapi/userfaultfd.ts';
import type { Mm, Vaddr, Vma } from '../mm/mm-types.ts';
import { mmapReadUnlock, mmapWriteLock, mmapWriteUnlock, vmaStartWrite } from '../mm/mmap-lock.ts';
import { VM_UFFD_FLAGS, withoutFlag } from '../mm/vm-flags.ts';
import { type Seam, seam } from '../seam.ts';
import { remove } from './userfaultfd.ts';
import { UffdWait, UserfaultfdCtx } from './userfaultfd-ctx.ts';

/** Contexts that a fork duplicates, one entry per context of the parent. */
export interface UserfaultfdForkCtx {
  readonly orig: UserfaultfdCtx;
  readonly fresh: UserfaultfdCtx;
}
/** Contexts that hear of an unmapped range once the mmap lock is dropped. */
export interface UserfaultfdUnmapCtx {
  readonly ctx: UserfaultfdCtx;
  readonly start: Vaddr;
  readonly end: Vaddr;
}

/**
 * Announces that [start, end) of a VMA is about to lose its pages.
 * @returns true when nobody listens and mmap_lock is still held; false when mmap_lock was dropped to wait: the caller
 *   takes it again and looks the VMA up again
 * Requires: mmap_lock for reading. @linux fs/userfaultfd.c userfaultfd_remove
 */
export function* userfaultfdRemove(vma: Vma, start: Vaddr, end: Vaddr): Steps<boolean> {
  const ctx = vma.uffd;
  if (ctx === null || !ctx.has(UFFD_FEATURE_EVENT_REMOVE)) return true;
  const { mm } = vma;
  yield* raiseMmapChanging(ctx);
  mmapReadUnlock(mm);
  yield* eventWaitCompletion(ctx, { event: 'remove', start, end }, null);
  return false;
}

/**
 * Notes that a VMA's context will hear of the unmapping of [start, end), once per context and range.
 * @returns 0 or -ENOMEM
 * Requires: mmap_lock for writing. @linux fs/userfaultfd.c userfaultfd_unmap_prep
 */
export function* userfaultfdUnmapPrep(
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  list: UserfaultfdUnmapCtx[],
): Steps<number> {
  const ctx = vma.uffd;
  if (ctx === null || !ctx.has(UFFD_FEATURE_EVENT_UNMAP)) return 0;
  if (list.some((u) => u.ctx === ctx && u.start === start && u.end === end)) return 0;
  yield* raiseMmapChanging(ctx);
  list.push({ ctx, start, end });
  return 0;
}

/**
 * Delivers the UNMAP events of `list` one after another, each waiting until it is read.
 * Requires: no lock. @linux fs/userfaultfd.c userfaultfd_unmap_complete
 */
export function* userfaultfdUnmapComplete(_mm: Mm, list: UserfaultfdUnmapCtx[]): Steps<void> {
  for (const { ctx, start, end } of list.splice(0)) {
    yield* eventWaitCompletion(ctx, { event: 'unmap', start, end }, null);
  }
}

/**
 * Gives a VMA that fork has just copied (uffd and VM_UFFD_* still as the parent's) its own context, or takes it away
 * when the parent's context did not ask for EVENT_FORK.
 * @returns 0 or -ENOMEM
 * Requires: mmap_lock of both, for writing. @linux fs/userfaultfd.c dup_userfaultfd
 */
export function* dupUserfaultfd(
  oldVma: Vma,
  newVma: Vma,
  list: UserfaultfdForkCtx[],
): Steps<number> {
  const orig = oldVma.uffd;
  if (orig === null) return 0;
  if (!orig.has(UFFD_FEATURE_EVENT_FORK)) {
    newVma.uffd = null;
    newVma.flags = withoutFlag(newVma.flags, VM_UFFD_FLAGS);
    return 0;
  }
  let dup = list.find((f) => f.orig === orig);
  if (dup === undefined) {
    const fresh = new UserfaultfdCtx(newVma.mm, orig.flags);
    fresh.features = orig.features;
    dup = { orig, fresh };
    list.push(dup);
    yield* raiseMmapChanging(orig);
  }
  newVma.uffd = dup.fresh;
  return 0;
}

/** Whether a VMA that moves leaves its context behind: it has one, and that did not ask for EVENT_REMAP. */
export function vmaHasUffdWithoutEventRemap(vma: Vma): boolean {
  return vma.uffd !== null && !vma.uffd.has(UFFD_FEATURE_EVENT_REMAP);
}

/**
 * Decides about the context of a VMA that pages have just moved to: it keeps it and the monitor will hear of it, or it
 * loses it.
 * @returns the context to tell once mmap_lock is dropped, or null
 * Requires: mmap_lock for writing, the VMA write-locked. @linux fs/userfaultfd.c mremap_userfaultfd_prep
 */
export function* mremapUserfaultfdPrep(vma: Vma): Steps<UserfaultfdCtx | null> {
  const ctx = vma.uffd;
  if (ctx === null) return null;
  if (vmaHasUffdWithoutEventRemap(vma)) {
    vma.poke();
    vma.uffd = null;
    vma.flags = withoutFlag(vma.flags, VM_UFFD_FLAGS);
    return null;
  }
  yield* raiseMmapChanging(ctx);
  return ctx;
}

/**
 * Delivers the REMAP event and waits until it is read.
 * @param len bytes that moved
 * Requires: no lock. @linux fs/userfaultfd.c mremap_userfaultfd_complete
 */
export function* mremapUserfaultfdComplete(
  ctx: UserfaultfdCtx,
  from: Vaddr,
  to: Vaddr,
  len: number,
): Steps<void> {
  yield* eventWaitCompletion(ctx, { event: 'remap', from, to, len }, null);
}

/** Delivers the FORK events. Requires: no lock. @linux fs/userfaultfd.c dup_userfaultfd_complete */
export function* dupUserfaultfdComplete(list: UserfaultfdForkCtx[]): Steps<void> {
  for (const { orig, fresh } of list.splice(0)) {
    yield* eventWaitCompletion(orig, { event: 'fork', ufd: -1 }, fresh);
  }
}

/** Takes back what dupUserfaultfd did, for a fork that failed. @linux fs/userfaultfd.c dup_userfaultfd_fail */
export function dupUserfaultfdFail(list: UserfaultfdForkCtx[]): void {
  for (const { orig } of list.splice(0)) orig.addMmapChanging(-1);
}

/**
 * Makes fills give EAGAIN until the event is read. The lock waits for fills that have already looked at the counter:
 * after it, none of them can still install a page.
 */
export const raiseMmapChanging: Seam<(ctx: UserfaultfdCtx) => Steps<void>> = seam(
  'userfaultfd-events.raiseMmapChanging',
  function* (ctx: UserfaultfdCtx): Steps<void> {
    yield* lock(ctx.mapChangingLock);
    ctx.addMmapChanging(1);
    unlock(ctx.mapChangingLock);
  },
);

/**
 * Queues an event and waits until somebody has read it, the descriptor is closed, or the caller is being killed; then
 * lowers the counter that was raised for it.
 * @linux fs/userfaultfd.c userfaultfd_event_wait_completion
 */
function* eventWaitCompletion(
  ctx: UserfaultfdCtx,
  msg: UffdMsg,
  newCtx: UserfaultfdCtx | null,
): Steps<void> {
  const wait = new UffdWait(msg, newCtx);
  yield* lock(ctx.queueLock);
  const closed = ctx.isReleased();
  if (!closed) {
    sched.touch(ctx.queueCell, WRITE);
    ctx.events.push(wait);
  }
  unlock(ctx.queueLock);
  if (!closed) {
    ctx.notifyPollers();
    yield* sleep(wait.sleeper, 'killable', 'a read of the userfaultfd event');
    // Reader and close take the event off the list; a caller that is killed does it itself.
    if (!wait.sleeper.woken) {
      yield* lock(ctx.queueLock);
      sched.touch(ctx.queueCell, WRITE);
      remove(ctx.events, wait);
      unlock(ctx.queueLock);
    }
  }
  if (!wait.taken && newCtx !== null) yield* dropUnreadContext(newCtx);
  ctx.addMmapChanging(-1);
}

/** A FORK event nobody read: the child's VMAs lose the context that nobody will ever hold. */
function* dropUnreadContext(ctx: UserfaultfdCtx): Steps<void> {
  const { mm } = ctx;
  ctx.setReleased();
  yield* mmapWriteLock(mm);
  for (const vma of mm.vmas) {
    if (vma.uffd !== ctx) continue;
    yield* vmaStartWrite(vma);
    vma.poke();
    vma.uffd = null;
    vma.flags = withoutFlag(vma.flags, VM_UFFD_FLAGS);
  }
  mmapWriteUnlock(mm);
}

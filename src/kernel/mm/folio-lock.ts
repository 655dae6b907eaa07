/** The lock of a page. @linux include/linux/pagemap.h folio_lock, folio_trylock, folio_unlock */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import type { Pfn } from '../../machine/pte.ts';
import { until } from '../../sched/access.ts';
import { cellOf, TRY_W } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { Lock, lock, take, tryTake, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { CELL_FOLIO_LOCK } from '../cells.ts';
import { world } from '../current.ts';
import { FOLIO_LOCK } from '../lock-classes.ts';

/** A large folio has one lock, whichever of its frames is named. */
function folioLockOf(frame: Pfn): Lock {
  const pfn = machine.frames.head(frame);
  const known = world.folioLocks.get(pfn);
  if (known !== undefined) return known;
  const made = new Lock(FOLIO_LOCK, `folio lock ${pfn}`, cellOf(CELL_FOLIO_LOCK, pfn));
  world.folioLocks.set(pfn, made);
  return made;
}

/** Requires: a reference. @linux folio_lock */
export function* folioLock(pfn: Pfn): Steps<void> {
  for (;;) {
    const wanted = folioLockOf(pfn);
    yield* lock(wanted);
    // A large folio may have been split while its lock was waited for.
    if (folioLockOf(pfn) === wanted) return;
    unlock(wanted);
  }
}
/** After a folio was split: who had its lock has that of one of its frames. Inside the running step. */
export function folioLockMoved(head: Pfn, frame: Pfn): void {
  if (head === frame) return;
  take(folioLockOf(frame), true);
  unlock(folioLockOf(head));
}
/** Locks a folio nobody else knows yet, inside the running step. @linux __folio_set_locked */
export function folioSetLocked(pfn: Pfn): void {
  take(folioLockOf(pfn), true);
}
/** Locks the folio if it is free, inside the running step: also under a page-table lock. @linux folio_trylock */
export function folioTrylock(pfn: Pfn): boolean {
  return tryTake(folioLockOf(pfn));
}
/** Whether the folio could be locked now; it is not locked. Inside the running step. */
export function folioCouldLock(pfn: Pfn): boolean {
  const l = folioLockOf(pfn);
  sched.touch(l.cell, TRY_W);
  return l.free;
}
/**
 * Waits until nobody has the folio locked, and does not lock it. Needs no reference: whoever waits holds nothing of the
 * folio. @linux mm/filemap.c migration_entry_wait_on_locked
 */
export function* folioWaitUnlocked(pfn: Pfn): Steps<void> {
  const l = folioLockOf(pfn);
  yield* until('wait for migration', l.cell, TRY_W, () => l.free, l.name);
}
/** Requires: the folio lock, and something that keeps the folio from being freed. @linux folio_unlock */
export function folioUnlock(pfn: Pfn): void {
  assert(machine.frames.refcount(pfn) > 0, () => `frame ${pfn} is unlocked after it was freed`);
  unlock(folioLockOf(pfn));
}
/** Unlocks and drops the caller's reference. */
export function folioUnlockPut(pfn: Pfn): void {
  folioUnlock(pfn);
  machine.frames.put(pfn, world.owner());
}

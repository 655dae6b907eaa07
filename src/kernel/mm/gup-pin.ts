/**
 * References to pages that others hold: plain ones (FOLL_GET), and pins (FOLL_PIN), which say that whoever has one reads
 * and writes the page's bytes by its own means for as long as it likes. A pin counts for GUP_PIN_COUNTING_BIAS
 * references, so "may be pinned" is a look at the reference count, wrong only on the safe side.
 * @linux mm/gup.c try_grab_folio, unpin_user_pages; Documentation/core-api/pin_user_pages.rst
 */
import { machine } from '../../machine/current.ts';
import { GUP_PIN_COUNTING_BIAS, PG_DIRTY, ZERO_PFN } from '../../machine/frames.ts';
import type { Pfn } from '../../machine/pte.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { folioLock, folioUnlock } from './folio-lock.ts';
import { FOLL_GET, FOLL_PIN, type FollFlags, foll } from './gup-flags.ts';
import { folioMarkDirty } from './rmap.ts';

/** References that the flags ask for; the zero page is never pinned. */
function refsOf(pfn: Pfn, flags: FollFlags): number {
  if (foll(flags, FOLL_PIN)) return pfn === ZERO_PFN ? 0 : GUP_PIN_COUNTING_BIAS;
  return foll(flags, FOLL_GET) ? 1 : 0;
}

/** Takes what the flags ask for. Requires: something that keeps the folio: its page-table lock. @linux try_grab_folio */
export function grabFolio(pfn: Pfn, flags: FollFlags): void {
  const refs = refsOf(pfn, flags);
  if (refs > 0) machine.frames.getMany(pfn, refs);
}

/**
 * The same of a folio that may be freed any moment, by whoever holds nothing that keeps it.
 * @returns false: it is free. @linux try_grab_folio_fast
 */
export function tryGrabFolio(pfn: Pfn, flags: FollFlags): boolean {
  const refs = refsOf(pfn, flags);
  if (refs === 0) return true;
  if (machine.frames.refcount(pfn) === 0) return false;
  machine.frames.getMany(pfn, refs);
  return true;
}

/** Gives back what the flags took. @linux gup_put_folio */
export function gupPutFolio(pfn: Pfn, flags: FollFlags): void {
  const refs = refsOf(pfn, flags);
  if (refs > 0) machine.frames.putMany(pfn, refs, world.owner());
}

/** Whether a device may be using the page. Never wrong when it says no. @linux folio_maybe_dma_pinned */
export function folioMaybeDmaPinned(pfn: Pfn): boolean {
  return machine.frames.refcount(pfn) >= GUP_PIN_COUNTING_BIAS;
}

/** Ends pins taken with FOLL_PIN. @linux unpin_user_pages */
export function unpinUserPages(pages: readonly Pfn[]): void {
  for (const pfn of pages) gupPutFolio(pfn, FOLL_PIN);
}

/**
 * Ends pins whose holder wrote to the pages: nobody else knows of that, since no page-table entry did.
 * Requires: no folio lock. @linux unpin_user_pages_dirty_lock
 */
export function* unpinUserPagesDirtyLock(pages: readonly Pfn[], dirty: boolean): Steps<void> {
  for (const pfn of pages) {
    if (dirty && pfn !== ZERO_PFN) yield* setPageDirtyLock(pfn);
    gupPutFolio(pfn, FOLL_PIN);
  }
}

/** Requires: a reference; no folio lock. @linux folio_mark_dirty_lock */
export function* setPageDirtyLock(pfn: Pfn): Steps<void> {
  if (machine.frames.hasFlag(pfn, PG_DIRTY)) return;
  yield* folioLock(pfn);
  folioMarkDirty(pfn);
  folioUnlock(pfn);
}

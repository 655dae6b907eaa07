/**
 * Telling others who map an address space, each with page tables of their own, that entries of ours are about to change:
 *
 *   start: they drop their translations of the range, and make none until  |  change, flush, free  |  end
 *
 * Whoever takes rights away from a present entry, or gives it another frame, does so between start and end, with the same
 * range. Start may sleep, so it comes before page-table locks and outside RCU sections; only the OOM reaper may ask not to
 * wait, and is told -EAGAIN where that cannot be.
 * @linux mm/mmu_notifier.c; Documentation/mm/mmu_notifier.rst; semantics.md section 17
 */
import { assert } from '../../base/assert.ts';
import type { Pfn } from '../../machine/pte.ts';
import { checkMaySleep } from '../../sched/lockdep.ts';
import type { Steps } from '../../sched/op.ts';
import { EAGAIN } from '../../uapi/errno.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock } from './mmap-lock.ts';

/** Why entries change. @linux include/linux/mmu_notifier.h enum mmu_notifier_event */
export type MmuNotifyEvent =
  | 'unmap'
  | 'clear'
  | 'protection-vma'
  | 'protection-page'
  | 'soft-dirty';

/** [start, end) while it is being invalidated. @linux struct mmu_notifier_range */
export interface MmuNotifierRange {
  readonly mm: Mm;
  readonly start: Vaddr;
  readonly end: Vaddr;
  readonly event: MmuNotifyEvent;
  /** Whether the listener may sleep. */
  readonly blockable: boolean;
}

/** A translation that somebody can use this very moment without asking: for the check of the contract. */
export interface SecondaryTranslation {
  /** `sptes of V`, `gpc G`. */
  readonly holder: string;
  readonly address: Vaddr;
  readonly pfn: Pfn;
  readonly write: boolean;
}

/** Who maps the address space besides its own harts. @linux struct mmu_notifier_ops */
export interface MmuNotifier {
  /** @returns 0; -EAGAIN where it would have to sleep and must not: then nothing was begun */
  invalidateRangeStart(range: MmuNotifierRange): Steps<number>;
  invalidateRangeEnd(range: MmuNotifierRange): Steps<void>;
  /** The address space ends. */
  release(): Steps<void>;
  translations(): Iterable<SecondaryTranslation>;
}

/** What an mm has of them. @linux struct mmu_notifier_subscriptions */
export class MmuNotifierSubscriptions {
  readonly list: MmuNotifier[] = [];
  /** Ranges whose start has returned and whose end has not begun. */
  readonly active: MmuNotifierRange[] = [];
}

/** Requires: no lock of the mm. @linux mmu_notifier_register */
export function* mmuNotifierRegister(mm: Mm, notifier: MmuNotifier): Steps<void> {
  yield* mmapWriteLock(mm);
  mm.notifiers ??= new MmuNotifierSubscriptions();
  mm.notifiers.list.push(notifier);
  mmapWriteUnlock(mm);
}

/** The last word to a listener is its release. Requires: no lock of the mm; no range in flight. @linux mmu_notifier_unregister */
export function* mmuNotifierUnregister(mm: Mm, notifier: MmuNotifier): Steps<void> {
  yield* mmapWriteLock(mm);
  const list = mm.notifiers?.list ?? [];
  const index = list.indexOf(notifier);
  assert(index >= 0, 'a listener that was never registered is unregistered');
  list.splice(index, 1);
  mmapWriteUnlock(mm);
  yield* notifier.release();
}

/**
 * The address space ends: listeners hear of nothing more, though reclaim may still be looking at its pages.
 * Requires: the last use of the mm. @linux mmu_notifier_release
 */
export function* mmuNotifierRelease(mm: Mm): Steps<void> {
  for (const notifier of mm.notifiers?.list.splice(0) ?? []) yield* notifier.release();
}

/** Nobody finds the address space any more. @linux mmu_notifier_subscriptions_destroy */
export function mmuNotifierDestroy(mm: Mm): void {
  const left = mm.notifiers?.active.length ?? 0;
  assert(left === 0, () => `mm ${mm.id} ends with ${left} invalidations begun and not ended`);
}

/**
 * Begins an invalidation: when it returns, nobody else uses the range.
 * @returns what mmuNotifierInvalidateRangeEnd wants; null when nobody listens
 * Requires: a context that may sleep: no page-table lock, no RCU section. @linux mmu_notifier_invalidate_range_start
 */
export function* mmuNotifierInvalidateRangeStart(
  mm: Mm,
  event: MmuNotifyEvent,
  start: Vaddr,
  end: Vaddr,
): Steps<MmuNotifierRange | null> {
  if (mm.notifiers === null || mm.notifiers.list.length === 0) return null;
  checkMaySleep('an MMU notifier');
  const range = { mm, start, end, event, blockable: true };
  const error = yield* begin(mm.notifiers, range);
  assert(error === 0, 'a listener that may sleep refuses');
  return range;
}

/**
 * The same without waiting for anybody: in Linux the OOM reaper's alone, for an address space nobody runs in any more.
 * @returns -EAGAIN: leave the entries as they are. @linux mmu_notifier_invalidate_range_start_nonblock
 */
export function* mmuNotifierInvalidateRangeStartNonblock(
  mm: Mm,
  event: MmuNotifyEvent,
  start: Vaddr,
  end: Vaddr,
): Steps<MmuNotifierRange | null | number> {
  if (mm.notifiers === null || mm.notifiers.list.length === 0) return null;
  const range = { mm, start, end, event, blockable: false };
  const error = yield* begin(mm.notifiers, range);
  return error === 0 ? range : error;
}

/** Listeners that began are told the end where a later one refuses. @linux mn_hlist_invalidate_range_start */
function* begin(subscriptions: MmuNotifierSubscriptions, range: MmuNotifierRange): Steps<number> {
  const begun: MmuNotifier[] = [];
  for (const notifier of subscriptions.list) {
    const error = yield* notifier.invalidateRangeStart(range);
    if (error === 0) {
      begun.push(notifier);
      continue;
    }
    assert(error === -EAGAIN && !range.blockable, `a listener answers ${error}`);
    for (const earlier of begun) yield* earlier.invalidateRangeEnd(range);
    return error;
  }
  subscriptions.active.push(range);
  return 0;
}

/** Ends an invalidation: translations of what the entries say now may be made. @linux mmu_notifier_invalidate_range_end */
export function* mmuNotifierInvalidateRangeEnd(range: MmuNotifierRange | null): Steps<void> {
  if (range === null) return;
  const { notifiers } = range.mm;
  const index = notifiers?.active.indexOf(range) ?? -1;
  assert(notifiers !== null && index >= 0, 'the end of an invalidation that was not begun');
  notifiers.active.splice(index, 1);
  for (const notifier of notifiers.list) yield* notifier.invalidateRangeEnd(range);
}

/**
 * Telling harts to forget. Between the change of a page-table word and the flush, a hart may go on using what its TLB
 * says: that window is real, and `tlbFlushPending` is how others learn that it is open.
 * @linux include/linux/mm_types.h inc_tlb_flush_pending, Documentation/core-api/cachetlb.rst
 */

import { tlbCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { access } from '../../sched/access.ts';
import { ADD, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { seam } from '../seam.ts';
import type { Mm, Vaddr } from './mm-types.ts';

/** Up to this many pages a flush is recorded page by page. */
const FLUSH_EVERY_PAGE = 256;

/**
 * Flushes pages [start, end) from the TLB of every hart that runs the mm. One step: the initiator waits for all
 * acknowledgements, and what harts do meanwhile commutes with each other's flush. A seam, so that a patch can forget.
 */
export const flushTlbRange = seam(
  'tlb.flushTlbRange',
  function* (mm: Mm, start: Vaddr, end: Vaddr): Steps<void> {
    if (sched.wants()) yield* access('flush tlb', mm.tlbPendingCell, READ);
    flushNow(mm, start, end);
  },
);

/** The flush of one page inside the running step, while its page-table lock is held. @linux ptep_clear_flush */
export function flushNow(mm: Mm, start: Vaddr, end: Vaddr): void {
  const first = Math.floor(start / PAGE_SIZE);
  const last = Math.ceil(end / PAGE_SIZE);
  for (const hart of mm.harts) {
    if (sched.exploring) touchRange(mm, hart, first, last);
    machine.tlbs[hart]?.flush(first, last);
  }
}

/**
 * Flushes everything an mm maps from the TLB of every hart that runs it: fork, after it write-protected the parent.
 * @linux flush_tlb_mm
 */
export const flushTlbMm = seam('tlb.flushTlbMm', function* (mm: Mm): Steps<void> {
  if (sched.wants()) yield* access('flush tlb', mm.tlbPendingCell, READ);
  if (sched.exploring) {
    for (const vma of mm.vmas) flushNow(mm, vma.start, vma.end);
  } else {
    for (const hart of mm.harts) machine.tlbs[hart]?.flushAll();
  }
});

/** One hart forgets one page: what the hardware does as it faults on it. Inside the running step. */
export function flushHartNow(hart: number, address: Vaddr): void {
  const vpn = Math.floor(address / PAGE_SIZE);
  sched.touch(tlbCell(hart, vpn), WRITE);
  machine.tlbs[hart]?.flush(vpn, vpn + 1);
}

/** Records the flush page by page; of a range with large holes only what could be in a TLB. */
function touchRange(mm: Mm, hart: number, first: number, last: number): void {
  if (last - first <= FLUSH_EVERY_PAGE) {
    for (let vpn = first; vpn < last; vpn++) sched.touch(tlbCell(hart, vpn), WRITE);
    return;
  }
  for (const vma of mm.vmas.range(first * PAGE_SIZE, last * PAGE_SIZE)) {
    const low = Math.max(first, vma.start / PAGE_SIZE);
    const high = Math.min(last, vma.end / PAGE_SIZE);
    for (let vpn = low; vpn < high; vpn++) sched.touch(tlbCell(hart, vpn), WRITE);
  }
  for (const [vpn] of machine.tlbs[hart]?.entries() ?? []) {
    if (vpn >= first && vpn < last) sched.touch(tlbCell(hart, vpn), WRITE);
  }
}

export function incTlbFlushPending(mm: Mm): void {
  sched.touch(mm.tlbPendingCell, ADD);
  mm.tlbFlushPending++;
}
export function decTlbFlushPending(mm: Mm): void {
  sched.touch(mm.tlbPendingCell, ADD);
  mm.tlbFlushPending--;
}
/** Whether somebody has changed entries of the mm and not flushed yet. @linux mm_tlb_flush_pending */
export function mmTlbFlushPending(mm: Mm): boolean {
  sched.touch(mm.tlbPendingCell, READ);
  return mm.tlbFlushPending > 0;
}

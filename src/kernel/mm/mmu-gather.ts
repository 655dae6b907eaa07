/**
 * Collecting what an unmapping takes away, so that it is given back only after no hart can reach it any more:
 *
 *   clear entries, note pages  |  flush the range  |  free pages, and tables after RCU
 *
 * @linux mm/mmu_gather.c, include/asm-generic/tlb.h
 */
import { refcountCell } from '../../machine/cells.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { ADD, READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { freeTable } from './pgtable.ts';
import { freeFolioAndSwapCache } from './swapfile.ts';
import { decTlbFlushPending, flushTlbRange, incTlbFlushPending } from './tlb.ts';

/** @linux include/asm-generic/tlb.h struct mmu_gather */
export class MmuGather {
  readonly mm: Mm;
  /** Frames to put once the flush is done. */
  readonly pages: Pfn[] = [];
  readonly tables: number[] = [];
  /** Entries changed so far lie in [start, end): what must be flushed. */
  start: Vaddr = Number.MAX_SAFE_INTEGER;
  end: Vaddr = 0;
  /** Entries looked at so far. */
  walkedStart: Vaddr = Number.MAX_SAFE_INTEGER;
  walkedEnd: Vaddr = 0;

  constructor(mm: Mm) {
    this.mm = mm;
  }

  /** The entries of [start, end) lost rights that a TLB may still grant. */
  note(start: Vaddr, end: Vaddr): void {
    this.start = Math.min(this.start, start);
    this.end = Math.max(this.end, end);
  }

  walked(start: Vaddr, end: Vaddr): void {
    this.walkedStart = Math.min(this.walkedStart, start);
    this.walkedEnd = Math.max(this.walkedEnd, end);
  }
}

/** Opens the window between the change and the flush. @linux mm/mmu_gather.c tlb_gather_mmu */
export function tlbGatherMmu(mm: Mm): MmuGather {
  incTlbFlushPending(mm);
  return new MmuGather(mm);
}

/**
 * Flushes, frees, closes the window. When somebody else's window is open too, he may have changed entries that this
 * walk found changed already and has not flushed them yet: then everything that was looked at is flushed.
 * @param flush how; userfaultfd's write protection passes its own
 * @linux mm/mmu_gather.c tlb_finish_mmu
 */
export function* tlbFinishMmu(
  tlb: MmuGather,
  flush: (mm: Mm, start: Vaddr, end: Vaddr) => Steps<void> = flushTlbRange,
): Steps<void> {
  const { mm, pages, tables } = tlb;
  if (mmTlbFlushNested(mm) && tlb.walkedStart < tlb.walkedEnd) {
    tlb.note(tlb.walkedStart, tlb.walkedEnd);
  }
  if (tlb.start < tlb.end) yield* flush(mm, tlb.start, tlb.end);
  const [first] = pages;
  if (first !== undefined) {
    yield* access('free pages', refcountCell(first), ADD);
    for (const pfn of pages) freeFolioAndSwapCache(pfn);
  }
  for (const table of tables) world.rcu.callRcu(() => freeTable(mm, table));
  decTlbFlushPending(mm);
}

/** @linux include/linux/mm_types.h mm_tlb_flush_nested */
function mmTlbFlushNested(mm: Mm): boolean {
  sched.touch(mm.tlbPendingCell, READ);
  return mm.tlbFlushPending > 1;
}

/**
 * What one hart believes of pages until it is told otherwise. Changed by nothing but fill and flush: a kernel that
 * changes a page table and forgets to flush leaves the old rights here, as real hardware does (decision 13).
 */
import type { Pfn } from './pte.ts';

export const TLB_R = 1;
export const TLB_W = 2;
export const TLB_X = 4;

/** A TLB entry as a word: frame << 3 | rights; 0 when there is none. */
export interface Tlb {
  lookup(vpn: number): number;
  /** Replaces what is known of the page. @param rights TLB_* bits; W only from a walk that set the dirty bit */
  fill(vpn: number, pfn: Pfn, rights: number): void;
  /** Forgets pages [first, last). */
  flush(first: number, last: number): void;
  flushAll(): void;
  /** Every entry, for checks. */
  entries(): Iterable<readonly [vpn: number, word: number]>;
}

export function tlbPfn(word: number): Pfn {
  return (word >>> 3) as Pfn;
}

/** A TLB without eviction, for litmus: staleness is then the schedule's choice alone. */
export class UnboundedTlb implements Tlb {
  private readonly words = new Map<number, number>();

  lookup(vpn: number): number {
    return this.words.get(vpn) ?? 0;
  }
  fill(vpn: number, pfn: Pfn, rights: number): void {
    this.words.set(vpn, (pfn << 3) | rights);
  }
  flush(first: number, last: number): void {
    if (last - first > this.words.size) {
      for (const vpn of this.words.keys()) if (vpn >= first && vpn < last) this.words.delete(vpn);
      return;
    }
    for (let vpn = first; vpn < last; vpn++) this.words.delete(vpn);
  }
  flushAll(): void {
    this.words.clear();
  }
  entries(): Iterable<readonly [number, number]> {
    return this.words;
  }
}

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

/** Pages of one array of a TableTlb. */
const TABLE = 512;

/** A TLB without eviction for programs that use many pages: their words in arrays, as page tables keep theirs. */
export class TableTlb implements Tlb {
  private readonly tables = new Map<number, Int32Array>();
  /** The table used last, and its number. */
  private last: Int32Array | null = null;
  private lastKey = -1;

  lookup(vpn: number): number {
    return this.find(Math.floor(vpn / TABLE))?.[vpn % TABLE] ?? 0;
  }
  fill(vpn: number, pfn: Pfn, rights: number): void {
    const key = Math.floor(vpn / TABLE);
    let table = this.find(key);
    if (table === null) {
      table = new Int32Array(TABLE);
      this.tables.set(key, table);
      [this.last, this.lastKey] = [table, key];
    }
    table[vpn % TABLE] = (pfn << 3) | rights;
  }
  flush(first: number, last: number): void {
    const [low, high] = [Math.floor(first / TABLE), Math.ceil(last / TABLE)];
    if (high - low > this.tables.size) {
      for (const key of this.tables.keys()) {
        if (key >= low && key < high) this.flushTable(key, first, last);
      }
      return;
    }
    for (let key = low; key < high; key++) this.flushTable(key, first, last);
  }
  flushAll(): void {
    this.tables.clear();
    [this.last, this.lastKey] = [null, -1];
  }
  *entries(): Generator<readonly [number, number]> {
    for (const [key, table] of this.tables) {
      for (const [i, word] of table.entries()) if (word !== 0) yield [key * TABLE + i, word];
    }
  }

  private find(key: number): Int32Array | null {
    if (key === this.lastKey) return this.last;
    const table = this.tables.get(key);
    if (table === undefined) return null;
    [this.last, this.lastKey] = [table, key];
    return table;
  }

  /** Forgets what of [first, last) one table has; a table that is wholly in it goes. */
  private flushTable(key: number, first: number, last: number): void {
    const start = key * TABLE;
    if (first > start || last < start + TABLE) {
      this.find(key)?.fill(0, Math.max(first - start, 0), Math.min(last - start, TABLE));
      return;
    }
    this.tables.delete(key);
    if (key === this.lastKey) [this.last, this.lastKey] = [null, -1];
  }
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

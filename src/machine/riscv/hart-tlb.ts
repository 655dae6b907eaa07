/**
 * The TLB of a guest hart: the direct-mapped array of hart-layout.ts that translated code reads, behind the interface
 * the kernel flushes. Also the place that sees code become writable and data become code, and tells the engine.
 */
import { must } from '../../base/assert.ts';
import type { Pfn } from '../pte.ts';
import { TLB_R, TLB_W, TLB_X, type Tlb, tlbPfn } from '../tlb.ts';
import {
  HART_TLB,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  TLB_HOST,
  TLB_PFN,
  TLB_TAG_R,
  TLB_TAG_W,
  TLB_TAG_X,
  TLB_X_HOST,
  TLB_X_PFN,
} from './hart-layout.ts';

const TAGS: readonly number[] = [TLB_TAG_R, TLB_TAG_W, TLB_TAG_X];

export class HartTlb implements Tlb {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #hostOf: (pfn: Pfn) => number;
  /** Called when a frame that may hold translated code becomes writable. */
  readonly #onWritable: (pfn: Pfn) => void;
  /** Indices filled since the last full flush. */
  #filled: number[] = [];
  readonly #isFilled = new Uint8Array(TLB_ENTRIES);

  /**
   * @param buffer the World's memory (which never grows)
   * @param hart byte address of the hart's state
   * @param hostOf byte address of a frame in that memory
   */
  constructor(
    buffer: ArrayBuffer,
    hart: number,
    hostOf: (pfn: Pfn) => number,
    onWritable: (pfn: Pfn) => void,
  ) {
    this.#words = new Int32Array(buffer);
    this.#base = (hart + HART_TLB) / 4;
    this.#hostOf = hostOf;
    this.#onWritable = onWritable;
    this.#words.fill(-1, this.#base, this.#base + (2 * TLB_ENTRIES * TLB_ENTRY_BYTES) / 4);
  }

  lookup(vpn: number): number {
    const entry = this.#entry(vpn);
    const data =
      (this.#has(entry, TLB_TAG_R, vpn) ? TLB_R : 0) |
      (this.#has(entry, TLB_TAG_W, vpn) ? TLB_W : 0);
    const rights = data | (this.#has(entry, TLB_TAG_X, vpn) ? TLB_X : 0);
    if (rights === 0) return 0;
    const pfn = this.#words[entry + (data === 0 ? TLB_X_PFN : TLB_PFN) / 4] ?? 0;
    return (pfn << 3) | rights;
  }

  /** TLB_X alone leaves what other accesses find where it is. */
  fill(vpn: number, pfn: Pfn, rights: number): void {
    const index = vpn % TLB_ENTRIES;
    const entry = this.#entry(vpn);
    const words = this.#words;
    if ((rights & TLB_W) !== 0) this.#onWritable(pfn);
    const known = this.lookup(vpn);
    if (known !== 0 && tlbPfn(known) !== pfn) this.#forget(vpn);
    if ((rights & (TLB_R | TLB_W)) !== 0) {
      this.#tag(entry, TLB_TAG_R, (rights & TLB_R) !== 0 ? vpn : -1);
      this.#tag(entry, TLB_TAG_W, (rights & TLB_W) !== 0 ? vpn : -1);
      words[entry + TLB_HOST / 4] = this.#hostOf(pfn) | 0;
      words[entry + TLB_PFN / 4] = pfn;
    }
    if ((rights & TLB_X) !== 0) {
      this.#tag(entry, TLB_TAG_X, vpn);
      words[entry + TLB_X_HOST / 4] = this.#hostOf(pfn) | 0;
      words[entry + TLB_X_PFN / 4] = pfn;
    }
    if (this.#isFilled[index] === 1) return;
    this.#isFilled[index] = 1;
    this.#filled.push(index);
  }

  flush(first: number, last: number): void {
    if (last - first >= this.#filled.length) {
      for (const [vpn] of [...this.entries()]) {
        if (vpn >= first && vpn < last) this.#forget(vpn);
      }
      return;
    }
    for (let vpn = first; vpn < last; vpn++) this.#forget(vpn);
  }

  flushAll(): void {
    for (const index of this.#filled) {
      const entry = this.#base + (index * TLB_ENTRY_BYTES) / 4;
      for (const tag of TAGS) this.#tag(entry, tag, -1);
      this.#isFilled[index] = 0;
    }
    this.#filled = [];
  }

  *entries(): Generator<readonly [number, number]> {
    for (const index of this.#filled) {
      const entry = this.#base + (index * TLB_ENTRY_BYTES) / 4;
      const vpns = new Set(TAGS.map((tag) => this.#vpnAt(entry, tag)));
      for (const vpn of vpns) if (vpn >= 0) yield [vpn, must(this.lookup(vpn), 'TLB entry')];
    }
  }

  #entry(vpn: number): number {
    return this.#base + ((vpn % TLB_ENTRIES) * TLB_ENTRY_BYTES) / 4;
  }

  #tag(entry: number, tag: number, vpn: number): void {
    this.#words[entry + tag / 4] = vpn | 0;
    this.#words[entry + tag / 4 + 1] = vpn < 0 ? -1 : Math.floor(vpn / 0x1_0000_0000);
  }

  #has(entry: number, tag: number, vpn: number): boolean {
    return (
      this.#words[entry + tag / 4] === (vpn | 0) &&
      this.#words[entry + tag / 4 + 1] === Math.floor(vpn / 0x1_0000_0000)
    );
  }

  #vpnAt(entry: number, tag: number): number {
    const high = this.#words[entry + tag / 4 + 1] ?? -1;
    return high < 0 ? -1 : high * 0x1_0000_0000 + ((this.#words[entry + tag / 4] ?? 0) >>> 0);
  }

  #forget(vpn: number): void {
    const entry = this.#entry(vpn);
    for (const tag of TAGS) if (this.#has(entry, tag, vpn)) this.#tag(entry, tag, -1);
  }
}

/**
 * Physical memory: frames, their content and their metadata, in typed arrays that cost nothing until touched.
 * A folio is named by its head frame (design, decision 9). 36 bytes of metadata a frame.
 */
import { assert } from '../base/assert.ts';
import { ADD, READ, WRITE } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import { contentCell, folioCell, mapcountCell, refcountCell } from './cells.ts';
import type { Geometry } from './geometry.ts';
import type { Pfn } from './pte.ts';

/** Frame 0 is never handed out, so that 0 can mean "no frame"; frame 1 is the zero page. */
export const ZERO_PFN = 1 as Pfn;
const FIRST_FREE = 2;
/** index 8; flags, mapping, private, refcount, mapcount 4 each; used 1. */
const META_BYTES = 29;

/** Folio flags. @linux include/linux/page-flags.h */
export const PG_ANON: number = 1 << 0;
export const PG_ANON_EXCLUSIVE: number = 1 << 1;
export const PG_DIRTY: number = 1 << 2;
export const PG_SWAPBACKED: number = 1 << 3;
export const PG_SWAPCACHE: number = 1 << 4;
export const PG_REFERENCED: number = 1 << 5;
export const PG_LAZYFREE: number = 1 << 6;
export const PG_HEAD: number = 1 << 7;
/** References a DMA pin counts for. @linux GUP_PIN_COUNTING_BIAS */
export const GUP_PIN_COUNTING_BIAS = 1024;

/** Bytes of metadata of all frames. */
export function metaBytes(geometry: Geometry): number {
  return geometry.frames * META_BYTES;
}

export class Frames {
  readonly count: number;
  /** log2 of the content bytes per frame. */
  readonly contentShift: number;
  readonly contentBytes: number;
  /** All of RAM. Only the methods below touch content; `machine` may re-create the view when memory grows. */
  bytes: Uint8Array;
  view: DataView;
  /** Byte offset of frame 0 in the machine's memory (translated code addresses frames there). */
  readonly base: number;
  readonly flags: Int32Array;
  /** Which anon_vma or address_space the folio belongs to, as the kernel numbers them; 0 none. */
  readonly mapping: Int32Array;
  /** Linear page index within the mapping. Up to 2^35, hence a double. */
  readonly index: Float64Array;
  readonly private: Int32Array;
  readonly #refcount: Int32Array;
  readonly #mapcount: Int32Array;
  readonly #used: Uint8Array;
  readonly #owners: number;
  readonly #next: number[] = [];
  readonly #limit: number[] = [];
  readonly #free: Pfn[][] = [];
  /** Frames handed out and not given back, for the census. */
  inUse = 0;
  peak = 0;
  /** Called when a frame changes hands or is written by the kernel: translated code of it is stale. */
  onReuse: ((pfn: Pfn) => void) | null = null;

  /**
   * @param buffer where content lies, frame 0 at byte `base`
   * @param meta zeroed room for metaBytes(geometry) bytes
   */
  constructor(geometry: Geometry, buffer: ArrayBuffer, base: number, meta: ArrayBuffer) {
    const n = geometry.frames;
    this.count = n;
    this.contentBytes = geometry.contentBytes;
    this.contentShift = Math.log2(geometry.contentBytes);
    this.base = base;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.index = new Float64Array(meta, 0, n);
    const words = (k: number): Int32Array => new Int32Array(meta, n * (8 + 4 * k), n);
    this.flags = words(0);
    this.mapping = words(1);
    this.private = words(2);
    this.#refcount = words(3);
    this.#mapcount = words(4);
    this.#used = new Uint8Array(meta, n * 28, n);
    this.#owners = geometry.owners;
    const share = Math.floor((n - FIRST_FREE) / this.#owners);
    for (let owner = 0; owner < this.#owners; owner++) {
      this.#next.push(FIRST_FREE + owner * share);
      this.#limit.push(FIRST_FREE + (owner + 1) * share);
      this.#free.push([]);
    }
    this.#refcount[ZERO_PFN] = 1;
  }

  /**
   * A frame with one reference, not zeroed, or 0 when the owner has none left.
   * @param owner the allocating task: lists of their own make allocations commute (decision 3)
   */
  alloc(owner: number): Pfn | 0 {
    const own = owner % this.#owners;
    let pfn = this.#free[own]?.pop();
    if (pfn === undefined) {
      const next = this.#next[own] ?? 0;
      if (next >= (this.#limit[own] ?? 0)) return 0;
      this.#next[own] = next + 1;
      pfn = next as Pfn;
    }
    assert(this.#refcount[pfn] === 0, () => `frame ${pfn} allocated while referenced`);
    this.#refcount[pfn] = 1;
    this.flags[pfn] = 0;
    this.mapping[pfn] = 0;
    this.index[pfn] = 0;
    this.private[pfn] = 0;
    if (++this.inUse > this.peak) this.peak = this.inUse;
    return pfn;
  }

  /** Drops a reference; the last one frees the frame into the owner's list. Returns true when it was the last. */
  put(pfn: Pfn, owner: number): boolean {
    const left = (this.#refcount[pfn] ?? 0) - 1;
    assert(left >= 0, () => `frame ${pfn} put without a reference`);
    sched.touch(refcountCell(pfn), left === 0 ? WRITE : ADD);
    this.#refcount[pfn] = left;
    if (left > 0) return false;
    assert(pfn !== ZERO_PFN, 'the zero page was freed');
    assert(this.#mapcount[pfn] === 0, () => `frame ${pfn} freed while mapped`);
    sched.touch(contentCell(pfn), WRITE);
    this.onReuse?.(pfn);
    this.#free[owner % this.#owners]?.push(pfn);
    this.inUse--;
    return true;
  }

  get(pfn: Pfn): void {
    assert((this.#refcount[pfn] ?? 0) > 0, () => `frame ${pfn} got while free`);
    sched.touch(refcountCell(pfn), ADD);
    this.#refcount[pfn] = (this.#refcount[pfn] ?? 0) + 1;
  }

  /** Takes several references at once: a pin. */
  getMany(pfn: Pfn, count: number): void {
    this.get(pfn);
    this.#refcount[pfn] = (this.#refcount[pfn] ?? 0) + count - 1;
  }

  /** Takes references unless the frame is free: for whoever holds nothing that keeps it. @linux folio_ref_try_add */
  tryGetMany(pfn: Pfn, count: number): boolean {
    if (this.refcount(pfn) === 0) return false;
    this.getMany(pfn, count);
    return true;
  }

  /** Drops several references at once; as `put`. */
  putMany(pfn: Pfn, count: number, owner: number): boolean {
    const left = (this.#refcount[pfn] ?? 0) - count;
    assert(left >= 0, () => `frame ${pfn} put more often than got`);
    this.#refcount[pfn] = left + 1;
    return this.put(pfn, owner);
  }

  /** Looks at the reference count: an observation, so it does not commute with gets and puts. */
  refcount(pfn: Pfn): number {
    sched.touch(refcountCell(pfn), READ);
    return this.#refcount[pfn] ?? 0;
  }

  /** Looks at the number of page-table entries that map the frame. */
  mapcount(pfn: Pfn): number {
    sched.touch(mapcountCell(pfn), READ);
    return this.#mapcount[pfn] ?? 0;
  }

  /** Adds to the number of mappings. Requires: the page-table lock of the entry that changes. */
  addMapcount(pfn: Pfn, delta: 1 | -1): void {
    sched.touch(mapcountCell(pfn), ADD);
    this.#mapcount[pfn] = (this.#mapcount[pfn] ?? 0) + delta;
    assert((this.#mapcount[pfn] ?? 0) >= 0, () => `frame ${pfn} unmapped more often than mapped`);
  }

  hasFlag(pfn: Pfn, flag: number): boolean {
    sched.touch(folioCell(pfn), READ);
    return ((this.flags[pfn] ?? 0) & flag) !== 0;
  }

  setFlag(pfn: Pfn, flag: number): void {
    sched.touch(folioCell(pfn), WRITE);
    this.flags[pfn] = (this.flags[pfn] ?? 0) | flag;
  }

  clearFlag(pfn: Pfn, flag: number): void {
    sched.touch(folioCell(pfn), WRITE);
    this.flags[pfn] = (this.flags[pfn] ?? 0) & ~flag;
  }

  /** Byte address of a byte of the frame in the machine's memory. */
  address(pfn: Pfn, offset: number): number {
    return this.base + pfn * this.contentBytes + (offset & (this.contentBytes - 1));
  }

  /** Fills a frame with zeroes. RAM that was never used is zero already and stays untouched. */
  zero(pfn: Pfn): void {
    sched.touch(contentCell(pfn), WRITE);
    if (this.#used[pfn] === 1) {
      const start = this.address(pfn, 0);
      this.bytes.fill(0, start, start + this.contentBytes);
    }
    this.#used[pfn] = 1;
  }

  copy(to: Pfn, from: Pfn): void {
    sched.touch(contentCell(from), READ);
    sched.touch(contentCell(to), WRITE);
    this.#used[to] = 1;
    const start = this.address(from, 0);
    this.bytes.copyWithin(this.address(to, 0), start, start + this.contentBytes);
  }

  /** Bytes of a frame from `offset`; must not run past its content. Returns a copy. */
  read(pfn: Pfn, offset: number, length: number): Uint8Array {
    sched.touch(contentCell(pfn), READ);
    const start = this.address(pfn, offset);
    return this.bytes.slice(start, start + length);
  }

  /** Says that the frame's bytes are about to be written in place. */
  markUsed(pfn: Pfn): void {
    this.#used[pfn] = 1;
    this.onReuse?.(pfn);
  }

  write(pfn: Pfn, offset: number, data: Uint8Array): void {
    sched.touch(contentCell(pfn), WRITE);
    this.#used[pfn] = 1;
    this.onReuse?.(pfn);
    this.bytes.set(data, this.address(pfn, offset));
  }

  /** Every frame in use with its counts, for the census and checks. Touches no cell. */
  *census(): Generator<{ pfn: Pfn; refcount: number; mapcount: number }> {
    const share = Math.floor((this.count - FIRST_FREE) / this.#owners);
    for (let owner = 0; owner < this.#owners; owner++) {
      const end = this.#next[owner] ?? 0;
      for (let pfn = FIRST_FREE + owner * share; pfn < end; pfn++) {
        const refcount = this.#refcount[pfn] ?? 0;
        if (refcount > 0) yield { pfn: pfn as Pfn, refcount, mapcount: this.#mapcount[pfn] ?? 0 };
      }
    }
  }
}

/**
 * Physical memory: frames, their content and their metadata, in typed arrays that cost nothing until touched.
 * A folio is named by its head frame (design, decision 9). 30 bytes of metadata a frame.
 *
 * A large folio is a naturally aligned run of frames that share one reference count, one place in the reverse mapping
 * and one set of flags, those of its head: get, put, hasFlag and the like mean the head whichever of its frames they
 * are given. Each frame has its own content, mapcount and the flags of PER_PAGE.
 */
import { assert } from '../base/assert.ts';
import { ADD, READ, WRITE } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import { contentCell, folioCell, mapcountCell, refcountCell } from './cells.ts';
import { FreeFrames } from './free-frames.ts';
import type { Geometry } from './geometry.ts';
import type { Pfn } from './pte.ts';
import type { Shortage } from './shortage.ts';

/** Frame 0 is never handed out, so that 0 can mean "no frame"; frame 1 is the zero page. */
export const ZERO_PFN = 1 as Pfn;
/** index 8; flags, mapping, private, refcount, mapcount 4 each; used, order 1 each. */
const META_BYTES = 30;

/** Folio flags. @linux include/linux/page-flags.h */
export const PG_ANON: number = 1 << 0;
export const PG_ANON_EXCLUSIVE: number = 1 << 1;
export const PG_DIRTY: number = 1 << 2;
export const PG_SWAPBACKED: number = 1 << 3;
export const PG_SWAPCACHE: number = 1 << 4;
export const PG_REFERENCED: number = 1 << 5;
export const PG_LAZYFREE: number = 1 << 6;
/** Locked by a mapping that is not locked any more; as long as the page lives. Locked mappings themselves say so. */
export const PG_MLOCKED: number = 1 << 7;
/** References a DMA pin counts for. @linux GUP_PIN_COUNTING_BIAS */
export const GUP_PIN_COUNTING_BIAS = 1024;

/** Flags that every frame of a folio has for itself. A mapping of a whole large folio means those of its head. */
const PER_PAGE = PG_ANON_EXCLUSIVE;

/** How often a large folio is mapped; for a single frame its own mapcount says all. */
interface LargeMapcount {
  /** Mappings of the folio as a whole, by one entry. @linux _entire_mapcount */
  entire: number;
  /** Those and the entries that map one of its frames. @linux _large_mapcount */
  total: number;
}

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
  private readonly refcounts: Int32Array;
  private readonly mapcounts: Int32Array;
  private readonly used: Uint8Array;
  /** log2 of the frames in the folio a frame belongs to. */
  private readonly orders: Uint8Array;
  /** By head; large folios only. */
  private large: Map<Pfn, LargeMapcount> | null = null;
  readonly free: FreeFrames;
  /** Frames handed out and not given back, for the census. */
  inUse = 0;
  peak = 0;
  shortage: Shortage | null = null;
  /** Asked when the last reference to a large folio goes: whether it stays somebody's with that one (a pool). */
  keeps: ((head: Pfn) => boolean) | null = null;
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
    this.refcounts = words(3);
    this.mapcounts = words(4);
    this.used = new Uint8Array(meta, n * 28, n);
    this.orders = new Uint8Array(meta, n * 29, n);
    this.free = new FreeFrames(geometry);
    this.refcounts[ZERO_PFN] = 1;
  }

  /**
   * A frame with one reference, not zeroed, or 0 when the owner has none left.
   * @param owner the allocating task: lists of their own make allocations commute (decision 3)
   */
  alloc(owner: number): Pfn | 0 {
    if (this.shortage?.strikes() === true) return 0;
    const pfn = this.free.take(owner);
    if (pfn === undefined) return 0;
    assert(this.refcounts[pfn] === 0, () => `frame ${pfn} allocated while referenced`);
    this.refcounts[pfn] = 1;
    this.flags[pfn] = 0;
    this.mapping[pfn] = 0;
    this.index[pfn] = 0;
    this.private[pfn] = 0;
    if (++this.inUse > this.peak) this.peak = this.inUse;
    return pfn;
  }

  /**
   * A large folio: 2^order frames in a row, naturally aligned, with one reference, none of them zeroed.
   * @param owner as for alloc; a run comes from the owner's region, a run it freed, or single frames it freed
   * @returns the head, or 0 when the owner has no such run
   */
  allocFolio(owner: number, order: number): Pfn | 0 {
    if (order === 0) return this.alloc(owner);
    if (this.shortage?.strikes() === true) return 0;
    const head = this.free.takeRun(owner, order);
    if (head === undefined) return 0;
    const size = 1 << order;
    for (let pfn = head; pfn < head + size; pfn = (pfn + 1) as Pfn) {
      assert(this.refcounts[pfn] === 0, () => `frame ${pfn} allocated while referenced`);
      this.orders[pfn] = order;
      this.flags[pfn] = 0;
      this.mapping[pfn] = 0;
      this.index[pfn] = 0;
      this.private[pfn] = 0;
    }
    this.refcounts[head] = 1;
    this.large ??= new Map();
    this.large.set(head, { entire: 0, total: 0 });
    this.inUse += size;
    if (this.inUse > this.peak) this.peak = this.inUse;
    return head;
  }

  /** The first frame of the folio that a frame belongs to. */
  head(pfn: Pfn): Pfn {
    return (pfn & -(1 << (this.orders[pfn] ?? 0))) as Pfn;
  }

  /** Whether any folio is large. */
  get anyLarge(): boolean {
    return (this.large?.size ?? 0) > 0;
  }

  /** log2 of the frames in the folio: 0 for a single frame. */
  order(pfn: Pfn): number {
    return this.orders[pfn] ?? 0;
  }

  /** What a folio belongs to (see `mapping`), given any frame of it. Touches no cell. */
  mappingOf(pfn: Pfn): number {
    return this.mapping[this.head(pfn)] ?? 0;
  }

  /** The place of a frame in its mapping, in pages. Touches no cell. */
  indexOf(pfn: Pfn): number {
    const head = this.head(pfn);
    return (this.index[head] ?? 0) + pfn - head;
  }

  /** Drops a reference; the last one frees the folio into the owner's list. Returns true when it was the last. */
  put(pfn: Pfn, owner: number): boolean {
    const head = this.head(pfn);
    const left = (this.refcounts[head] ?? 0) - 1;
    assert(left >= 0, () => `frame ${head} put without a reference`);
    sched.touch(refcountCell(head), left === 0 ? WRITE : ADD);
    this.refcounts[head] = left;
    if (left > 0) return false;
    assert(head !== ZERO_PFN, 'the zero page was freed');
    const order = this.orders[head] ?? 0;
    if (order === 0) this.#freeFrame(head, owner);
    else if (this.keeps?.(head) === true) this.refcounts[head] = 1;
    else this.#freeFolio(head, order, owner);
    return true;
  }

  #freeFrame(pfn: Pfn, owner: number): void {
    assert(this.mapcounts[pfn] === 0, () => `frame ${pfn} freed while mapped`);
    sched.touch(contentCell(pfn), WRITE);
    this.onReuse?.(pfn);
    this.free.put(pfn, owner);
    this.inUse--;
  }

  #freeFolio(head: Pfn, order: number, owner: number): void {
    assert(this.large?.get(head)?.total === 0, () => `folio ${head} freed while mapped`);
    this.large?.delete(head);
    const size = 1 << order;
    for (let pfn = head; pfn < head + size; pfn = (pfn + 1) as Pfn) {
      sched.touch(contentCell(pfn), WRITE);
      this.onReuse?.(pfn);
      this.orders[pfn] = 0;
    }
    this.free.putRun(head, owner, order);
    this.inUse -= size;
  }

  /**
   * Makes single-frame folios of a large one. Each frame keeps the references that its mappings hold; all others but
   * `each` a frame go to one of them. Frames that nothing refers to are freed.
   * @param keep the frame that the caller's references go to
   * @param each references a page cache holds to every frame
   * Requires: the folio lock; every page-table lock under which it is mapped; no mapping of the whole
   */
  splitFolio(head: Pfn, owner: number, keep: Pfn = head, each = 0): void {
    const size = 1 << (this.orders[head] ?? 0);
    const large = this.large?.get(head);
    assert(large !== undefined && large.entire === 0, () => `folio ${head} cannot be split`);
    const extra = (this.refcounts[head] ?? 0) - large.total - each * size;
    assert(extra >= 0, () => `folio ${head} has fewer references than mappings`);
    this.large?.delete(head);
    const flags = (this.flags[head] ?? 0) & ~PER_PAGE;
    const [mapping, index] = [this.mapping[head] ?? 0, this.index[head] ?? 0];
    for (let i = 0; i < size; i++) {
      const pfn = (head + i) as Pfn;
      sched.touch(refcountCell(pfn), WRITE);
      sched.touch(mapcountCell(pfn), WRITE);
      sched.touch(folioCell(pfn), WRITE);
      this.orders[pfn] = 0;
      this.flags[pfn] = flags | ((this.flags[pfn] ?? 0) & PER_PAGE);
      this.mapping[pfn] = mapping;
      this.index[pfn] = index + i;
      const left = (this.mapcounts[pfn] ?? 0) + each + (pfn === keep ? extra : 0);
      this.refcounts[pfn] = left;
      if (left === 0) this.#freeFrame(pfn, owner);
    }
  }

  get(pfn: Pfn): void {
    const head = this.head(pfn);
    assert((this.refcounts[head] ?? 0) > 0, () => `frame ${pfn} got while free`);
    sched.touch(refcountCell(head), ADD);
    this.refcounts[head] = (this.refcounts[head] ?? 0) + 1;
  }

  /** Takes several references at once: a pin. */
  getMany(pfn: Pfn, count: number): void {
    this.get(pfn);
    const head = this.head(pfn);
    this.refcounts[head] = (this.refcounts[head] ?? 0) + count - 1;
  }

  /** Drops several references at once; as `put`. */
  putMany(pfn: Pfn, count: number, owner: number): boolean {
    const head = this.head(pfn);
    const left = (this.refcounts[head] ?? 0) - count;
    assert(left >= 0, () => `frame ${pfn} put more often than got`);
    this.refcounts[head] = left + 1;
    return this.put(pfn, owner);
  }

  /** Looks at the reference count: an observation, so it does not commute with gets and puts. */
  refcount(pfn: Pfn): number {
    const head = this.head(pfn);
    sched.touch(refcountCell(head), READ);
    return this.refcounts[head] ?? 0;
  }

  /** Looks at the number of page-table entries that map the folio or one of its frames. @linux folio_mapcount */
  mapcount(pfn: Pfn): number {
    const head = this.head(pfn);
    sched.touch(mapcountCell(head), READ);
    if (this.orders[head] === 0) return this.mapcounts[head] ?? 0;
    return this.large?.get(head)?.total ?? 0;
  }

  /** Looks at the number of entries that map this frame, alone or with its folio. @linux folio_precise_page_mapcount */
  pageMapcount(pfn: Pfn): number {
    const head = this.head(pfn);
    sched.touch(mapcountCell(head), READ);
    const own = this.mapcounts[pfn] ?? 0;
    return this.orders[head] === 0 ? own : own + (this.large?.get(head)?.entire ?? 0);
  }

  /** Looks at the number of entries that map the folio as a whole. @linux folio_entire_mapcount */
  entireMapcount(pfn: Pfn): number {
    const head = this.head(pfn);
    sched.touch(mapcountCell(head), READ);
    return this.large?.get(head)?.entire ?? 0;
  }

  /** Adds to the number of mappings of one frame. Requires: the page-table lock of the entry that changes. */
  addMapcount(pfn: Pfn, delta: 1 | -1): void {
    const head = this.head(pfn);
    sched.touch(mapcountCell(head), ADD);
    this.mapcounts[pfn] = (this.mapcounts[pfn] ?? 0) + delta;
    assert((this.mapcounts[pfn] ?? 0) >= 0, () => `frame ${pfn} unmapped more often than mapped`);
    if (this.orders[pfn] === 0) return;
    const large = this.large?.get(head);
    if (large !== undefined) large.total += delta;
  }

  /** Adds to the number of mappings of a large folio as a whole. Requires: the PMD lock of the entry that changes. */
  addEntireMapcount(head: Pfn, delta: 1 | -1): void {
    sched.touch(mapcountCell(head), ADD);
    const large = this.large?.get(head);
    assert(large !== undefined, () => `frame ${head} is not the head of a large folio`);
    large.entire += delta;
    large.total += delta;
    assert(large.entire >= 0, () => `folio ${head} unmapped more often than mapped`);
  }

  hasFlag(pfn: Pfn, flag: number): boolean {
    const at = (flag & PER_PAGE) !== 0 ? pfn : this.head(pfn);
    sched.touch(folioCell(at), READ);
    return ((this.flags[at] ?? 0) & flag) !== 0;
  }

  setFlag(pfn: Pfn, flag: number): void {
    const at = (flag & PER_PAGE) !== 0 ? pfn : this.head(pfn);
    sched.touch(folioCell(at), WRITE);
    this.flags[at] = (this.flags[at] ?? 0) | flag;
  }

  clearFlag(pfn: Pfn, flag: number): void {
    const at = (flag & PER_PAGE) !== 0 ? pfn : this.head(pfn);
    sched.touch(folioCell(at), WRITE);
    this.flags[at] = (this.flags[at] ?? 0) & ~flag;
  }

  /** Byte address of a byte of the frame in the machine's memory. */
  address(pfn: Pfn, offset: number): number {
    return this.base + pfn * this.contentBytes + (offset & (this.contentBytes - 1));
  }

  /** Fills a frame with zeroes. RAM that was never used is zero already and stays untouched. */
  zero(pfn: Pfn): void {
    sched.touch(contentCell(pfn), WRITE);
    if (this.used[pfn] === 1) {
      const start = this.address(pfn, 0);
      this.bytes.fill(0, start, start + this.contentBytes);
    }
    this.used[pfn] = 1;
  }

  copy(to: Pfn, from: Pfn): void {
    sched.touch(contentCell(from), READ);
    sched.touch(contentCell(to), WRITE);
    this.used[to] = 1;
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
    this.used[pfn] = 1;
    this.onReuse?.(pfn);
  }

  write(pfn: Pfn, offset: number, data: Uint8Array): void {
    sched.touch(contentCell(pfn), WRITE);
    this.markUsed(pfn);
    this.bytes.set(data, this.address(pfn, offset));
  }

  /**
   * Every folio in use with its counts, for the census and checks: its head, and the number of entries that map it or
   * any of its frames. Touches no cell.
   */
  *census(): Generator<{ pfn: Pfn; refcount: number; mapcount: number }> {
    const heads: Pfn[] = [];
    this.free.forEachUsed((pfn) => {
      if ((this.refcounts[pfn] ?? 0) > 0) heads.push(pfn);
    });
    for (const pfn of heads) {
      const large = this.orders[pfn] === 0 ? undefined : this.large?.get(pfn);
      const mapcount = large?.total ?? this.mapcounts[pfn] ?? 0;
      yield { pfn, refcount: this.refcounts[pfn] ?? 0, mapcount };
    }
  }
}

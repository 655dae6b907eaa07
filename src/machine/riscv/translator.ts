import { assert } from '../../base/assert.ts';
import {
  HART_FUEL,
  HART_INSTRET,
  HART_PC,
  HART_TLB,
  HART_TRAP,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  TLB_PFN,
  TLB_TAG_W,
  TLB_TAG_X,
  TLB_X_HOST,
  TLB_X_PFN,
} from './hart-layout.ts';
import { NO_TRAP } from './hart-state.ts';
import type { Interpreter } from './interpreter.ts';
import { type Page, PageCache } from './translate/cache.ts';
import { CODE_PAGE, endsBlock, fetch } from './translate/discover.ts';
import { ENTRY_ID_BITS, JUMP_CACHE_BYTES, JumpCache } from './translate/jump-cache.ts';
import { LEFT_FUEL, LEFT_STEP } from './translate/unit-code.ts';
import { type Wanted, Workshop } from './translate/workshop.ts';
import { type Engine, TRAP_BUDGET, type TrapCause } from './trap.ts';

/** Bytes of the World's memory that a translator takes for itself. */
export const TRANSLATOR_BYTES: number = JUMP_CACHE_BYTES;

/** Executions of cold code before it is worth a translation, and before it does not wait for a full batch any more. */
const HOT = 200;
const URGENT_TIMES = 3;
/** The same, times HOT, for code inside a unit that is no entry yet: a trap or the end of a slice left it there. */
const INSIDE_TIMES = 20;
const INSIDE_URGENT_TIMES = 22;
/** How much longer, at most, code waits for another try that somebody could write to. HOT times all fits the heat. */
const MAX_PATIENCE = 512;
/** Units of one module. */
const BATCH = 16;
/** Instructions between two returns to the dispatcher: V8 replaces code by a faster tier only when it is entered. */
const SLICE = 1 << 17;
/** Pages from this number on are not user space; the interpreter answers for them. */
const VPN_END = 2 ** 36;
const LONGEST_BLOCK = 64;

/**
 * Translates what is hot to WebAssembly; the interpreter executes the rest and every instruction that traps, so that
 * both engines cannot differ in how. What is translated when depends on counts only, and never shows.
 *
 * The owner of the TLB calls `invalidateFrame` when it writes to a frame, frees it, or fills an entry that makes it
 * writable. Code in frames that some entry of a hart's TLB makes writable is not translated.
 */
export class Translator implements Engine {
  readonly name = 'translator';
  /** What was done so far, for benchmarks and for tests that must know that something was translated. */
  readonly counts: { units: number; modules: number; retired: number; entered: number } = {
    units: 0,
    modules: 0,
    retired: 0,
    entered: 0,
  };
  readonly #memory: WebAssembly.Memory;
  readonly #interpreter: Interpreter;
  readonly #jumps: JumpCache;
  readonly #workshop: Workshop;
  readonly #pages: PageCache = new PageCache();
  readonly #harts: Set<number> = new Set();
  readonly #hot: number;
  #wanted: Wanted[] = [];
  #words: Int32Array;
  #code: DataView;

  /**
   * @param memory the World's memory
   * @param area byte address of TRANSLATOR_BYTES in it, a multiple of 8, which nothing else uses
   * @param hot executions of a block before it is translated; never shows but in speed
   */
  constructor(
    memory: WebAssembly.Memory,
    area: number,
    interpreter: Interpreter,
    hot: number = HOT,
  ) {
    assert(area % 8 === 0, `translator's area at ${area} is not aligned to 8`);
    this.#memory = memory;
    this.#interpreter = interpreter;
    this.#hot = hot;
    this.#words = new Int32Array(memory.buffer);
    this.#code = new DataView(memory.buffer);
    this.#jumps = new JumpCache(area);
    this.#jumps.clear(this.#words);
    this.#workshop = new Workshop(memory, this.#jumps, area, (hart, insn) =>
      interpreter.execute(hart, insn) === NO_TRAP ? 0 : 1,
    );
  }

  run(hart: number, budget: number, addressSpace: number): TrapCause {
    assert(Number.isSafeInteger(budget) && budget > 0, `budget ${budget}`);
    if (this.#words.buffer !== this.#memory.buffer) this.#view();
    this.#harts.add(hart);
    const words = this.#words;
    const fuelWord = (hart + HART_FUEL) >>> 2;
    let left = budget;
    let cause: TrapCause = TRAP_BUDGET;
    while (left > 0) {
      const page = this.#page(hart);
      const offset = (words[(hart + HART_PC) >>> 2] as number) & (CODE_PAGE - 2);
      const slot = page === undefined ? -1 : (page.slots[offset >> 1] as number);
      let steps = 1;
      if (page !== undefined && slot >= 0) {
        const slice = Math.min(left, SLICE);
        const why = this.#enter(hart, page, offset, slot, slice);
        left -= slice - (words[fuelWord] as number);
        const isLastSlice = words[fuelWord] === left;
        if (left === 0) break;
        if (why === LEFT_FUEL && isLastSlice) steps = left;
        else if (why !== LEFT_STEP) continue;
      } else if (page !== undefined) {
        steps = Math.min(left, this.#cold(hart, page, offset));
        if ((page.slots[offset >> 1] as number) >= 0) continue;
      }
      cause = this.#interpreter.run(hart, steps, addressSpace);
      left -= steps - (words[fuelWord] as number);
      if (cause !== TRAP_BUDGET) break;
    }
    words[(hart + HART_TRAP) >>> 2] = cause;
    words[fuelWord] = left | 0;
    words[fuelWord + 1] = Math.floor(left / 2 ** 32);
    return cause;
  }

  invalidateFrame(pfn: number): void {
    const pages = this.#pages.drop(pfn);
    if (pages.length === 0) return;
    if (this.#words.buffer !== this.#memory.buffer) this.#view();
    for (const page of pages) {
      for (const unit of [...page.units]) this.#workshop.remove(this.#words, page, unit);
    }
    this.#wanted = this.#wanted.filter(({ page }) => page.pfn !== pfn);
  }

  #view(): void {
    this.#words = new Int32Array(this.#memory.buffer);
    this.#code = new DataView(this.#memory.buffer);
  }

  /** The pc's page, or undefined when the TLB does not make it executable. */
  #page(hart: number): Page | undefined {
    const words = this.#words;
    const pc = (hart + HART_PC) >>> 2;
    const lo = words[pc] as number;
    const hi = words[pc + 1] as number;
    const entry = this.#entry(hart, lo);
    const tag = (entry + TLB_TAG_X) >>> 2;
    const vpnLo = (lo >>> 12) | (hi << 20);
    if (words[tag] !== vpnLo || words[tag + 1] !== hi >>> 12) return undefined;
    const vpn = (hi >>> 12) * 2 ** 32 + (vpnLo >>> 0);
    if (vpn >= VPN_END) return undefined;
    return this.#pages.find(vpn, words[(entry + TLB_X_PFN) >>> 2] as number);
  }

  /** Byte address of the TLB entry for an address. */
  #entry(hart: number, lo: number): number {
    return hart + HART_TLB + ((lo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  }

  /** Runs a unit and whatever it chains to, counts what it retired, and says why it came back. */
  #enter(hart: number, page: Page, offset: number, slot: number, slice: number): number {
    const words = this.#words;
    const fuelWord = (hart + HART_FUEL) >>> 2;
    words[fuelWord] = slice;
    words[fuelWord + 1] = 0;
    this.#jumps.add(words, page, offset, slot);
    const unit = this.#workshop.functions[slot >>> ENTRY_ID_BITS];
    assert(unit !== undefined, `no unit ${slot >>> ENTRY_ID_BITS}`);
    const why = unit(hart, slot & ((1 << ENTRY_ID_BITS) - 1));
    const retired = slice - (words[fuelWord] as number);
    assert(retired >= 0 && retired <= slice, `a unit retired ${retired} of ${slice}`);
    this.counts.retired += retired;
    this.counts.entered++;
    const instret = (hart + HART_INSTRET) >>> 2;
    const low = ((words[instret] as number) >>> 0) + retired;
    words[instret] = low | 0;
    if (low >= 2 ** 32) words[instret + 1] = ((words[instret + 1] as number) + 1) | 0;
    return why;
  }

  /** Counts an execution of untranslated code, translates when it is time, and tells the length of the block. */
  #cold(hart: number, page: Page, offset: number): number {
    const half = offset >> 1;
    const entry = this.#entry(hart, page.address | 0);
    const host = (this.#words[(entry + TLB_X_HOST) >>> 2] as number) >>> 0;
    const heat = page.heat[half] as number;
    if (heat < 0xffff) page.heat[half] = heat + 1;
    const hot = this.#hot;
    if (heat === hot * INSIDE_TIMES || (heat === hot * page.patience && !page.isCovered(offset))) {
      this.#wanted.push({ page, offset, host });
    }
    const isUrgent =
      heat === hot * URGENT_TIMES * page.patience || heat === hot * INSIDE_URGENT_TIMES;
    if (this.#wanted.length >= BATCH || (isUrgent && this.#wanted.length > 0)) this.#translate();
    let length = page.lengths[half] as number;
    if (length === 0) {
      length = blockLength(new DataView(this.#code.buffer, host, CODE_PAGE), offset);
      page.lengths[half] = length;
    }
    return length;
  }

  #translate(): void {
    const writable = this.#writableFrames(new Set(this.#wanted.map(({ page }) => page.pfn)));
    const wanted = this.#wanted.filter(({ page }) => !writable.has(page.pfn));
    for (const { page, offset } of this.#wanted) {
      if (!writable.has(page.pfn)) continue;
      page.heat[offset >> 1] = 0;
      page.patience = Math.min(MAX_PATIENCE, page.patience * 2);
    }
    this.#wanted = [];
    const units = this.#workshop.translate(wanted);
    this.counts.units += units;
    if (units > 0) this.counts.modules++;
  }

  /** Which of some frames a guest could write to now, under any address. */
  #writableFrames(frames: ReadonlySet<number>): ReadonlySet<number> {
    const words = this.#words;
    const found = new Set<number>();
    for (const hart of this.#harts) {
      const start = (hart + HART_TLB) >>> 2;
      const stride = TLB_ENTRY_BYTES >>> 2;
      for (let n = 0, entry = start; n < TLB_ENTRIES; n++, entry += stride) {
        if (words[entry + (TLB_TAG_W >>> 2) + 1] === -1) continue;
        const pfn = words[entry + (TLB_PFN >>> 2)] as number;
        if (frames.has(pfn)) found.add(pfn);
      }
    }
    return found;
  }
}

function blockLength(page: DataView, start: number): number {
  let offset = start;
  for (let length = 1; length < LONGEST_BLOCK; length++) {
    const located = fetch(page, offset);
    if (located === undefined || endsBlock(located.insn)) return length;
    offset += located.length;
    if (offset >= CODE_PAGE) return length;
  }
  return LONGEST_BLOCK;
}

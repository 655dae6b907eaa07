import { CODE_PAGE } from './discover.ts';
import { ENTRY_ID_BITS } from './jump-cache.ts';

/** What a unit returns: LEFT_… */
export type UnitFunction = (hart: number, entry: number) => number;

/** One translated function. */
export interface Unit {
  /** Its index in the table. */
  readonly index: number;
  /** What it was discovered from. */
  readonly seeds: readonly number[];
  /** Offsets of all its instructions. */
  readonly covers: ReadonlySet<number>;
  /** Offsets it can be entered at; entry number n is at n - 1. */
  readonly entries: readonly number[];
}

/** Code of one frame as seen at one virtual address. */
export class Page {
  readonly vpn: number;
  readonly pfn: number;
  /** Virtual address. */
  readonly address: number;
  /** By half-word: unit << ENTRY_ID_BITS | entry number, or -1. */
  readonly slots: Int32Array = new Int32Array(CODE_PAGE / 2).fill(-1);
  /** By half-word: how often the dispatcher found no translation here. */
  readonly heat: Uint16Array = new Uint16Array(CODE_PAGE / 2);
  /** By half-word: instructions to the end of the block, or 0 when not yet counted. */
  readonly lengths: Uint8Array = new Uint8Array(CODE_PAGE / 2);
  readonly units: Set<Unit> = new Set();
  /** Grows each time the code was not translated because it is writable. */
  patience = 1;

  constructor(vpn: number, pfn: number) {
    this.vpn = vpn;
    this.pfn = pfn;
    this.address = vpn * CODE_PAGE;
  }

  isCovered(offset: number): boolean {
    for (const unit of this.units) if (unit.covers.has(offset)) return true;
    return false;
  }

  /** Entries that an older unit has keep their translation: any is right. */
  add(unit: Unit): void {
    this.units.add(unit);
    unit.entries.forEach((offset, n) => {
      if ((this.slots[offset >> 1] as number) >= 0) return;
      this.slots[offset >> 1] = (unit.index << ENTRY_ID_BITS) | (n + 1);
    });
  }

  /** @param forget told each entry that led to the unit */
  remove(unit: Unit, forget: (offset: number, slot: number) => void): void {
    this.units.delete(unit);
    for (const offset of unit.entries) {
      const slot = this.slots[offset >> 1] as number;
      if (slot < 0 || slot >>> ENTRY_ID_BITS !== unit.index) continue;
      this.slots[offset >> 1] = -1;
      forget(offset, slot);
    }
  }
}

const RECENT = 256;

/**
 * All pages with code that ran. The key is virtual page and frame: pc-relative values make the first part of the code,
 * the frame's content the second; a frame whose content changes is dropped.
 */
export class PageCache {
  readonly #byFrame: Map<number, Map<number, Page>> = new Map();
  readonly #recent: (Page | undefined)[] = new Array<Page | undefined>(RECENT).fill(undefined);

  /** The page, made when there is none. */
  find(vpn: number, pfn: number): Page {
    const recent = this.#recent[vpn % RECENT];
    if (recent !== undefined && recent.vpn === vpn && recent.pfn === pfn) return recent;
    let pages = this.#byFrame.get(pfn);
    if (pages === undefined) {
      pages = new Map();
      this.#byFrame.set(pfn, pages);
    }
    let page = pages.get(vpn);
    if (page === undefined) {
      page = new Page(vpn, pfn);
      pages.set(vpn, page);
    }
    this.#recent[vpn % RECENT] = page;
    return page;
  }

  /** Forgets a frame and returns its pages. */
  drop(pfn: number): readonly Page[] {
    const pages = this.#byFrame.get(pfn);
    if (pages === undefined) return [];
    this.#byFrame.delete(pfn);
    this.#recent.fill(undefined);
    return [...pages.values()];
  }
}

/**
 * Page-table pages: arrays of page-table words in one pool. A slot is the index of a word in the pool; a table is the
 * number of its first slot divided by the pool's granule, so that it fits the 20 bits of a table word.
 */

import { assert } from '../base/assert.ts';
import { access } from '../sched/access.ts';
import { READ, WRITE } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import type { Steps } from '../sched/op.ts';
import { pteCell } from './cells.ts';
import { machine } from './current.ts';
import type { Geometry } from './geometry.ts';
import type { Pte } from './pte.ts';
import type { Shortage } from './shortage.ts';

function granuleOf(geometry: Geometry): number {
  return Math.max(geometry.ptrsPerPte, geometry.ptrsPerPmd);
}

/** Bytes of the tables a machine begins with. */
export function tableBytes(geometry: Geometry): number {
  return granuleOf(geometry) * geometry.tablesPerOwner * geometry.owners * 4;
}

export class Tables {
  words: Int32Array;
  /** Words in a table: the larger of the two table sizes, so that one pool serves both levels. */
  readonly granule: number;
  private readonly perOwner: number;
  private readonly owners: number;
  private readonly next: number[];
  private readonly freeLists: number[][];
  /** Tables in use, for the census. */
  inUse = 0;
  /** Null: allocations fail only when there is no room. */
  shortage: Shortage | null = null;

  /** @param buffer zeroed room for tableBytes(geometry) bytes; replaced by a larger one when it is full */
  constructor(geometry: Geometry, buffer: ArrayBuffer) {
    this.granule = granuleOf(geometry);
    this.perOwner = geometry.tablesPerOwner;
    this.owners = geometry.owners;
    this.words = new Int32Array(buffer);
    this.next = [];
    this.freeLists = [];
    for (let owner = 0; owner < this.owners; owner++) {
      this.next.push(owner * this.perOwner);
      this.freeLists.push([]);
    }
  }

  /** An empty table for an owner (task), or -1 when there is no room. Plain: allocations commute (decision 3). */
  alloc(owner: number): number {
    if (this.shortage?.strikes() === true) return -1;
    const list = this.freeLists[owner % this.owners];
    const recycled = list?.pop();
    if (recycled !== undefined) {
      this.inUse++;
      return recycled;
    }
    const table = this.next[owner % this.owners] ?? 0;
    const limit = ((owner % this.owners) + 1) * this.perOwner;
    if (table >= limit && this.owners > 1) return -1;
    if ((table + 1) * this.granule > this.words.length) this.#grow();
    this.next[owner % this.owners] = table + 1;
    this.inUse++;
    return table;
  }

  /** Gives a table back. It must be empty: whoever frees a table has cleared or moved what it held. */
  free(table: number, owner: number): void {
    const start = table * this.granule;
    for (let i = 0; i < this.granule; i++) {
      assert(this.words[start + i] === 0, () => `page table ${table} freed with entry ${i} in use`);
    }
    this.freeLists[owner % this.owners]?.push(table);
    this.inUse--;
  }

  /** The slot of entry `index` of a table. */
  slot(table: number, index: number): number {
    return table * this.granule + index;
  }

  #grow(): void {
    const larger = new Int32Array(this.words.length * 2);
    larger.set(this.words);
    this.words = larger;
  }
}

/** Reads a page-table word without its lock: a switch point, since others may change it before and after. */
export function* loadPte(slot: number): Steps<Pte> {
  if (sched.exploring || sched.preempt !== null) yield* access('loadPte', pteCell(slot), READ);
  return (machine.tables.words[slot] ?? 0) as Pte;
}

/** Reads a page-table word inside the running step: under its lock, or as part of a step announced for it. */
export function getPte(slot: number): Pte {
  sched.touch(pteCell(slot), READ);
  return (machine.tables.words[slot] ?? 0) as Pte;
}

/** Replaces a page-table word inside the running step. Requires: its page-table lock. TLBs keep what they have. */
export function setPte(slot: number, pte: Pte): void {
  sched.touch(pteCell(slot), WRITE);
  machine.tables.words[slot] = pte;
}

/**
 * Which frames are free: for each owner a region of RAM, so that what one is given does not depend on what others do.
 * Single frames come from the beginning of the region, runs of 2^order frames (naturally aligned, for large folios) from
 * its end, and both from what the owner freed before. RAM that was never handed out is only two numbers.
 */
import { ADD, READ } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import { freeCell } from './cells.ts';
import type { Geometry } from './geometry.ts';
import type { Pfn } from './pte.ts';

/** Frame 0 is never handed out, frame 1 is the zero page. */
const FIRST_FREE = 2;
/** Free runs are kept by owner and order. */
const ORDERS = 20;

export class FreeFrames {
  /** How many may be in use at once: a litmus test makes memory short with it. Infinite: as many as there are. */
  most = Number.POSITIVE_INFINITY;
  private taken = 0;
  private readonly owners: number;
  private readonly share: number;
  /** What was never handed out is [next, limit). */
  private readonly next: number[] = [];
  private readonly limit: number[] = [];
  private readonly single: Pfn[][] = [];
  /** By owner * ORDERS + order. */
  private readonly runs: (Pfn[] | undefined)[] = [];
  /** Single frames freed so far, and how many had been when runs were last looked for among them. */
  private freed = 0;
  private gathered = 0;

  constructor(geometry: Geometry) {
    this.owners = geometry.owners;
    this.share = Math.floor((geometry.frames - FIRST_FREE) / this.owners);
    for (let owner = 0; owner < this.owners; owner++) {
      this.next.push(FIRST_FREE + owner * this.share);
      this.limit.push(FIRST_FREE + (owner + 1) * this.share);
      this.single.push([]);
    }
  }

  /** A frame, or undefined when the owner has none left. */
  take(owner: number): Pfn | undefined {
    if (this.scarce && !this.hasRoom(1)) return undefined;
    const pfn = this.#takeOne(owner);
    if (pfn !== undefined) this.#count(1);
    return pfn;
  }

  /** Whether there is a limit to how many may be in use. */
  get scarce(): boolean {
    return this.most !== Number.POSITIVE_INFINITY;
  }

  /** Whether the limit allows more: an observation. */
  hasRoom(frames: number): boolean {
    const room = this.taken + frames <= this.most;
    if (!room) sched.touch(freeCell(), READ);
    return room;
  }

  /** Whether the owner would be given a frame now. */
  canTake(owner: number): boolean {
    const own = owner % this.owners;
    if (!this.hasRoom(1)) return false;
    if ((this.single[own]?.length ?? 0) > 0) return true;
    if ((this.next[own] ?? 0) < (this.limit[own] ?? 0)) return true;
    return this.runs.slice(own * ORDERS, (own + 1) * ORDERS).some((run) => (run?.length ?? 0) > 0);
  }

  #count(delta: number): void {
    this.taken += delta;
    if (this.scarce) sched.touch(freeCell(), ADD);
  }

  #takeOne(owner: number): Pfn | undefined {
    const own = owner % this.owners;
    const freed = this.single[own]?.pop();
    if (freed !== undefined) return freed;
    const next = this.next[own] ?? 0;
    if (next >= (this.limit[own] ?? 0)) return this.#takeFreed(own, 0);
    this.next[own] = next + 1;
    return next as Pfn;
  }

  put(pfn: Pfn, owner: number): void {
    this.#count(-1);
    this.single[owner % this.owners]?.push(pfn);
    this.freed++;
  }

  /** The first of 2^order frames in a row, or undefined when the owner has no such run. */
  takeRun(owner: number, order: number): Pfn | undefined {
    const size = 1 << order;
    if (this.scarce && !this.hasRoom(size)) return undefined;
    const own = owner % this.owners;
    const head = this.#takeFreed(own, order) ?? this.#carve(own, order) ?? this.#gather(own, order);
    if (head !== undefined) this.#count(size);
    return head;
  }

  putRun(head: Pfn, owner: number, order: number): void {
    this.#count(-(1 << order));
    this.#keepRun(head, owner, order);
  }

  #keepRun(head: Pfn, owner: number, order: number): void {
    const at = (owner % this.owners) * ORDERS + order;
    const list = this.runs[at];
    if (list === undefined) this.runs[at] = [head];
    else list.push(head);
  }

  /** Calls back for every frame that was ever handed out. */
  forEachUsed(visit: (pfn: Pfn) => void): void {
    for (let owner = 0; owner < this.owners; owner++) {
      const first = FIRST_FREE + owner * this.share;
      const next = this.next[owner] ?? first;
      for (let pfn = first; pfn < next; pfn++) visit(pfn as Pfn);
      const end = first + this.share;
      for (let pfn = this.limit[owner] ?? end; pfn < end; pfn++) visit(pfn as Pfn);
    }
  }

  /** A run that was freed, of at least the order; what is too much of it goes back. */
  #takeFreed(own: number, order: number): Pfn | undefined {
    for (let larger = order; larger < ORDERS; larger++) {
      const head = this.runs[own * ORDERS + larger]?.pop();
      if (head === undefined) continue;
      for (let rest = larger - 1; rest >= order; rest--) {
        this.#keepRun((head + (1 << rest)) as Pfn, own, rest);
      }
      return head;
    }
    return undefined;
  }

  #carve(own: number, order: number): Pfn | undefined {
    const size = 1 << order;
    const limit = this.limit[own] ?? 0;
    const end = Math.floor(limit / size) * size;
    if (end - size < (this.next[own] ?? 0)) return undefined;
    for (let pfn = end; pfn < limit; pfn++) this.single[own]?.push(pfn as Pfn);
    this.limit[own] = end - size;
    return (end - size) as Pfn;
  }

  /** Runs among the frames that were freed one by one; not looked for again before there are enough new ones. */
  #gather(own: number, order: number): Pfn | undefined {
    const size = 1 << order;
    if (this.freed - this.gathered < size) return undefined;
    this.gathered = this.freed;
    const free = this.single[own] ?? [];
    for (let smaller = 0; smaller < order; smaller++) {
      for (const head of this.runs[own * ORDERS + smaller]?.splice(0) ?? []) {
        for (let i = 0; i < 1 << smaller; i++) free.push((head + i) as Pfn);
      }
    }
    const perRun = new Map<number, number>();
    for (const pfn of free) {
      const run = Math.floor(pfn / size);
      perRun.set(run, (perRun.get(run) ?? 0) + 1);
    }
    this.single[own] = free.filter((pfn) => perRun.get(Math.floor(pfn / size)) !== size);
    for (const [run, count] of perRun) {
      if (count === size) this.#keepRun((run * size) as Pfn, own, order);
    }
    return this.#takeFreed(own, order);
  }
}

/**
 * One execution as a partial order: its events (a step each), what they touched, and which happened before which.
 *
 * Every cell has a chain of the accesses to it, latest first; every event has a vector clock whose entry for thread t is
 * one more than the depth of t's latest event that happened before it (or is it). Events are pushed and popped like a
 * stack, so that executions that share a prefix share the work done for it.
 */
import { entryCell, entryKind, LOCK_W, UNLOCK_W, WRITE } from '../sched/cell.ts';
import {
  EXCLUSIVE,
  grown,
  int,
  isEnd,
  KIND_BITS,
  KIND_MASK,
  LOCK_KINDS,
  ORDERED,
  RACES,
  SUPPOSED,
  SUPPOSED_KIND,
} from './footprint.ts';
import { MAX_THREADS } from './strategy.ts';

export class History {
  /** Events so far. */
  depth = 0;
  /** Threads known so far. */
  threads = 0;
  /** Per event: its thread. */
  thread: Int32Array<ArrayBuffer> = new Int32Array(0);
  /** Per event: the threads that could run in its place, as a mask. */
  enabled: Int32Array<ArrayBuffer> = new Int32Array(0);
  /** Per event: where its accesses begin; they end where the next event's begin. */
  from: Int32Array<ArrayBuffer> = new Int32Array(1);
  /** Per access: interned cell and kind. */
  access: Int32Array<ArrayBuffer> = new Int32Array(512);
  /** Per access: the entry as the scheduler gave it. */
  #raw = new Float64Array(512);
  /** Per access: the one before on the same cell, or -1, and the depth of its event. */
  #before = new Int32Array(512);
  #depthOf = new Int32Array(512);
  /** Per cell: the latest access, and the kinds it was ever touched with. */
  #latest = new Int32Array(256).fill(-1);
  #kinds = new Int32Array(256);
  readonly #cells = new Map<number, number>();
  readonly #entries = new Map<number, number>();
  /** Accesses that are the ends of threads. */
  readonly #ends = new Set<number>();
  /** Per event, `MAX_THREADS` wide. */
  #clock = new Int32Array(0);
  /** Per event: that of its thread's event before, the threads known, whether it could have been blocked. */
  #lastBefore = new Int32Array(0);
  #threadsBefore = new Int32Array(0);
  #blocking = new Int32Array(0);
  /** Per event: depth below which everything happened before it, because nothing could run and time moved on. */
  #barrier = new Int32Array(0);
  /** Per thread: depth of its latest event; while it has none, of the event that spawned it; else -1. */
  readonly #last = new Int32Array(MAX_THREADS).fill(-1);
  readonly #first = new Int32Array(MAX_THREADS);
  readonly #known = new Int32Array(MAX_THREADS);
  readonly #covered = new Int32Array(MAX_THREADS);
  #candidates = new Int32Array(64);
  #candidateCount = 0;
  /** Whether the race that `initials` was last asked about can surely be turned round. */
  #sure = false;

  /** The first threads of an execution; call when nothing has been pushed. */
  begin(threads: number): void {
    this.threads = threads;
  }

  /** Whether two footprints are the same, entry for entry: the one of the event at a depth and a new one. */
  sameFootprint(depth: number, footprint: readonly number[]): boolean {
    const from = int(this.from, depth);
    const length = int(this.from, depth + 1) - from;
    if (length < footprint.length) return false;
    if (length > footprint.length && this.#raw[from + footprint.length] !== SUPPOSED) return false;
    for (let i = 0; i < footprint.length; i++) {
      if (this.#raw[from + i] !== footprint[i]) return false;
    }
    return true;
  }

  /** The footprint of an event, for messages. */
  footprintAt(depth: number): number[] {
    const { [depth]: from, [depth + 1]: to } = this.from;
    return [...this.#raw.subarray(from, to)].filter((entry) => entry !== SUPPOSED);
  }

  /**
   * Adds an event after all others.
   * @param blocking whether the step's Op had a `ready` @param enabled who could run @param threads known after it
   * @param barrier depth below which everything happened before it
   * @param supposed further accesses, interned: what it touched in other orders
   */
  push(
    thread: number,
    blocking: boolean,
    enabled: number,
    footprint: readonly number[],
    threads: number,
    barrier: number,
    supposed: readonly number[],
  ): void {
    const depth = this.depth;
    if (depth >= this.thread.length) this.#growEvents(depth + 1);
    this.thread[depth] = thread;
    this.enabled[depth] = enabled;
    this.#blocking[depth] = blocking ? 1 : 0;
    this.#barrier[depth] = barrier;
    this.#threadsBefore[depth] = this.threads;
    const last = int(this.#last, thread);
    this.#lastBefore[depth] = last;
    this.#know(last, depth, barrier);
    const from = int(this.from, depth);
    const seen = from + footprint.length;
    const to = seen + supposed.length;
    if (to > this.access.length) this.#growAccesses(to);
    this.from[depth + 1] = to;
    this.#candidateCount = 0;
    for (let i = from; i < seen; i++) {
      const raw = footprint[i - from] ?? 0;
      this.#raw[i] = raw;
      this.access[i] = this.#entries.get(raw) ?? this.#intern(raw);
    }
    for (let i = seen; i < to; i++) {
      this.#raw[i] = SUPPOSED;
      this.access[i] = supposed[i - seen] ?? 0;
    }
    const waits = blocking && to > from ? int(this.access, from) >> KIND_BITS : -1;
    for (let i = from; i < to; i++) this.#follow(int(this.access, i), depth, thread, waits);
    for (let i = from; i < to; i++) {
      const access = int(this.access, i);
      const cell = access >> KIND_BITS;
      this.#before[i] = int(this.#latest, cell);
      this.#depthOf[i] = depth;
      this.#latest[cell] = i;
      this.#kinds[cell] = int(this.#kinds, cell) | (1 << (access & KIND_MASK));
    }
    this.#clock[depth * MAX_THREADS + thread] = depth + 1;
    this.#last[thread] = depth;
    for (let t = this.threads; t < threads; t++) this.#last[t] = depth;
    this.threads = threads;
    this.depth = depth + 1;
  }

  /** Forgets all events from a depth on. */
  truncate(depth: number): void {
    while (this.depth > depth) {
      const d = --this.depth;
      for (let i = int(this.from, d + 1) - 1; i >= int(this.from, d); i--) {
        this.#latest[int(this.access, i) >> KIND_BITS] = int(this.#before, i);
      }
      const before = int(this.#threadsBefore, d);
      for (let t = before; t < this.threads; t++) this.#last[t] = -1;
      this.threads = before;
      this.#last[int(this.thread, d)] = int(this.#lastBefore, d);
    }
  }

  /**
   * Reports every race of the last event with an earlier one that might be turned round: at `depth`, before the
   * earlier one, one of the threads `initials` (a mask; `preferred` is the last event's when that is one) has to be
   * tried if none of them is there yet. The sets are source sets' "initials" (Abdulla et al., JACM 2017).
   */
  races(report: (depth: number, initials: number, preferred: number) => void): void {
    if (this.#candidateCount === 0) return;
    this.#sortCandidates();
    const last = this.depth - 1;
    const later = int(this.thread, last);
    this.#covered.fill(0, 0, this.threads);
    for (let c = 0; c < this.#candidateCount; c++) {
      const depth = int(this.#candidates, c);
      const thread = int(this.thread, depth);
      if (int(this.#covered, thread) > depth) continue;
      const initials = this.#initials(depth, last);
      if (initials === 0) continue;
      report(depth, initials, (initials & (1 << later)) !== 0 ? later : -1);
      if (!this.#sure) continue;
      const row = depth * MAX_THREADS;
      for (let t = 0; t < this.threads; t++) {
        this.#covered[t] = Math.max(int(this.#covered, t), int(this.#clock, row + t));
      }
    }
  }

  /**
   * Adds to `supposed` what a step about to be pushed touched in another order (`prints` from..to) and did not touch in
   * this one, if that can be because of something outside the one cell it touches. See `Dpor`.
   */
  suppose(
    footprint: readonly number[],
    prints: Int32Array,
    from: number,
    to: number,
    supposed: number[],
  ): void {
    if (to - from === 1 && footprint.length === 1) {
      const raw = footprint[0] ?? 0;
      const access = this.#entries.get(raw) ?? this.#intern(raw);
      if ((access ^ int(prints, from)) >> KIND_BITS === 0) return;
    }
    let only = -1;
    let several = false;
    const note = (access: number): void => {
      const cell = access >> KIND_BITS;
      if (only >= 0 && only !== cell) several = true;
      only = cell;
    };
    for (const raw of footprint) {
      if (!isEnd(raw)) note(this.#entries.get(raw) ?? this.#intern(raw));
    }
    for (let i = from; i < to; i++) if (!this.#ends.has(int(prints, i))) note(int(prints, i));
    if (!several) return;
    for (let i = from; i < to; i++) {
      const access = int(prints, i);
      if (this.#ends.has(access)) continue;
      const weak = (access & ~KIND_MASK) | int(SUPPOSED_KIND, access & KIND_MASK);
      if (supposed.includes(weak)) continue;
      if (!footprint.some((raw) => this.#entries.get(raw) === access)) supposed.push(weak);
    }
  }

  /** The kind that a step not yet taken must be supposed to touch its cell with: the one that races with most. */
  cautiousKind(cell: number): number {
    const number = this.#cells.get(cell);
    if (number === undefined) return WRITE;
    return (int(this.#kinds, number) & LOCK_KINDS) !== 0 ? LOCK_W : WRITE;
  }

  /** What the thread knew before its event at `depth`: into `#known`, and as a start into the event's own clock. */
  #know(last: number, depth: number, barrier: number): void {
    const row = depth * MAX_THREADS;
    const old = last * MAX_THREADS;
    for (let t = 0; t < this.threads; t++) {
      const known = Math.max(barrier, last < 0 ? 0 : int(this.#clock, old + t));
      this.#known[t] = known;
      this.#clock[row + t] = known;
    }
    this.#clock.fill(0, row + this.threads, row + MAX_THREADS);
  }

  /** Goes back along a cell's chain: joins the clocks of what must stay before, and collects what races. */
  #follow(access: number, depth: number, thread: number, waits: number): void {
    const cell = access >> KIND_BITS;
    const kind = access & KIND_MASK;
    const ordered = int(ORDERED, kind);
    const racing = int(RACES, kind);
    const kinds = int(this.#kinds, cell);
    for (let i = int(this.#latest, cell); i >= 0; i = int(this.#before, i)) {
      const earlierKind = int(this.access, i) & KIND_MASK;
      // Everything before this access happened before it too.
      const dominates = (kinds & ~int(ORDERED, earlierKind)) === 0;
      const earlier = int(this.#depthOf, i);
      const earlierThread = int(this.thread, earlier);
      const known = earlierThread === thread || int(this.#known, earlierThread) > earlier;
      if (!known && (ordered & (1 << earlierKind)) !== 0) {
        this.#join(depth, earlier);
        if ((racing & (1 << earlierKind)) !== 0) this.#addCandidate(earlier);
      }
      if (!dominates) continue;
      // What blocked a waiting step may lie further back than what let it go.
      if (known || cell !== waits || ((1 << earlierKind) & EXCLUSIVE) !== 0) return;
    }
  }

  #join(depth: number, earlier: number): void {
    const row = depth * MAX_THREADS;
    const other = earlier * MAX_THREADS;
    for (let t = 0; t < this.threads; t++) {
      this.#clock[row + t] = Math.max(int(this.#clock, row + t), int(this.#clock, other + t));
    }
  }

  #addCandidate(depth: number): void {
    for (let i = 0; i < this.#candidateCount; i++) if (this.#candidates[i] === depth) return;
    if (this.#candidateCount === this.#candidates.length) {
      this.#candidates = grown(this.#candidates, this.#candidateCount + 1);
    }
    this.#candidates[this.#candidateCount++] = depth;
  }

  /** Latest first. */
  #sortCandidates(): void {
    const list = this.#candidates;
    for (let i = 1; i < this.#candidateCount; i++) {
      const value = int(list, i);
      let j = i;
      for (; j > 0 && int(list, j - 1) < value; j--) list[j] = int(list, j - 1);
      list[j] = value;
    }
  }

  /**
   * The threads that can begin "all that did not happen after `earlier`, then `last`", from just before `earlier`; none
   * when `last` could not happen there. Sets `#sure`.
   */
  #initials(earlier: number, last: number): number {
    const clock = this.#clock;
    const first = this.#first;
    const thread = int(this.thread, earlier);
    let seen = 0;
    let initials = 0;
    for (let j = earlier + 1; j < last; j++) {
      if (int(clock, j * MAX_THREADS + thread) > earlier) continue;
      const other = int(this.thread, j);
      if ((seen & (1 << other)) !== 0) continue;
      if (!this.#afterAny(j, seen)) initials |= 1 << other;
      first[other] = j;
      seen |= 1 << other;
    }
    const later = int(this.thread, last);
    const begins = (seen & (1 << later)) === 0 && !this.#afterAny(last, seen);
    this.#sure = true;
    if (int(this.#blocking, last) === 0) return begins ? initials | (1 << later) : initials;
    const locks = this.#lockRelation(earlier, last);
    if (locks < 0) return 0;
    if (begins) {
      // Nothing that it depends on comes in between, so it can go there just if it could at that time.
      if ((int(this.enabled, earlier) & (1 << later)) === 0) return 0;
      return initials | (1 << later);
    }
    this.#sure = locks > 0;
    return initials;
  }

  /** Whether the event comes after the first event, as far as noted in `#first`, of any of the threads in the mask. */
  #afterAny(depth: number, threads: number): boolean {
    for (let rest = threads; rest !== 0; rest &= rest - 1) {
      const t = 31 - Math.clz32(rest & -rest);
      if (int(this.#clock, depth * MAX_THREADS + t) > int(this.#first, t)) return true;
    }
    return false;
  }

  /**
   * Of an acquisition and an earlier event: 1 when that one took the same lock exclusively (so the lock was free before
   * it, and is until then), -1 when it lies within the last exclusive hold of the lock, else 0.
   */
  #lockRelation(earlier: number, last: number): number {
    const acquired = int(this.access, int(this.from, last));
    if (((1 << (acquired & KIND_MASK)) & LOCK_KINDS) === 0) return 0;
    const cell = acquired >> KIND_BITS;
    for (let i = int(this.from, earlier); i < int(this.from, earlier + 1); i++) {
      const access = int(this.access, i);
      if (access >> KIND_BITS !== cell) continue;
      if (((1 << (access & KIND_MASK)) & EXCLUSIVE) !== 0) return 1;
    }
    let released = last;
    for (let i = int(this.#latest, cell); i >= 0; i = int(this.#before, i)) {
      const depth = int(this.#depthOf, i);
      if (depth === last) continue;
      const kind = int(this.access, i) & KIND_MASK;
      if (kind === UNLOCK_W) released = depth;
      if (kind !== LOCK_W) continue;
      const held = depth < earlier && earlier <= released;
      return held && int(this.thread, earlier) === int(this.thread, depth) ? -1 : 0;
    }
    return 0;
  }

  #intern(raw: number): number {
    const cell = entryCell(raw);
    let number = this.#cells.get(cell);
    if (number === undefined) {
      number = this.#cells.size;
      this.#cells.set(cell, number);
      if (number >= this.#latest.length) {
        const old = this.#latest.length;
        this.#latest = grown(this.#latest, number + 1).fill(-1, old);
        this.#kinds = grown(this.#kinds, number + 1);
      }
    }
    const entry = (number << KIND_BITS) | entryKind(raw);
    this.#entries.set(raw, entry);
    if (isEnd(raw)) this.#ends.add(entry);
    return entry;
  }

  #growEvents(length: number): void {
    const size = Math.max(64, length, this.thread.length * 2);
    this.thread = grown(this.thread, size);
    this.enabled = grown(this.enabled, size);
    this.from = grown(this.from, size + 1);
    this.#clock = grown(this.#clock, size * MAX_THREADS);
    this.#lastBefore = grown(this.#lastBefore, size);
    this.#threadsBefore = grown(this.#threadsBefore, size);
    this.#blocking = grown(this.#blocking, size);
    this.#barrier = grown(this.#barrier, size);
  }

  #growAccesses(length: number): void {
    const raw = new Float64Array(Math.max(length, this.#raw.length * 2));
    raw.set(this.#raw);
    this.#raw = raw;
    this.access = grown(this.access, raw.length);
    this.#before = grown(this.#before, raw.length);
    this.#depthOf = grown(this.#depthOf, raw.length);
  }
}

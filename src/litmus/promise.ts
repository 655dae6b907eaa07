/**
 * Promises about pages: what user space was told when a call returned 0, watched from outside.
 *
 *   wp      no store to a page that UFFDIO_WRITEPROTECT protected goes through before something lifts the protection
 *   guard   no access to a page that MADV_GUARD_INSTALL guarded goes through before the guard is removed
 *   poison  no access to a page that UFFDIO_POISON poisoned goes through before it is filled or dropped
 *
 * One-sided: extra messages and signals are allowed. The watcher sees calls as they begin and end and accesses as they
 * are done. A page is armed when the call that promises returns and its entry remembers it then; what could lift it
 * disarms while it runs, which errs towards silence. Armed pages have cells of their own, so that the explorer tries an
 * access on both sides of a call's return.
 */
import { CELL_TEST } from '../kernel/cells.ts';
import type { Task } from '../kernel/core/task.ts';
import type { Mm } from '../kernel/mm/mm-types.ts';
import {
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  type Pte,
  pteMarker,
  pteUffdWpAny,
} from '../machine/pte.ts';
import { cellOf, READ, WRITE } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import type { Steps } from '../sched/op.ts';
import { ptePeek } from './page-state.ts';
import { PAGE } from './scope.ts';
import { BrokenRule, type RunState } from './state.ts';

/** Promises about what a page slot remembers; `soft-dirty` and `data` have watchers of their own. */
type SlotPromise = 'wp' | 'guard' | 'poison';
export type PromiseName = SlotPromise | 'soft-dirty' | 'data';
export type Access = 'read' | 'wrote';

interface PromiseKind {
  /** Whether an entry still remembers what was promised. */
  readonly remembers: (pte: Pte) => boolean;
  readonly loadsBreak: boolean;
  readonly broken: string;
}

/** Watches one promise: told of calls as they begin and end, of accesses and reports as they are done. */
export interface Watcher {
  readonly name: PromiseName;
  /** A call that promises it for the range has returned 0. */
  arm(task: Task, start: number, length: number): void;
  /** A call that may lift it for the range begins (1) or ends (-1). */
  lift(task: Task, start: number, length: number, delta: 1 | -1): void;
  /** An access to a word has been done. @throws BrokenRule */
  accessed(task: Task, address: number, how: Access, value: number): void;
  /** clear_refs begins or ends. */
  clearing?(delta: 1 | -1): void;
  /** pagemap has said something of a page. @throws BrokenRule */
  reported?(task: Task, address: number, flags: string): void;
}

/** Every promise there is. */
export const PROMISES: readonly PromiseName[] = ['wp', 'guard', 'poison', 'soft-dirty', 'data'];

const KINDS: Readonly<Record<SlotPromise, PromiseKind>> = {
  wp: {
    remembers: pteUffdWpAny,
    loadsBreak: false,
    broken: 'which is write-protected, without a message',
  },
  guard: {
    remembers: (pte) => (pteMarker(pte) & PTE_MARKER_GUARD) !== 0,
    loadsBreak: true,
    broken: 'where a guard was installed',
  },
  poison: {
    remembers: (pte) => (pteMarker(pte) & PTE_MARKER_POISONED) !== 0,
    loadsBreak: true,
    broken: 'which is poisoned',
  },
};

export class PagePromise implements Watcher {
  readonly name: SlotPromise;
  private readonly kind: PromiseKind;
  /** Armed pages per address space. */
  private readonly armed: Map<Mm, Set<number>> = new Map();
  /** Calls in flight that may lift the promise of a page. */
  private readonly lifting: Map<number, number> = new Map();
  private readonly place: (address: number) => string;

  constructor(name: SlotPromise, place: (address: number) => string) {
    this.name = name;
    this.kind = KINDS[name];
    this.place = place;
  }

  /** A call that promises it for the range has returned 0. */
  arm(task: Task, start: number, length: number): void {
    const { mm } = task;
    if (mm === null) return;
    let pages = this.armed.get(mm);
    if (pages === undefined) {
      pages = new Set();
      this.armed.set(mm, pages);
    }
    for (let address = start; address < start + length; address += PAGE) {
      touch(address, WRITE);
      const pte = ptePeek(mm, address);
      const lifting = (this.lifting.get(address) ?? 0) > 0;
      if (!lifting && pte !== null && this.kind.remembers(pte)) pages.add(address);
    }
  }

  /** A call that may lift it for the range begins (1) or ends (-1): in between nothing there is armed. */
  lift(task: Task, start: number, length: number, delta: 1 | -1): void {
    const pages = task.mm === null ? undefined : this.armed.get(task.mm);
    for (let address = start; address < start + length; address += PAGE) {
      touch(address, WRITE);
      pages?.delete(address);
      this.lifting.set(address, (this.lifting.get(address) ?? 0) + delta);
    }
  }

  /** An access has been done. @throws BrokenRule */
  accessed(task: Task, address: number, how: Access): void {
    if (how === 'read' && !this.kind.loadsBreak) return;
    const page = address - (address % PAGE);
    touch(page, READ);
    if (task.mm === null || this.armed.get(task.mm)?.has(page) !== true) return;
    throw new BrokenRule(
      `promise ${this.name}`,
      `${task.name} ${how} ${this.place(address)}, ${this.kind.broken}`,
    );
  }
}

function touch(address: number, kind: typeof READ): void {
  sched.touch(cellOf(CELL_TEST, address / PAGE), kind);
}

/** What a call does to promises about the pages it is given. */
export interface Effect {
  readonly arms: PromiseName | null;
  readonly lifts: readonly PromiseName[];
}

export const NO_EFFECT: Effect = { arms: null, lifts: [] };
export const LIFTS_ALL: Effect = { arms: null, lifts: PROMISES };

export function lifts(...names: readonly PromiseName[]): Effect {
  return { arms: null, lifts: names };
}
export function arms(name: PromiseName, ...also: readonly PromiseName[]): Effect {
  return { arms: name, lifts: also };
}

/** Pages in numbers: start and length in bytes. */
export type Span = readonly [start: number, length: number];

/** Performs a call while the watchers know of it. @param ok whether its result keeps the promise it makes */
export function* watched<T>(
  run: RunState,
  task: Task,
  spans: readonly Span[],
  effect: Effect,
  steps: Steps<T>,
  ok: (result: T) => boolean,
): Steps<T> {
  const touched = run.promises.filter((p) => effect.lifts.includes(p.name));
  for (const p of touched) for (const [start, length] of spans) p.lift(task, start, length, 1);
  const result = yield* steps;
  for (const p of touched) for (const [start, length] of spans) p.lift(task, start, length, -1);
  if (effect.arms !== null && ok(result)) {
    for (const p of run.promises) {
      if (p.name === effect.arms) for (const [start, length] of spans) p.arm(task, start, length);
    }
  }
  return result;
}

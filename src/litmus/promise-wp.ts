/**
 * I-WP: once UFFDIO_WRITEPROTECT has returned 0 for a populated page, no store to it goes through until something takes
 * the protection away. One-sided: extra messages are allowed.
 *
 * The watcher sees calls as they begin and end and stores as they are done. A page is armed when the protecting call
 * returns and its entry remembers the protection then; what could lift it disarms while it runs, which errs towards
 * silence. Armed pages have cells of their own, so that the explorer tries a store on both sides of a call's return.
 */
import { CELL_TEST } from '../kernel/cells.ts';
import type { Task } from '../kernel/core/task.ts';
import type { Mm } from '../kernel/mm/mm-types.ts';
import { pteUffdWpAny } from '../machine/pte.ts';
import { cellOf, READ, WRITE } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import { ptePeek } from './page-state.ts';
import { PAGE } from './scope.ts';
import { BrokenRule } from './state.ts';

export class WpPromise {
  /** Armed pages per address space. */
  readonly #armed: Map<Mm, Set<number>> = new Map();
  /** Calls in flight that may lift the protection of a page. */
  readonly #lifting: Map<number, number> = new Map();
  readonly #place: (address: number) => string;

  constructor(place: (address: number) => string) {
    this.#place = place;
  }

  /** A protecting call over the range has returned 0. */
  protectedRange(task: Task, start: number, length: number): void {
    const { mm } = task;
    if (mm === null) return;
    let pages = this.#armed.get(mm);
    if (pages === undefined) {
      pages = new Set();
      this.#armed.set(mm, pages);
    }
    for (let address = start; address < start + length; address += PAGE) {
      touch(address, WRITE);
      const pte = ptePeek(mm, address);
      const lifting = (this.#lifting.get(address) ?? 0) > 0;
      if (!lifting && pte !== null && pteUffdWpAny(pte)) pages.add(address);
    }
  }

  /** A call that may lift the protection of the range begins: until it ends nothing there is armed. */
  liftBegins(task: Task, start: number, length: number): void {
    this.#lift(task, start, length, 1);
  }

  liftEnds(task: Task, start: number, length: number): void {
    this.#lift(task, start, length, -1);
  }

  #lift(task: Task, start: number, length: number, delta: number): void {
    const pages = task.mm === null ? undefined : this.#armed.get(task.mm);
    for (let address = start; address < start + length; address += PAGE) {
      touch(address, WRITE);
      pages?.delete(address);
      this.#lifting.set(address, (this.#lifting.get(address) ?? 0) + delta);
    }
  }

  /** A store has been done. @throws BrokenRule */
  stored(task: Task, address: number): void {
    const page = address - (address % PAGE);
    touch(page, READ);
    if (task.mm === null || this.#armed.get(task.mm)?.has(page) !== true) return;
    throw new BrokenRule(
      'promise wp',
      `${task.name} wrote ${this.#place(address)}, which is write-protected, without a message`,
    );
  }
}

function touch(address: number, kind: typeof READ): void {
  sched.touch(cellOf(CELL_TEST, address / PAGE), kind);
}

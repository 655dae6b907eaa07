/**
 * `promise soft-dirty`: a page that was written since the last `clear_refs 4` shows it. One-sided: that a page shows it
 * says nothing. Looked at when a store has been done, and whenever somebody asks pagemap.
 */
import { CELL_TEST } from '../kernel/cells.ts';
import type { Task } from '../kernel/core/task.ts';
import type { Mm } from '../kernel/mm/mm-types.ts';
import { cellOf, READ, WRITE } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import { pageFlagsAt } from './page-state.ts';
import type { Access, Watcher } from './promise.ts';
import { PAGE } from './scope.ts';
import { BrokenRule } from './state.ts';

export class SoftDirtyPromise implements Watcher {
  readonly name = 'soft-dirty';
  private readonly written: Map<Mm, Set<number>> = new Map();
  /** Calls of clear_refs under way: what is written meanwhile may count as written before. */
  private inFlight = 0;
  private readonly place: (address: number) => string;

  constructor(place: (address: number) => string) {
    this.place = place;
  }

  arm(): void {}

  /** What is mapped afresh begins anew. */
  lift(task: Task, start: number, length: number): void {
    sched.touch(WHOLE, WRITE);
    const pages = task.mm === null ? undefined : this.written.get(task.mm);
    for (let address = start; address < start + length; address += PAGE) pages?.delete(address);
  }

  /** clear_refs begins (1) or ends (-1). */
  clearing(delta: 1 | -1): void {
    sched.touch(WHOLE, WRITE);
    this.inFlight += delta;
    this.written.clear();
  }

  /** @throws BrokenRule */
  accessed(task: Task, address: number, how: Access): void {
    const { mm } = task;
    if (how === 'read' || mm === null) return;
    sched.touch(WHOLE, READ);
    if (this.inFlight > 0) return;
    const page = address - (address % PAGE);
    if (!pageFlagsAt(mm, page).includes('soft-dirty')) {
      this.#broken(`${task.name} wrote ${this.place(address)}, and soft-dirty does not show it`);
    }
    const pages = this.written.get(mm) ?? new Set<number>();
    this.written.set(mm, pages.add(page));
  }

  /** Somebody has read what pagemap says. @throws BrokenRule */
  reported(task: Task, address: number, flags: string): void {
    const { mm } = task;
    if (mm === null || flags.includes('soft-dirty')) return;
    if (this.written.get(mm)?.has(address) !== true) return;
    // An anonymous page that is gone is no page that nobody wrote.
    if (flags === 'none' && mm.vmas.find(address)?.file === null) return;
    this.#broken(`${this.place(address)} was written and pagemap says ${flags}`);
  }

  #broken(detail: string): never {
    throw new BrokenRule('promise soft-dirty', detail);
  }
}

const WHOLE = cellOf(CELL_TEST, 0);

/**
 * Fault injection: an allocation that fails although there is memory. Who arms it says how many; whichever come next fail.
 * @linux Documentation/fault-injection/fault-injection.rst
 */
import { type Cell, cellOf, READ, WRITE } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import { CELL_SHORTAGE } from './cells.ts';

export class Shortage {
  readonly cell: Cell = cellOf(CELL_SHORTAGE, 0);
  /** Allocations that are going to fail. */
  due = 0;

  /** One more allocation is going to fail. */
  arm(): void {
    sched.touch(this.cell, WRITE);
    this.due++;
  }

  /** Whether the allocation that is being made fails. */
  strikes(): boolean {
    sched.touch(this.cell, READ);
    if (this.due === 0) return false;
    sched.touch(this.cell, WRITE);
    this.due--;
    return true;
  }
}

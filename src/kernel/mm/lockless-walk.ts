/**
 * Walks over page tables with interrupts off (GUP-fast). A page table that such a walk may be in is neither freed nor put to
 * another use: freeing waits for RCU; who gives a table up to others interrupts every processor first, and so waits for the
 * walks that were under way. @linux mm/gup.c gup_fast, mm/mmu_gather.c tlb_remove_table_sync_one
 */
import { until } from '../../sched/access.ts';
import { ADD, type Cell, cellOf, READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { CELL_RCU } from '../cells.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';

/** Behind those of RCU itself: walks begun and ended. */
function walksCell(): Cell {
  return cellOf(CELL_RCU, 3);
}

/** @linux local_irq_save */
export function beginLocklessWalk(): void {
  world.rcu.readLock();
  sched.touch(walksCell(), ADD);
  world.locklessWalks++;
}
/** @linux local_irq_restore */
export function endLocklessWalk(): void {
  sched.touch(walksCell(), ADD);
  world.locklessWalks--;
  world.rcu.readUnlock();
}

/** Waits until no walk is under way. @returns true. Walks wait for nobody, so it may be called under any lock */
export const walkersHaveLeft = seam(
  'lockless-walk.walkersHaveLeft',
  function* (): Steps<boolean> {
    sched.touch(walksCell(), READ);
    const left = (): boolean => world.locklessWalks === 0;
    if (!left()) yield* until('sync walkers', walksCell(), READ, left, 'a walk without locks');
    return true;
  },
  'UNSHARE: GUP-fast sync: a walk that found the table before it was given up would pin what others put there',
);

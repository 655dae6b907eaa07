/**
 * When there is no free frame: reclaim, then the OOM killer, then wait for what its victim gives back.
 *
 *   frames.alloc says 0 | reclaim, page by page | try again | choose a victim, unless one is dying already | wait | again
 *
 * Who is being killed himself gets nothing: his call or fault ends, and he gives back what he has. Frames are asked for one
 * at a time, which Linux never refuses either as long as there is somebody to kill.
 *
 * Differs from Linux: page tables and the kernel's own data take no RAM, and there are no reserves: watermarks, and what a
 * dying task may have below them, are not modelled.
 *
 * @linux mm/page_alloc.c __alloc_pages_slowpath, __alloc_pages_may_oom
 */
import { freeCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import type { Pfn } from '../../machine/pte.ts';
import { until } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { oomVictimGone, outOfMemory } from './oom-kill.ts';
import { tryToFreePages } from './shrink-node.ts';

/**
 * A frame with one reference, not zeroed, after the lists were found empty.
 * @returns 0: the running task is being killed, or the world lets allocations fail (`world.allocsFail`)
 * Requires: no spinlock, no RCU read section; what is held must not be what reclaim waits for
 */
export function* allocSlowpath(): Steps<Pfn | 0> {
  const { frames } = machine;
  while (!world.allocsFail && !beingKilled()) {
    yield* tryToFreePages();
    const pfn = frames.alloc(world.owner());
    if (pfn !== 0) return pfn;
    if (world.current.thread === null || beingKilled() || !(yield* outOfMemory())) break;
    const owner = world.owner();
    const ready = (): boolean => frames.free.canTake(owner) || oomVictimGone() || beingKilled();
    yield* until('wait for memory', freeCell(), READ, ready, 'memory that the OOM killer frees');
  }
  return 0;
}

/** A frame for a fault or a call: from the free lists, else whatever it takes. As allocSlowpath. */
export function* allocPage(): Steps<Pfn | 0> {
  const pfn = machine.frames.alloc(world.owner());
  return pfn === 0 ? yield* allocSlowpath() : pfn;
}

/** A page table cannot be had: what frees memory frees tables. @linux __pte_alloc */
export function* outOfTables(): Steps<void> {
  if (world.current.thread !== null && !world.allocsFail && !beingKilled()) yield* outOfMemory();
}

/** Set-up code cannot be killed by a signal: for it the first refusal is the last. */
function beingKilled(): boolean {
  const { thread } = world.current;
  if (thread === null) return false;
  sched.touch(sched.signalCell(thread), READ);
  return thread.signal === 'fatal';
}

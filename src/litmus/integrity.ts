/** What is always checked: the kernel's invariants after steps, and that nothing is left when everything has ended. */

import { CELL_VMA, CELL_VMA_TREE } from '../kernel/cells.ts';
import { frameCensus } from '../kernel/check/frame-census.ts';
import { CHECKS } from '../kernel/check/table.ts';
import { fput } from '../kernel/fs/file.ts';
import { mmput } from '../kernel/mm/exit-mmap.ts';
import type { World } from '../kernel/world.ts';
import { CELL_FOLIO, CELL_MAPCOUNT, CELL_PTE, CELL_REFCOUNT, CELL_TLB } from '../machine/cells.ts';
import { CELL_CLASS_LIMIT } from '../sched/cell.ts';
import type { Steps } from '../sched/op.ts';
import { BrokenRule, type RunState } from './state.ts';

const RELEVANT: number = maskOf([
  CELL_PTE,
  CELL_TLB,
  CELL_REFCOUNT,
  CELL_FOLIO,
  CELL_MAPCOUNT,
  CELL_VMA,
  CELL_VMA_TREE,
]);
/** Kinds 0 and 3 and up change nothing that an invariant speaks of; 1 and 2 do (cell.ts). */
const CHANGES = 0b110;

function maskOf(classes: readonly number[]): number {
  let mask = 0;
  for (const cls of classes) mask |= 1 << cls;
  return mask;
}

/**
 * Runs every check, unless the step changed nothing that one of them looks at.
 * @param footprint what the step touched; null: check anyway
 * @throws BrokenRule
 */
export function checkIntegrity(world: World, footprint: readonly number[] | null): void {
  if (footprint !== null && !changes(footprint)) return;
  for (const { name, check } of CHECKS) {
    const wrong = check(world);
    if (wrong !== null) throw new BrokenRule(name, wrong);
  }
}

function changes(footprint: readonly number[]): boolean {
  for (let i = 0; i < footprint.length; i++) {
    const entry = footprint[i] ?? 0;
    if (((1 << (entry % 16)) & CHANGES) === 0) continue;
    const cls = Math.floor(entry / 16) % CELL_CLASS_LIMIT;
    if (((1 << cls) & RELEVANT) !== 0) return true;
  }
  return false;
}

/** Closes every file and takes every address space down, then counts frames. @throws BrokenRule */
export function teardown(run: RunState): void {
  const { world } = run;
  if (world.sched.threads.some((t) => t.held.length > 0)) return;
  world.setupTask = run.mainTask;
  world.sched.runAlone(endAll(world));
  const leaked = frameCensus(world);
  if (leaked !== null) throw new BrokenRule('leak', leaked);
}

function* endAll(world: World): Steps<void> {
  for (const task of world.tasks) {
    for (const [fd] of [...task.files.entries()]) {
      const file = task.files.remove(fd);
      if (file !== null) yield* fput(task, file);
    }
  }
  for (const task of world.tasks) {
    const { mm } = task;
    task.mm = null;
    if (mm !== null) yield* mmput(mm);
  }
}

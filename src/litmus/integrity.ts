/** What is always checked: the kernel's invariants after steps, and that nothing is left when everything has ended. */

import { frameCensus } from '../kernel/check/frame-census.ts';
import { runChecks, runStepChecks } from '../kernel/check/table.ts';
import { fput } from '../kernel/fs/file.ts';
import { dmaUnpin } from '../kernel/mm/dma-buffer.ts';
import { mmput } from '../kernel/mm/exit-mmap.ts';
import type { World } from '../kernel/world.ts';
import type { Steps } from '../sched/op.ts';
import { BrokenRule, type RunState } from './state.ts';

/** The checks that the step just taken can have broken. @throws BrokenRule */
export function checkStep(world: World): void {
  refuse(runStepChecks(world));
}

/** Every check. @throws BrokenRule */
export function checkAll(world: World): void {
  refuse(runChecks(world));
}

function refuse(found: { readonly name: string; readonly wrong: string } | null): void {
  if (found !== null) throw new BrokenRule(found.name, found.wrong);
}

/** Closes every file and takes every address space down, then counts frames. @throws BrokenRule */
export function teardown(run: RunState): void {
  const { world } = run;
  if (world.sched.threads.some((t) => t.held.length > 0)) return;
  world.setupTask = run.mainTask;
  world.sched.runAlone(endAll(run));
  const leaked = frameCensus(world);
  if (world.mappings.size > 0) throw new BrokenRule('leak', 'a file outlived all who had it open');
  if (leaked !== null) throw new BrokenRule('leak', leaked);
}

function* endAll({ world, devices }: RunState): Steps<void> {
  for (const device of devices) yield* dmaUnpin(device);
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

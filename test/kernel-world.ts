/** A small kernel for unit tests: one World of litmus size, a process, and calls run to their end without a schedule. */

import { frameCensus } from '../src/kernel/check/frame-census.ts';
import { peekPte } from '../src/kernel/check/page-tables.ts';
import { runChecks } from '../src/kernel/check/table.ts';
import { createProcess, forkTask } from '../src/kernel/core/create.ts';
import type { Task } from '../src/kernel/core/task.ts';
import { enterWorld } from '../src/kernel/current.ts';
import { mmput } from '../src/kernel/mm/exit-mmap.ts';
import type { FaultSignal } from '../src/kernel/mm/fault.ts';
import type { Vma } from '../src/kernel/mm/mm-types.ts';
import { doMmap } from '../src/kernel/mm/mmap.ts';
import { userLoad, userStore } from '../src/kernel/mm/user-access.ts';
import type { Overrides } from '../src/kernel/seam.ts';
import { World } from '../src/kernel/world.ts';
import { type Geometry, LITMUS_GEOMETRY, PAGE_SIZE } from '../src/machine/geometry.ts';
import { decodePte } from '../src/machine/pte.ts';
import type { Steps } from '../src/sched/op.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../src/uapi/mman.ts';

export const RW: number = PROT_READ | PROT_WRITE;

export class KernelWorld {
  readonly world: World;
  readonly task: Task;

  constructor(
    options: {
      exploring?: boolean;
      overrides?: Overrides | null;
      geometry?: Geometry;
      /** Pages of the swap device; 0: none. */
      swapPages?: number;
    } = {},
  ) {
    this.world = new World({
      geometry: options.geometry ?? LITMUS_GEOMETRY,
      harts: 8,
      exploring: options.exploring ?? false,
      overrides: options.overrides ?? null,
      swapPages: options.swapPages ?? 0,
    });
    enterWorld(this.world);
    this.task = createProcess(this.world, { name: 'a', hart: 0, owner: 0 });
    this.world.setupTask = this.task;
  }

  /** Runs steps to their end, as the given task. */
  run<T>(steps: Steps<T>, task: Task = this.task): T {
    enterWorld(this.world);
    this.world.setupTask = task;
    return this.world.sched.runAlone(steps);
  }

  /** Private anonymous pages. @returns the address of the first */
  map(pages: number, prot: number = RW, address = 0): number {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    return this.run(doMmap(this.task.mmOrDie, { address, length: pages * PAGE_SIZE, prot, flags }));
  }

  load(address: number, task: Task = this.task): number | string {
    const value = this.run(userLoad(task, address, 4), task);
    return typeof value === 'number' ? value : signalName(value);
  }

  store(address: number, value: number, task: Task = this.task): string {
    return signalName(this.run(userStore(task, address, 4, value), task));
  }

  fork(parent: Task = this.task, hart = 1): Task {
    const options = { name: 'child', hart, owner: hart };
    const child = this.run(forkTask(parent, options), parent);
    if (typeof child === 'number') throw new Error(`fork: ${child}`);
    return child;
  }

  /** The task's address space loses a user. */
  exit(task: Task): void {
    const mm = task.mmOrDie;
    this.run(mmput(mm), task);
    task.mm = null;
  }

  /** What the slot of an address holds: `present write dirty young`, `none`, `marker guard`. */
  slot(address: number, task: Task = this.task): string {
    const pte = decodePte(peekPte(task.mmOrDie, address));
    switch (pte.kind) {
      case 'present':
        return `present ${pte.flags}`.trim();
      case 'marker':
        return `marker ${pte.marks}`;
      default:
        return pte.kind;
    }
  }

  vma(address: number, task: Task = this.task): Vma {
    const vma = task.mmOrDie.vmas.find(address);
    if (vma === null) throw new Error(`no VMA at 0x${address.toString(16)}`);
    return vma;
  }

  /** Whatever is wrong with the state at rest: broken checks, leaked frames. Tests end with it being null. */
  wrong(): string | null {
    enterWorld(this.world);
    const broken = runChecks(this.world);
    return broken === null ? frameCensus(this.world) : `${broken.name}: ${broken.wrong}`;
  }

  /** Ends every process and says what is left. */
  leaked(): string | null {
    for (const task of this.world.tasks) if (task.mm !== null) this.exit(task);
    const { frames, tables } = this.world.machine;
    if (frames.inUse !== 0 || tables.inUse !== 0) {
      return `${frames.inUse} frames and ${tables.inUse} tables are left`;
    }
    return this.wrong();
  }
}

/** `ok`, or `SEGV 1`. */
export function signalName(signal: FaultSignal | null): string {
  return signal === null ? 'ok' : `${signal.signal} ${signal.code}`;
}

/** What one execution of a litmus test has besides its World: registers, descriptors, who runs which strand. */
import { must } from '../base/assert.ts';
import type { Task } from '../kernel/core/task.ts';
import type { DmaBuffer } from '../kernel/mm/dma-buffer.ts';
import type { Kvm, Vcpu } from '../kernel/virt/kvm/kvm.ts';
import type { GfnToPfnCache } from '../kernel/virt/kvm/pfncache.ts';
import type { World } from '../kernel/world.ts';
import type { Thread } from '../sched/thread.ts';
import type { Watcher } from './promise.ts';
import type { Value } from './values.ts';

export class RunState {
  readonly world: World;
  readonly registers: Value[];
  /** Descriptor numbers by file slot. */
  readonly fds: number[] = [];
  /** By strand: its task and its thread, once it has them. */
  readonly tasks: (Task | undefined)[] = [];
  readonly threads: (Thread | undefined)[] = [];
  /** The watchers of the promises that the file asks for. */
  readonly promises: Watcher[] = [];
  /** Virtual machines, caches of guest pages and devices by their slots; vCPUs by strand. */
  readonly vms: Kvm[] = [];
  readonly gpcs: GfnToPfnCache[] = [];
  readonly devices: DmaBuffer[] = [];
  readonly vcpus: (Vcpu | undefined)[] = [];
  /** The process that set-up made. */
  readonly mainTask: Task;
  /** The first tasks of the other processes, by name. */
  readonly processes: Map<string, Task> = new Map();
  /** How the threads came out; for rules. */
  hung = false;
  lostWake = false;
  livelock = false;

  constructor(world: World, mainTask: Task, slots: number) {
    this.world = world;
    this.mainTask = mainTask;
    this.registers = new Array<Value>(slots).fill(undefined);
  }

  /** The first task of a process; null: the main one. */
  taskOf(process: string | null): Task {
    return process === null ? this.mainTask : must(this.processes.get(process), process);
  }
}

/** A rule that a step broke. Ends the execution; not a bug of ours. */
export class BrokenRule extends Error {
  override readonly name = 'BrokenRule';
  /** As expectations name it: `promise wp`, or the name of an integrity check. */
  readonly rule: string;

  constructor(rule: string, detail: string) {
    super(detail);
    this.rule = rule;
  }
}

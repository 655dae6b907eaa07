/** Everything one kernel knows: the machine, the scheduler, tasks and global tables (decision 8). */
import { at } from '../base/assert.ts';
import type { Prng } from '../base/prng.ts';
import { enterMachine } from '../machine/current.ts';
import { Machine, type MachineOptions } from '../machine/machine.ts';
import type { Pfn, Pte } from '../machine/pte.ts';
import { enterSched } from '../sched/current.ts';
import type { Lock } from '../sched/lock.ts';
import { Rcu } from '../sched/rcu.ts';
import { Sched } from '../sched/sched.ts';
import { CELL_RCU } from './cells.ts';
import type { BinaryFormat } from './core/exec.ts';
import { FutexTable } from './core/futex.ts';
import type { Task } from './core/task.ts';
import type { Console } from './fs/console.ts';
import type { NameTree } from './fs/dentry.ts';
import type { ShmIds } from './ipc/shm.ts';
import type { AddressSpace } from './mm/address-space.ts';
import type { AnonVma } from './mm/anon-vma.ts';
import type { Hstate } from './mm/hugetlb.ts';
import type { Ksm } from './mm/ksm.ts';
import type { Mm } from './mm/mm-types.ts';
import type { Oom } from './mm/oom-kill.ts';
import { SwapDevice } from './mm/swapfile.ts';
import { THP_NEVER, type ThpSettings } from './mm/thp-settings.ts';
import type { Overrides } from './seam.ts';

export interface WorldOptions extends MachineOptions {
  readonly exploring: boolean;
  /** Patched seams, from stackPatches; null for today's kernel. */
  readonly overrides: Overrides | null;
  /** Pages of the swap device; default 0: none. */
  readonly swapPages?: number;
}

export class World {
  readonly machine: Machine;
  readonly sched: Sched;
  readonly overrides: Overrides | null;
  readonly rcu: Rcu = new Rcu(CELL_RCU);
  /** Walks over page tables with interrupts off that are under way. */
  locklessWalks = 0;
  readonly tasks: Task[] = [];
  readonly mms: Set<Mm> = new Set();
  /** Page-table locks by table number. */
  readonly ptLocks: Lock[] = [];
  /** What a folio's `mapping` number names. 0 is nobody. */
  readonly anonVmas: Map<number, AnonVma> = new Map();
  /** Anon_vmas made so far by each owner: their numbers must not depend on what others do (decision 3). */
  readonly anonVmasMade: number[] = [];
  /** Files in the page cache by their number; a folio's `mapping` names them as negative numbers. */
  readonly mappings: Map<number, AddressSpace> = new Map();
  /** Address spaces of files made so far by each owner, as for anon_vmas. */
  readonly mappingsMade: number[] = [];
  /** Locks of folios by frame; made when first needed. */
  readonly folioLocks: Map<Pfn, Lock> = new Map();
  /** Page tables put aside under huge pages, by PMD slot. Protected by the lock of the slot. */
  readonly deposited: Map<number, number> = new Map();
  /** What stood in PMD slots that a collapse has emptied for the time being. Protected by the locks of the slots. */
  readonly detachedTables: Map<number, Pte> = new Map();
  /** What transparent huge pages are used for: /sys/kernel/mm/transparent_hugepage. Never, unless a program or test asks. */
  thp: ThpSettings = THP_NEVER;
  /** The swap device; null: pages stay in memory. */
  readonly swap: SwapDevice | null;
  /** What the OOM killer has done; null: nobody was ever killed. */
  oom: Oom | null = null;
  /** Allocations that find no free frame fail at once, for tests of what that leads to. */
  allocsFail = false;
  /** The frame at which reclaim looks for a page next. */
  scanHand = 0;
  /** Pools of huge pages; null until somebody asks for one. */
  hstates: readonly Hstate[] | null = null;
  /** System V shared memory; made when first asked for. */
  shm: ShmIds | null = null;
  /** Pages of the same content, once somebody looks for them. */
  ksm: Ksm | null = null;
  /** Every name of a file; made when the first path is used. */
  names: NameTree | null = null;
  /** Tables of hugetlb entries that several address spaces use: by how many besides one. */
  pmdSharers: Map<number, number> | null = null;
  /** Mutexes of pages of hugetlb files; made when first needed. */
  hugetlbFaultMutexes: Map<number, Lock> | null = null;
  /** Which task each scheduler thread runs. */
  readonly taskOfThread: Map<number, Task> = new Map();
  /** The task that set-up code acts for while no thread runs. */
  setupTask: Task | null = null;
  readonly futexes: FutexTable;
  readonly sysctl: Sysctl = { ...DEFAULT_SYSCTL };
  /** Lets a new task run: the guest run loop and litmus each have their way. */
  startTask: (task: Task) => void = () => undefined;
  /** Makes sense of a program for execve(2): the guest run loop brings it. */
  binaries: BinaryFormat | null = null;
  /** Standard streams of guests; null: output vanishes, input is empty. */
  console: Console | null = null;
  /** What getrandom(2) draws from. */
  random: Prng | null = null;
  /** What uname(2) says. */
  release = '6.18.0';
  nextPid = 1;
  nextMm = 1;

  constructor(options: WorldOptions) {
    this.sched = new Sched(options.exploring);
    this.machine = new Machine(options);
    this.overrides = options.overrides;
    const { swapPages = 0 } = options;
    this.swap = swapPages > 0 ? new SwapDevice(swapPages) : null;
    enterSched(this.sched);
    enterMachine(this.machine);
    this.futexes = new FutexTable();
    this.sched.idle = () => this.machine.clock.jump();
  }

  /** The task whose step runs, or the one set-up acts for. */
  get current(): Task {
    const { running } = this.sched;
    const task = running === null ? this.setupTask : this.taskOfThread.get(running.id);
    return task ?? at(this.tasks, 0);
  }

  /** The hart a new guest task runs on: they take turns. */
  nextHart(): number {
    return this.tasks.length % this.machine.tlbs.length;
  }

  /** Whose free lists an allocation comes from now. */
  owner(): number {
    return this.tasks.length === 0 ? 0 : this.current.owner;
  }
}

/** Sysctls that change behaviour. */
export interface Sysctl {
  /** vm.unprivileged_userfaultfd */
  unprivilegedUserfaultfd: number;
  /** vm.max_map_count */
  maxMapCount: number;
  /** vm.overcommit_memory */
  overcommitMemory: number;
  /** vm.mmap_min_addr, bytes */
  mmapMinAddr: number;
}

const DEFAULT_SYSCTL: Sysctl = {
  unprivilegedUserfaultfd: 0,
  maxMapCount: 65_530,
  overcommitMemory: 0,
  mmapMinAddr: 4096,
};

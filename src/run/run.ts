/**
 * `faultline run` as a function: one program in an otherwise empty machine, from its first instruction to its exit
 * status. Everything that varies comes in through the request; the same request gives the same run, bit for bit.
 */
import { at } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import type { Task } from '../kernel/core/task.ts';
import type { SigInfo } from '../kernel/core/thread-group.ts';
import { enterWorld } from '../kernel/current.ts';
import type { Console } from '../kernel/fs/console.ts';
import type { FaultSignal } from '../kernel/mm/fault.ts';
import { defaultHstate, setMaxHugePages } from '../kernel/mm/hugetlb.ts';
import { THP_DEFAULT } from '../kernel/mm/thp-settings.ts';
import type { Overrides } from '../kernel/seam.ts';
import { World } from '../kernel/world.ts';
import { PAGE_SIZE } from '../machine/geometry.ts';
import type { Op } from '../sched/op.ts';
import type { Ending, Oracle, Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';
import { type Death, type FaultKind, findDeath } from './death.ts';
import { type Elf, parseElf } from './elf.ts';
import { GuestContext } from './guest-context.ts';
import { GuestMachine } from './guest-machine.ts';
import { type GuestHooks, guestThread } from './guest-thread.ts';
import { guestBinaries, loadProgram, VDSO } from './load.ts';
import { enterDirectory, type Mount, readTree, storeMount, type TreeEntry } from './mount.ts';
import { awaitedBy, type Doing, type Waiting, waitingThreads } from './waiting.ts';

export interface RunRequest {
  readonly program: Uint8Array;
  readonly name: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly console: Console;
  /** 0 does not preempt inside the kernel and switches threads at fixed points. */
  readonly seed: number;
  readonly cpus: number;
  /** Bytes. */
  readonly ram: number;
  /** Bytes of the swap device; default 0: none. */
  readonly swap?: number;
  /** Huge pages in the pool from the start; default 0. */
  readonly hugepages?: number;
  readonly uid: number;
  /** Trees of files that are there from the beginning. */
  readonly mounts?: readonly Mount[];
  /** Where the program begins; default the root. */
  readonly cwd?: string;
  readonly engine: 'translator' | 'interpreter';
  /** Patched seams of the profile, from stackPatches. */
  readonly overrides: Overrides | null;
  /** uname -r */
  readonly release: string;
  /** Virtual ns, and instructions, after which the run is ended. */
  readonly timeoutNs: number;
  readonly maxInstructions: number;
  readonly observers: readonly RunObserver[];
  /** Asked before each step: true stops there, and `advance` goes on later. Must not change what happens. */
  readonly pausing: () => boolean;
}

/** What --strace, --trace and --stats listen to. All times are virtual ns. */
export interface RunObserver {
  started?(now: number, task: Task): void;
  syscall?(now: number, task: Task, nr: number, args: readonly number[]): void;
  syscallEnd?(now: number, task: Task, nr: number, args: readonly number[], result: number): void;
  fault?(now: number, task: Task, kind: FaultKind, address: number): void;
  faultEnd?(now: number, task: Task, signal: FaultSignal | null): void;
  /** A thread was found waiting: for what. It waits until `waitEnd`. */
  waits?(now: number, task: Task, awaits: string): void;
  waitEnd?(now: number, task: Task): void;
  /** A thread has taken a signal: a process ends by it, or its handler is called. */
  killed?(now: number, task: Task, info: SigInfo, pc: number): void;
}

export interface RunResult {
  /**
   * exit: the program ended by itself, `status` is its own. signal: `status` is 128 plus the signal.
   * hang: nothing can run any more. limit: out of time or instructions.
   */
  readonly how: 'exit' | 'signal' | 'hang' | 'limit';
  readonly status: number;
  /** For a hang: who waits for what. */
  readonly waiting: readonly Waiting[];
  /** The signal that killed the program, with a description of where. */
  readonly death: Death | null;
  /** What the kernel's log says of processes that the OOM killer has chosen. */
  readonly oomKills: readonly string[];
}

/** How far a run has come. */
export interface Progress {
  readonly instructions: number;
  readonly virtualNs: number;
  readonly frames: number;
  readonly peakFrames: number;
}

/** As timeout(1) has it: for a hang, and for a program that was not done in the time it was given. */
const STATUS_TIMEOUT = 124;
/** Instructions of a slice with seed 0. */
const FIXED_SLICE = 200_000;
/** With a seed: most slices are short enough to cut critical sections, some long enough to get on. */
const SHORT_SLICE = 400;
const LONG_SLICE = 50_000;
/** With a seed, one possible switch inside the kernel in this many is taken. */
const PREEMPT_EVERY = 6;

/** Makes a program ready to run. @returns the run, or a sentence that says why it cannot start */
export function startRun(request: RunRequest): Run | string {
  const elf = parseElf(request.program);
  if (typeof elf === 'string') return elf;
  const guest = new GuestMachine(request);
  const world = new World({
    ...guest.machineOptions(),
    exploring: false,
    swapPages: Math.floor((request.swap ?? 0) / PAGE_SIZE),
    overrides: request.overrides,
  });
  enterWorld(world);
  const pages = request.hugepages ?? 0;
  if (pages > 0) setMaxHugePages(defaultHstate(), pages);
  if (pages > 0 && defaultHstate().nr < pages) return `not enough RAM for ${pages} huge pages`;
  const run = new Run(request, world, guest);
  return run.load(elf) ?? run;
}

/** One program on its way. */
export class Run implements Oracle {
  readonly world: World;
  readonly #request: RunRequest;
  readonly #guest: GuestMachine;
  readonly #prng: Prng;
  #instructions = 0;
  #death: Death | null = null;
  #init: Task | null = null;
  #last = -1;
  #paused = false;
  readonly #waiting = new Set<number>();
  readonly #doing = new Map<Task, Doing>();

  constructor(request: RunRequest, world: World, guest: GuestMachine) {
    this.#request = request;
    this.world = world;
    this.#guest = guest;
    this.#prng = new Prng(request.seed);
    world.console = request.console;
    world.release = request.release;
    world.thp = THP_DEFAULT;
    world.random = new Prng(request.seed ^ 0x72616e64);
    world.machine.frames.onReuse = (pfn) => guest.engine.invalidateFrame(pfn);
    world.startTask = (task) => this.#start(task);
    if (request.seed !== 0) world.sched.preempt = () => this.#prng.below(PREEMPT_EVERY) === 0;
  }

  /** Puts the program into its first process. @returns null, or why it does not fit */
  load(elf: Elf): string | null {
    const { name, program, args, env, uid } = this.#request;
    const random = (): Uint8Array => Uint8Array.from({ length: 16 }, () => this.#prng.below(256));
    this.world.binaries = guestBinaries(random);
    const context = this.#guest.newContext();
    const task = loadProgram(
      this.world,
      { name, program, elf, args, env, uid, random: random() },
      context,
    );
    if (typeof task === 'string') return task;
    for (const mount of this.#request.mounts ?? []) storeMount(mount);
    const { cwd } = this.#request;
    if (cwd !== undefined && !enterDirectory(task, cwd)) return `no directory ${cwd} in the guest`;
    this.#init = task;
    this.world.sched.spawn('rcu', this.world.rcu.actor(), true);
    this.#start(task);
    return null;
  }

  /** Goes on until the program has ended, or until asked to pause. @returns how it ended; null for a pause */
  advance(): RunResult | null {
    enterWorld(this.world);
    this.#paused = false;
    const ending = this.world.sched.execute(this, Number.MAX_SAFE_INTEGER);
    return this.#paused ? null : this.#result(ending);
  }

  /** The files of a mount as the guest leaves them. Requires: the run has ended. */
  filesAt(path: string): readonly TreeEntry[] {
    enterWorld(this.world);
    return readTree(this.world, path);
  }

  progress(): Progress {
    const { machine } = this.world;
    return {
      instructions: this.#instructions,
      virtualNs: machine.clock.now,
      frames: machine.frames.inUse,
      peakFrames: machine.frames.peak,
    };
  }

  /** Who waits for what at the moment. */
  waiting(): readonly Waiting[] {
    return waitingThreads(this.world, this.#doing);
  }

  #start(task: Task): void {
    const { regs } = task;
    const context = regs instanceof GuestContext ? regs : this.#guest.newContext();
    const body = guestThread(this.#guest, task, context, VDSO, this.#hooks());
    const thread = this.world.sched.spawn(`${task.name} ${task.tid}`, body);
    task.thread = thread;
    this.world.taskOfThread.set(thread.id, task);
    this.#tell((o, now) => o.started?.(now, task));
  }

  #tell(what: (observer: RunObserver, now: number) => void): void {
    for (const observer of this.#request.observers) what(observer, this.world.machine.clock.now);
  }

  #hooks(): GuestHooks {
    return {
      slice: () => this.#slice(),
      onSyscall: (task, nr, args) => {
        this.#doing.set(task, { nr, args });
        this.#tell((o, now) => o.syscall?.(now, task, nr, args));
      },
      onSyscallEnd: (task, nr, args, result) => {
        this.#doing.delete(task);
        this.#tell((o, now) => o.syscallEnd?.(now, task, nr, args, result));
      },
      onFault: (task, kind, address) => {
        this.#doing.set(task, { kind, address });
        this.#tell((o, now) => o.fault?.(now, task, kind, address));
      },
      onFaultEnd: (task, signal) => {
        this.#doing.delete(task);
        this.#tell((o, now) => o.faultEnd?.(now, task, signal));
      },
      onRetired: (instructions) => {
        this.#instructions += instructions;
      },
      onKill: (task, info, pc, access) => {
        this.#tell((o, now) => o.killed?.(now, task, info, pc));
        if (task.group === this.#init?.group) this.#death ??= findDeath(task, info, pc, access);
      },
    };
  }

  #slice(): number {
    const { maxInstructions, timeoutNs } = this.#request;
    // An instruction takes a nanosecond of the virtual clock.
    const time = timeoutNs - this.world.machine.clock.now + 1;
    const left = Math.min(maxInstructions - this.#instructions, time);
    if (this.#request.seed === 0) return Math.max(1, Math.min(left, FIXED_SLICE));
    const longest = this.#prng.below(4) === 0 ? SHORT_SLICE : LONG_SLICE;
    return Math.max(1, Math.min(left, 1 + this.#prng.below(longest)));
  }

  pick(_sched: Sched, enabled: readonly Thread[]): Thread | null {
    const { clock } = this.world.machine;
    if (this.#init?.group.zombie === true) return null;
    if (clock.now > this.#request.timeoutNs) return null;
    if (this.#instructions >= this.#request.maxInstructions) return null;
    this.#paused = this.#request.pausing();
    if (this.#paused) return null;
    const thread = this.#choose(enabled);
    const task = this.world.taskOfThread.get(thread.id);
    if (task !== undefined) {
      if (this.#waiting.delete(thread.id)) this.#tell((o, now) => o.waitEnd?.(now, task));
      this.#guest.enterSpace(task);
    }
    this.#last = thread.id;
    return thread;
  }

  /** Seed 0: the next in order after the one that ran last. Otherwise any. */
  #choose(enabled: readonly Thread[]): Thread {
    if (this.#request.seed !== 0) return at(enabled, this.#prng.below(enabled.length));
    return enabled.find((t) => t.id > this.#last) ?? at(enabled, 0);
  }

  choose(_sched: Sched, _thread: Thread, op: Op): number {
    return this.#request.seed === 0 ? 0 : this.#prng.below(op.choices);
  }

  stepped(_sched: Sched, thread: Thread): void {
    const { ready } = thread.op;
    if (thread.done || ready === null || ready()) return;
    const task = this.world.taskOfThread.get(thread.id);
    if (task === undefined || this.#waiting.has(thread.id)) return;
    this.#waiting.add(thread.id);
    const awaits = awaitedBy(this.world.sched, thread);
    this.#tell((o, now) => o.waits?.(now, task, awaits));
  }

  #result(ending: Ending): RunResult {
    const common = { death: this.#death, waiting: [], oomKills: this.world.oom?.lines ?? [] };
    const group = this.#init?.group;
    if (group?.zombie === true) {
      const status = group.exitStatus ?? 0;
      const signal = status & 0x7f;
      return signal === 0
        ? { ...common, how: 'exit', status: status >> 8 }
        : { ...common, how: 'signal', status: 128 + signal };
    }
    const how = ending === 'stuck' ? 'hang' : 'limit';
    return { ...common, how, status: STATUS_TIMEOUT, waiting: this.waiting() };
  }
}

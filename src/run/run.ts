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
import type { Overrides } from '../kernel/seam.ts';
import { World } from '../kernel/world.ts';
import type { Op } from '../sched/op.ts';
import type { Ending, Oracle, Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';
import { parseElf } from './elf.ts';
import type { GuestContext } from './guest-context.ts';
import { GuestMachine } from './guest-machine.ts';
import { type GuestHooks, guestThread } from './guest-thread.ts';
import { loadProgram, VDSO } from './load.ts';

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
  readonly uid: number;
  readonly engine: 'translator' | 'interpreter';
  /** Patched seams of the profile, from stackPatches. */
  readonly overrides: Overrides | null;
  /** uname -r */
  readonly release: string;
  /** Virtual ns, and instructions, after which the run is ended. */
  readonly timeoutNs: number;
  readonly maxInstructions: number;
  readonly observer: RunObserver;
}

/** What --strace, --trace and --stats listen to. All times are virtual ns. */
export interface RunObserver {
  syscall?(now: number, task: Task, nr: number, args: readonly number[]): void;
  syscallEnd?(now: number, task: Task, nr: number, args: readonly number[], result: number): void;
  fault?(now: number, task: Task, kind: 'read' | 'write' | 'exec', address: number): void;
  faultEnd?(now: number, task: Task, signal: FaultSignal | null): void;
  /** A thread was found waiting: for what. */
  waits?(now: number, task: Task, awaits: string): void;
  /** A process ends by a signal. */
  killed?(now: number, task: Task, info: SigInfo, pc: number): void;
  /** Another thread runs from now on. */
  switched?(now: number, task: Task): void;
}

export interface RunResult {
  /**
   * exit: the program ended by itself, `status` is its own. signal: `status` is 128 plus the signal.
   * hang: nothing can run any more. limit: out of time or instructions.
   */
  readonly how: 'exit' | 'signal' | 'hang' | 'limit';
  readonly status: number;
  readonly instructions: number;
  readonly virtualNs: number;
  readonly peakFrames: number;
  /** For a hang: who waits for what. */
  readonly waiting: readonly { readonly task: string; readonly awaits: string }[];
  /** The signal that killed the program, with a description of where. */
  readonly death: { readonly info: SigInfo; readonly pc: number; readonly vma: string } | null;
}

const HANG_STATUS = 124;
const SIGKILL = 9;
/** Instructions of a slice with seed 0. */
const FIXED_SLICE = 200_000;
/** With a seed: most slices are short enough to cut critical sections, some long enough to get on. */
const SHORT_SLICE = 400;
const LONG_SLICE = 50_000;
/** With a seed, one possible switch inside the kernel in this many is taken. */
const PREEMPT_EVERY = 6;

/** Runs a program. @returns how it ended, or a sentence that says why it could not start */
export function run(request: RunRequest): RunResult | string {
  const elf = parseElf(request.program);
  if (typeof elf === 'string') return elf;
  const guest = new GuestMachine(request);
  const world = new World({
    ...guest.machineOptions(),
    exploring: false,
    overrides: request.overrides,
  });
  enterWorld(world);
  return new Run(request, world, guest).go(elf);
}

class Run implements Oracle {
  readonly #request: RunRequest;
  readonly #world: World;
  readonly #guest: GuestMachine;
  readonly #prng: Prng;
  #instructions = 0;
  #death: RunResult['death'] = null;
  #init: Task | null = null;
  #last = -1;

  constructor(request: RunRequest, world: World, guest: GuestMachine) {
    this.#request = request;
    this.#world = world;
    this.#guest = guest;
    this.#prng = new Prng(request.seed);
    world.console = request.console;
    world.release = request.release;
    world.random = new Prng(request.seed ^ 0x72616e64);
    world.machine.frames.onReuse = (pfn) => guest.engine.invalidateFrame(pfn);
    world.startTask = (task) => this.#start(task, task.regs as GuestContext);
    if (request.seed !== 0) world.sched.preempt = () => this.#prng.below(PREEMPT_EVERY) === 0;
  }

  go(elf: Parameters<typeof loadProgram>[1]['elf']): RunResult | string {
    const { name, args, env, uid } = this.#request;
    const random = Uint8Array.from({ length: 16 }, () => this.#prng.below(256));
    const context = this.#guest.newContext();
    const task = loadProgram(this.#world, { name, elf, args, env, uid, random }, context);
    if (typeof task === 'string') return task;
    this.#init = task;
    this.#world.sched.spawn('rcu', this.#world.rcu.actor(), true);
    this.#start(task, context);
    return this.#result(this.#world.sched.execute(this, Number.MAX_SAFE_INTEGER));
  }

  #start(task: Task, context: GuestContext): void {
    const body = guestThread(this.#guest, task, context, VDSO, this.#hooks());
    const thread = this.#world.sched.spawn(`${task.name} ${task.tid}`, body);
    task.thread = thread;
    this.#world.taskOfThread.set(thread.id, task);
  }

  #hooks(): GuestHooks {
    const { observer } = this.#request;
    const { clock } = this.#world.machine;
    return {
      slice: () => this.#slice(),
      onSyscall: (task, nr, args) => observer.syscall?.(clock.now, task, nr, args),
      onSyscallEnd: (task, nr, args, result) =>
        observer.syscallEnd?.(clock.now, task, nr, args, result),
      onFault: (task, kind, address) => observer.fault?.(clock.now, task, kind, address),
      onFaultEnd: (task, signal) => observer.faultEnd?.(clock.now, task, signal),
      onRetired: (instructions) => {
        this.#instructions += instructions;
      },
      onKill: (task, info, pc) => {
        observer.killed?.(clock.now, task, info, pc);
        if (task.group === this.#init?.group) {
          this.#death ??= { info, pc, vma: this.#describe(task, info.address) };
        }
      },
    };
  }

  #slice(): number {
    const left = this.#request.maxInstructions - this.#instructions;
    if (this.#request.seed === 0) return Math.max(1, Math.min(left, FIXED_SLICE));
    const longest = this.#prng.below(4) === 0 ? SHORT_SLICE : LONG_SLICE;
    return Math.max(1, Math.min(left, 1 + this.#prng.below(longest)));
  }

  pick(_sched: Sched, enabled: readonly Thread[]): Thread | null {
    const { clock } = this.#world.machine;
    if (this.#init?.group.zombie === true) return null;
    if (clock.now > this.#request.timeoutNs) return null;
    if (this.#instructions >= this.#request.maxInstructions) return null;
    const thread = this.#choose(enabled);
    const task = this.#world.taskOfThread.get(thread.id);
    if (task !== undefined) {
      if (thread.id !== this.#last) this.#request.observer.switched?.(clock.now, task);
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
    const { waits } = this.#request.observer;
    if (waits === undefined || thread.done || thread.op.awaits === null) return;
    const task = this.#world.taskOfThread.get(thread.id);
    if (task !== undefined) waits(this.#world.machine.clock.now, task, thread.op.awaits);
  }

  #result(ending: Ending): RunResult {
    const { machine, sched } = this.#world;
    const common = {
      instructions: this.#instructions,
      virtualNs: machine.clock.now,
      peakFrames: machine.frames.peak,
      death: this.#death,
    };
    const group = this.#init?.group;
    if (group?.zombie === true) {
      const status = group.exitStatus ?? 0;
      const signal = status & 0x7f;
      return signal === 0
        ? { ...common, how: 'exit', status: status >> 8, waiting: [] }
        : { ...common, how: 'signal', status: 128 + signal, waiting: [] };
    }
    const waiting = sched
      .waiting()
      .filter((t) => !t.daemon)
      .map((t) => ({ task: t.name, awaits: t.op.awaits ?? `a ${t.op.name}` }));
    return ending === 'stuck'
      ? { ...common, how: 'hang', status: HANG_STATUS, waiting }
      : { ...common, how: 'limit', status: 128 + SIGKILL, waiting };
  }

  /** `7ffff000-7ffff2000 rw-p` around an address, or what lies nearest. */
  #describe(task: Task, address: number): string {
    const vma = task.mm?.vmas.find(address) ?? null;
    if (vma === null) return 'no mapping there';
    return `mapping ${vma.start.toString(16)}-${vma.end.toString(16)}`;
  }
}

/** A compiled test as a program for the explorer: a fresh world, its threads, and how one execution came out. */
import { FaultlineBug, must } from '../base/assert.ts';
import { Checkpoint, reachable } from '../base/checkpoint.ts';
import type { Execution, Program } from '../explore/program.ts';
import { createProcess } from '../kernel/core/create.ts';
import type { Task } from '../kernel/core/task.ts';
import { enterWorld } from '../kernel/current.ts';
import { World } from '../kernel/world.ts';
import { enterSched } from '../sched/current.ts';
import type { Ending, Oracle, Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';
import { spawnActor } from './adversary.ts';
import type { Event, Pos } from './ast.ts';
import type { CompiledTest } from './compile.ts';
import { LitmusError } from './error.ts';
import { spawnFailures } from './fail.ts';
import { checkAll, checkStep, teardown } from './integrity.ts';
import { lostWake } from './lost-wake.ts';
import { PagePromise } from './promise.ts';
import { DataPromise } from './promise-data.ts';
import { SoftDirtyPromise } from './promise-soft-dirty.ts';
import { BrokenRule, RunState } from './state.ts';
import { type Code, showValue } from './statements.ts';
import { spawnThread } from './strands.ts';
import { BLOCKED, type Value } from './values.ts';

/** When integrity is checked. */
export type Checks = 'step' | 'end';

/** How one execution came out. */
export interface Outcome {
  /** Shown registers as text, in the order of `CompiledTest.shown`. */
  readonly values: readonly string[];
  /** Names of final-state rules that it breaks (never that is, always that is not). */
  readonly broken: readonly string[];
  /** Names of `exists` rules that it reaches. */
  readonly reached: readonly string[];
  readonly ending: Ending;
  /** Names of threads that wait for ever and what for. */
  readonly stuck: readonly string[];
}

export class LitmusProgram implements Program<Outcome> {
  readonly compiled: CompiledTest;
  readonly checks: Checks;
  /** Keeps a trace of every step, for diagrams. */
  readonly traced: boolean;
  readonly maxSteps: number;
  /** Builds a World for every execution, instead of putting one back to where its set-up ended. */
  readonly afresh: boolean;
  #run: RunState | null = null;
  #checkpoint: Checkpoint | null = null;

  /** @param traced also: each execution keeps its World, to be looked at later */
  constructor(
    compiled: CompiledTest,
    checks: Checks,
    maxSteps: number,
    traced = false,
    afresh: boolean = traced,
  ) {
    this.compiled = compiled;
    this.checks = checks;
    this.maxSteps = maxSteps;
    this.traced = traced;
    this.afresh = afresh;
  }

  /**
   * The next execution. Unless the program builds everything afresh, the one before it is over with that.
   * @throws LitmusError when a set-up statement fails or waits
   */
  start(): LitmusExecution {
    if (this.afresh) return new LitmusExecution(this, setUp(this.compiled));
    if (this.#run === null) {
      this.#run = setUp(this.compiled);
      this.#checkpoint = checkpoint(this.#run, setUp(this.compiled));
    } else {
      must(this.#checkpoint, 'checkpoint').restore();
    }
    return new LitmusExecution(this, this.#run);
  }

  /** See Checkpoint.leftover; the state as it is now counts. */
  leftover(): string | null {
    this.#checkpoint?.restore();
    return this.#checkpoint?.leftover() ?? null;
  }
}

/** @param other the same, made once more: what they share is no state of either */
function checkpoint(run: RunState, other: RunState): Checkpoint {
  const shared = reachable(other);
  const constants = [...reachable(run)].filter((object) => shared.has(object));
  return new Checkpoint(run, new Set(constants));
}

/** A World whose set-up is done and whose threads have not begun. */
function setUp(compiled: CompiledTest): RunState {
  const { geometry, harts, overrides, swapPages, scope } = compiled;
  const failing = compiled.failures > 0;
  const world = new World({ geometry, harts, exploring: true, overrides, swapPages, failing });
  enterWorld(world);
  const main = createProcess(world, { name: 'main', hart: 0, owner: 0 });
  main.scratch = new Uint8Array(compiled.scratch);
  world.setupTask = main;
  const run = new RunState(world, main, scope.slots);
  const place = (address: number): string => scope.placeName(address);
  for (const name of compiled.promises) {
    if (name === 'data') run.promises.push(new DataPromise(place));
    else if (name === 'soft-dirty') run.promises.push(new SoftDirtyPromise(place));
    else run.promises.push(new PagePromise(name, place));
  }
  makeProcesses(run, compiled);
  for (const { code, pos, process } of compiled.setup) {
    runSetup(run, code, pos, run.taskOf(process));
  }
  world.setupTask = main;
  // Set-up has left its hart: what its TLB remembers is gone, and no flush needs to reach it.
  for (const task of [main, ...run.processes.values()]) {
    world.machine.tlbs[task.hart]?.flushAll();
    task.mmOrDie.harts.delete(task.hart);
  }
  if (compiled.ram !== null) world.machine.frames.free.most = compiled.ram;
  for (const { strand, code } of compiled.threads) spawnThread(run, strand, code);
  for (const [i, actor] of compiled.actors.entries()) {
    spawnActor(run, actor, scope.strands.length + i);
  }
  spawnFailures(run, compiled.failures);
  world.sched.spawn('rcu', () => world.rcu.actor(), true);
  return run;
}

/** The other processes: nothing mapped, descriptors shared, as CLONE_FILES without CLONE_VM has it. */
function makeProcesses(run: RunState, { scope, actors, scratch }: CompiledTest): void {
  for (const [i, name] of scope.processes.entries()) {
    const hart = scope.strands.length + i;
    const owner = hart + actors.length;
    const task = createProcess(run.world, { name, hart, owner }, run.mainTask.files);
    task.scratch = new Uint8Array(scratch);
    run.processes.set(name, task);
  }
}

function runSetup(run: RunState, code: Code, pos: Pos, task: Task): void {
  run.world.setupTask = task;
  try {
    run.world.sched.runAlone(code(run, task));
  } catch (error) {
    if (error instanceof FaultlineBug && error.message.includes('waits for ever')) {
      throw new LitmusError(
        `set-up waits for ever: ${error.message.replace('BUG: ', '')}`,
        pos,
        'nobody else runs yet: put it into a thread',
      );
    }
    throw error;
  }
}

export class LitmusExecution implements Execution<Outcome> {
  readonly sched: Sched;
  readonly run: RunState;
  readonly #compiled: CompiledTest;
  readonly #maxSteps: number;
  readonly #idle: () => boolean;

  constructor(program: LitmusProgram, run: RunState) {
    this.#compiled = program.compiled;
    this.#maxSteps = program.maxSteps;
    this.run = run;
    const { world } = run;
    enterWorld(world);
    this.sched = world.sched;
    this.#idle = this.sched.idle;
    if (program.traced) this.sched.trace = [];
    if (program.checks === 'step') {
      this.sched.afterStep = () => checkStep(world);
    }
  }

  finish(ending: Ending): Outcome {
    enterWorld(this.run.world);
    const { run } = this;
    run.hung = ending === 'stuck';
    run.livelock = ending === 'limit';
    // Failures that came too late strike nobody.
    if (run.world.machine.shortage !== null) run.world.machine.shortage.due = 0;
    const stuck = run.hung ? this.#stuck() : [];
    run.lostWake = run.hung && lostWake(run);
    if (ending === 'done' && this.#compiled.final !== null) this.#finally(this.#compiled.final);
    const values = this.#compiled.shown.map(({ slot }) =>
      showValue(this.#compiled.scope, run.registers[slot]),
    );
    const broken: string[] = [];
    const reached: string[] = [];
    for (const { rule, cond, event } of this.#compiled.rules) {
      const applies = event !== null || ending === 'done' || ending === 'stuck';
      if (!applies || rule.kind === 'promise') continue;
      const holds = event !== null ? this.#happened(event) : must(cond, 'condition')(run);
      if (rule.kind === 'exists') {
        if (holds) reached.push(rule.name);
      } else if (holds === (rule.kind === 'never')) {
        broken.push(rule.name);
      }
    }
    if (ending === 'done') {
      checkAll(run.world);
      teardown(run);
    }
    return { values, broken, reached, ending, stuck };
  }

  #happened(event: Event): boolean {
    if (event === 'hang') return this.run.hung;
    if (event === 'livelock') return this.run.livelock;
    return event === 'lost-wake' && this.run.lostWake;
  }

  #stuck(): string[] {
    return this.sched
      .waiting()
      .filter((t) => !t.daemon)
      .map((t) => `${t.name} waits for ${t.op.awaits ?? 'a lock'}`);
  }

  /**
   * Runs `finally` on the main task with the daemons still there to serve it: one fixed order, not explored. A
   * statement that never comes back leaves `BLOCKED` in its register.
   */
  #finally(code: Code): void {
    const { sched, run } = this;
    const { world } = run;
    sched.idle = this.#idle;
    sched.exploring = false;
    world.machine.frames.free.most = Number.POSITIVE_INFINITY;
    run.mainTask.mm?.harts.add(0);
    const thread = sched.spawn('finally', code(run, run.mainTask));
    world.taskOfThread.set(thread.id, run.mainTask);
    run.threads[this.#compiled.scope.last.index] = thread;
    const ending = sched.execute(new FinallyFirst(thread), sched.steps + this.#maxSteps);
    if (ending !== 'done') {
      for (const slot of this.#compiled.scope.last.registers.values()) {
        run.registers[slot] ??= BLOCKED as Value;
      }
    }
    enterSched(sched);
  }
}

/** Runs one thread whenever it can run, else the first other. */
class FinallyFirst implements Oracle {
  readonly #thread: Thread;
  constructor(thread: Thread) {
    this.#thread = thread;
  }
  pick(_sched: Sched, enabled: readonly Thread[]): Thread {
    return enabled.includes(this.#thread) ? this.#thread : must(enabled[0], 'thread');
  }
  choose(): number {
    return 0;
  }
  stepped(): void {}
}

/** Whether an error says that a step broke a rule, rather than that we have a bug. */
export function brokenBy(error: unknown, patched: boolean): BrokenRule | null {
  if (error instanceof BrokenRule) return error;
  if (!patched || !(error instanceof Error)) return null;
  // A bug that a patch puts back may well trip one of the kernel's own assertions: that is finding it.
  if (error instanceof FaultlineBug || error.message.startsWith('BUG')) {
    return new BrokenRule('assert', error.message);
  }
  return null;
}

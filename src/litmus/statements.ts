/** Statements to code that runs on a task: control flow, registers, and the step notes that diagrams are made of. */
import { must } from '../base/assert.ts';
import { forkTask } from '../kernel/core/create.ts';
import type { Task } from '../kernel/core/task.ts';
import { machine } from '../machine/current.ts';
import { READ } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import type { Steps } from '../sched/op.ts';
import type { Operand, Statement } from './ast.ts';
import { type Call, compileSyscall, hasSyscall, resultOf, syscallNames } from './calls.ts';
import { compileCond } from './conditions.ts';
import { didYouMean, LitmusError, notYet } from './error.ts';
import { LATER } from './later.ts';
import { withLifting } from './lifting.ts';
import { compileMap } from './map.ts';
import { evalOf, looksLikePlace, rangeOf } from './operands.ts';
import { showCond, showStatement } from './print.ts';
import { contentEffect, DataPromise } from './promise-data.ts';
import { childName, type Scope, type Strand } from './scope.ts';
import type { RunState } from './state.ts';
import { showMessage, type Value } from './values.ts';
import { VERBS } from './verbs.ts';
import { namesFile } from './verbs-file.ts';

/** 'break' leaves the innermost loop; 'killed' ends the thread: the OOM killer has chosen its process. */
export type Flow = 'on' | 'break' | 'killed';
export type Code = (run: RunState, task: Task) => Steps<Flow>;

export class Compiler {
  readonly scope: Scope;
  /** Gives a child its thread. */
  readonly spawnChild: (run: RunState, strand: Strand, child: Task, code: Code) => void;

  constructor(
    scope: Scope,
    spawnChild: (run: RunState, strand: Strand, child: Task, code: Code) => void,
  ) {
    this.scope = scope;
    this.spawnChild = spawnChild;
  }

  block(body: readonly Statement[], strand: Strand, inLoop = false): Code {
    const parts = body.map((s) => this.statement(s, strand, inLoop));
    const [only] = parts;
    // Whatever resumes a thread goes through every generator on the way.
    if (parts.length === 1 && only !== undefined) return only;
    return function* (run, task) {
      for (const part of parts) {
        const flow = yield* part(run, task);
        if (flow !== 'on') return flow;
      }
      return 'on';
    };
  }

  statement(s: Statement, strand: Strand, inLoop: boolean): Code {
    switch (s.kind) {
      case 'break':
        if (!inLoop) {
          throw new LitmusError('`break` stands outside a loop', s.pos, 'loop { … break }');
        }
        return function* () {
          return 'break';
        };
      case 'loop':
        return this.#loop(s, strand);
      case 'on':
        return this.#on(s, strand, inLoop);
      case 'set':
        return this.#set(s, strand);
      case 'call':
        return this.#call(s, strand);
    }
  }

  #loop(s: Statement & { readonly kind: 'loop' }, strand: Strand): Code {
    if (s.body.length === 0) {
      throw new LitmusError('a loop without statements never ends', s.pos, 'put a read into it');
    }
    const body = this.block(s.body, strand, true);
    const times = s.times ?? Number.POSITIVE_INFINITY;
    return function* (run, task) {
      for (let i = 0; i < times; i++) {
        const flow = yield* body(run, task);
        if (flow === 'break') break;
        if (flow === 'killed') return flow;
      }
      return 'on';
    };
  }

  #on(s: Statement & { readonly kind: 'on' }, strand: Strand, inLoop: boolean): Code {
    const cond = compileCond(this.scope, strand, s.cond);
    const then = this.block(s.body, strand, inLoop);
    const otherwise = this.block(s.otherwise, strand, inLoop);
    const text = showCond(s.cond);
    return function* (run, task) {
      const yes = cond(run);
      if (yes) sched.note(() => `on ${text}`);
      return yield* yes ? then(run, task) : otherwise(run, task);
    };
  }

  #set(s: Statement & { readonly kind: 'set' }, strand: Strand): Code {
    const { value } = s;
    if (isNegativeCall(this.scope, strand, value)) {
      const { name, plus, pos } = value;
      const operand: Operand = { kind: 'number', value: plus, plus: 0, pos };
      return this.#call(
        { kind: 'call', into: s.into, verb: name, operands: [operand], block: null, pos },
        strand,
      );
    }
    const get = looksLikePlace(this.scope, value)
      ? rangeOf(this.scope, strand, value).start
      : evalOf(this.scope, strand, value);
    const slot = this.scope.slotToWrite(strand, s.into);
    const note = `${s.into} = `;
    const { scope } = this;
    return function* (run) {
      run.registers[slot] = get(run);
      sched.note(() => note + showValue(scope, run.registers[slot]));
      return 'on';
    };
  }

  #call(s: Statement & { readonly kind: 'call' }, strand: Strand): Code {
    if (
      s.into !== null &&
      s.operands.length === 0 &&
      s.block === null &&
      isRegister(this.scope, s.verb)
    ) {
      const value: Operand = { kind: 'word', name: s.verb, plus: 0, pos: s.pos };
      return this.#set({ kind: 'set', into: s.into, value, pos: s.pos }, strand);
    }
    const call = this.#telling(s, strand, this.#verb(s, strand));
    const slot = s.into === null ? null : this.scope.slotToWrite(strand, s.into);
    const text = showStatement({ ...s, into: null, block: null });
    const { scope } = this;
    const setup = strand.kind === 'setup';
    return function* (run, task) {
      sched.note(() => `» ${text}`);
      const value = yield* call(run, task);
      if (slot !== null) run.registers[slot] = value;
      else if (setup) refuseFailure(value, text, s);
      if (s.into !== null || value !== 0) {
        sched.note(() => `${s.into ?? text} = ${showValue(scope, value)}`);
      }
      return killed(task) ? 'killed' : 'on';
    };
  }

  /** Tells the watcher of contents of a call that may change them. */
  #telling(s: Statement & { readonly kind: 'call' }, strand: Strand, call: Call): Call {
    const effect = contentEffect(s);
    if (effect === 'none' || s.verb === 'fork') return call;
    const [first] = s.operands;
    const drops = effect === 'drops' && first !== undefined && looksLikePlace(this.scope, first);
    const range = drops ? rangeOf(this.scope, strand, first) : null;
    return function* (run, task) {
      const watcher = dataPromise(run);
      if (watcher === null) return yield* call(run, task);
      const since = watcher.upset();
      const value = yield* call(run, task);
      const done = range !== null && value === 0;
      watcher.calm(task, since, done ? [range.start(run), range.length(run)] : null);
      return value;
    };
  }

  #verb(s: Statement & { readonly kind: 'call' }, strand: Strand): Call {
    const { verb, operands, pos } = s;
    const { scope } = this;
    if (verb === 'fork') return this.#fork(s);
    if (s.block !== null) {
      const hint = didYouMean(verb, ['thread', 'daemon', 'finally', 'fork', 'loop', 'on']);
      throw new LitmusError(`${verb} takes no block`, pos, hint);
    }
    if (verb === 'map') return compileMap({ scope, strand, operands, pos });
    const known = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
    const file = namesFile({ scope, operands });
    // With a buffer it is the system call, and so is a write to anything but a memfd.
    const plain = (verb === 'read' && operands.length > 1) || verb === 'write';
    if (known !== undefined && (file || !plain)) {
      return known.compile({ scope, strand, operands, pos });
    }
    const later = Object.hasOwn(LATER, verb) ? LATER[verb] : undefined;
    if (later !== undefined) throw notYet(later, pos);
    if (!hasSyscall(verb)) {
      const words = [...Object.keys(VERBS), 'map', 'fork', ...syscallNames()];
      throw new LitmusError(
        `there is no statement or system call ${verb}`,
        pos,
        didYouMean(verb, words, 'docs/litmus.md lists them'),
      );
    }
    const call = compileSyscall(scope, strand, verb, operands, pos);
    return withLifting(scope, strand, s, call);
  }

  #fork(s: Statement & { readonly kind: 'call' }): Call {
    if (s.block === null) {
      throw new LitmusError('`fork` wants a block', s.pos, 'fork child { r0 = load A[0] }');
    }
    const name = childName(s.operands, s.pos);
    const child = must(this.scope.strandNamed(name), `strand ${name}`);
    const code = this.block(s.block, child);
    const { spawnChild } = this;
    return function* (run, task) {
      const watcher = dataPromise(run);
      const since = watcher?.changesSoFar ?? 0;
      const made = yield* forkTask(task, { name, hart: child.index, owner: child.index });
      if (typeof made === 'number') return resultOf(made);
      watcher?.forked(task.mmOrDie, made.mmOrDie, since);
      spawnChild(run, child, made, code);
      return made.tid;
    };
  }
}

/** Only where memory was made short is there anybody who kills. */
function killed({ thread }: Task): boolean {
  if (thread === null || !machine.frames.free.scarce) return false;
  sched.touch(sched.signalCell(thread), READ);
  return thread.signal === 'fatal';
}

/** `r = close -1`: the parser cannot tell it from a difference, the names can. */
function isNegativeCall(
  scope: Scope,
  strand: Strand,
  value: Operand,
): value is Operand & { readonly kind: 'word' } {
  return (
    value.kind === 'word' &&
    value.plus < 0 &&
    scope.slotToRead(strand, value.name, value.pos) === null &&
    hasSyscall(value.name)
  );
}

function dataPromise(run: RunState): DataPromise | null {
  return run.promises.find((p) => p instanceof DataPromise) ?? null;
}

function isRegister(scope: Scope, name: string): boolean {
  return scope.registerNames().has(name) && !hasSyscall(name);
}

/** In set-up a call that fails and whose result nobody keeps is a mistake of the file. */
function refuseFailure(value: Value, text: string, s: Statement): void {
  if (typeof value !== 'string' || !/^(E[A-Z0-9]+|SEGV|BUS)$/.test(value)) return;
  throw new LitmusError(
    `set-up fails: ${text} gives ${value}`,
    s.pos,
    'if that is what the test is about, keep the result: r = …',
  );
}

export function showValue(scope: Scope, value: Value): string {
  if (value === undefined) return 'unset';
  if (typeof value === 'object') return showMessage(value, (a) => scope.placeName(a));
  if (typeof value === 'number' && value >= 4096) return scope.placeName(value);
  return String(value);
}

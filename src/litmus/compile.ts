/** A test made ready to run as one variant: code for every strand, its rules, the world it needs. */
import { must } from '../base/assert.ts';
import { CHECKS } from '../kernel/check/table.ts';
import type { Overrides } from '../kernel/seam.ts';
import { type Geometry, LITMUS_GEOMETRY } from '../machine/geometry.ts';
import { type Actor, compileActors, isAdversary, usesSwap } from './adversary.ts';
import type { Event, LitmusTest, Pos, Rule } from './ast.ts';
import { compileCond } from './conditions.ts';
import { configCode, isConfig } from './config.ts';
import { didYouMean, LitmusError, notYet } from './error.ts';
import { failuresOf, isFail } from './fail.ts';
import type { Eval } from './operands.ts';
import { PROMISES, type PromiseName } from './promise.ts';
import { Scope, type Strand } from './scope.ts';
import { scratchBytes } from './scratch.ts';
import { type Code, Compiler } from './statements.ts';
import { spawnChild } from './strands.ts';
import { holdsFor, type Variant } from './versions.ts';

export interface CompiledRule {
  readonly rule: Rule;
  /** Null for events and promises. */
  readonly cond: Eval<boolean> | null;
  readonly event: Event | null;
}

export interface CompiledSetup {
  readonly pos: Pos;
  /** Null: the main process. */
  readonly process: string | null;
  readonly code: Code;
}

export interface CompiledTest {
  readonly test: LitmusTest;
  readonly variant: Variant;
  readonly overrides: Overrides | null;
  readonly scope: Scope;
  readonly geometry: Geometry;
  readonly harts: number;
  readonly scratch: number;
  readonly setup: readonly CompiledSetup[];
  readonly threads: readonly { readonly strand: Strand; readonly code: Code }[];
  /** Background actors; they come behind the strands. */
  readonly actors: readonly Actor[];
  /** Pages that may be in use at once while threads run; null: as many as are wanted. */
  readonly ram: number | null;
  /** Pages of the swap device; 0: none. */
  readonly swapPages: number;
  /** Allocations that may fail. */
  readonly failures: number;
  readonly final: Code | null;
  readonly rules: readonly CompiledRule[];
  readonly promises: readonly PromiseName[];
  /** Registers that the table of outcomes shows. */
  readonly shown: readonly { readonly name: string; readonly slot: number }[];
}

/** Names by which expectations speak of what is always checked. */
export const ALWAYS_ON: readonly string[] = ['hang', 'lost-wake', 'livelock', 'leak', 'assert'];
/** What a test may have at most: every strand takes a hart. */
const MAX_STRANDS = 14;
const LATER_PROMISES: readonly string[] = [
  'mode',
  'fork',
  'zap',
  'tlb',
  'notify',
  'wake',
  'own',
  'api',
  'obs',
];

/** @throws LitmusError */
export function compileTest(
  test: LitmusTest,
  variant: Variant,
  overrides: Overrides | null,
): CompiledTest {
  const scope = new Scope(test);
  if (scope.strands.length + scope.processes.length > MAX_STRANDS) {
    const pos = must(test.threads[test.threads.length - 1], 'thread').pos;
    throw new LitmusError(`more than ${MAX_STRANDS - 2} threads`, pos, 'leave some out');
  }
  const compiler = new Compiler(scope, spawnChild);
  const setup = test.setup
    .filter((s) => !isAdversary(s) && !isFail(s))
    .map((s) => ({
      pos: s.pos,
      process: s.process ?? null,
      code: isConfig(s)
        ? configCode(s, variant)
        : compiler.statement(s, scope.setupOf(s.process ?? null), false),
    }));
  if (test.threads.length === 0) {
    const pos = { line: 1, column: 1 };
    throw new LitmusError('the test has no thread', pos, 'thread NAME { statements }');
  }
  const threads = scope.strands
    .filter((s) => s.kind === 'thread')
    .map((strand) => ({ strand, code: compiler.block(strand.body, strand) }));
  const actors = compileActors(test, scope);
  const final = test.finally.length === 0 ? null : compiler.block(test.finally, scope.last);
  const rules = compileRules(test, scope, variant);
  checkExpectations(test);
  return {
    test,
    variant,
    overrides,
    scope,
    geometry: geometryOf(test, scope, actors.length),
    harts: scope.strands.length + scope.processes.length,
    scratch: scratchBytes(largestRegion(scope), LITMUS_GEOMETRY.contentBytes),
    setup,
    threads,
    actors,
    swapPages: usesSwap(test) ? swapPagesOf(scope) : 0,
    failures: failuresOf(test),
    ram: test.geometry.find(({ key }) => key === 'ram')?.value ?? null,
    final,
    rules,
    promises: promisesOf(rules),
    shown: shownRegisters(test, scope),
  };
}

function compileRules(test: LitmusTest, scope: Scope, variant: Variant): CompiledRule[] {
  const compiled: CompiledRule[] = [];
  const names = new Set<string>();
  for (const rule of test.rules) {
    const key = `${rule.name} ${rule.when === null ? '' : JSON.stringify(rule.when)}`;
    if (names.has(key)) {
      throw new LitmusError(`a second rule called "${rule.name}"`, rule.pos, 'rename one');
    }
    names.add(key);
    const { subject } = rule;
    if (subject.kind === 'promise') checkPromise(subject.promise, rule.pos);
    const cond = subject.kind === 'cond' ? compileCond(scope, null, subject.cond) : null;
    const event = subject.kind === 'event' ? subject.event : null;
    if (holdsFor(rule.when, variant)) compiled.push({ rule, cond, event });
  }
  return compiled;
}

function checkPromise(name: string, pos: Pos): void {
  const known: readonly string[] = PROMISES;
  if (known.includes(name)) return;
  if (LATER_PROMISES.includes(name)) {
    throw notYet(`promise ${name}`, pos, `there is: promise ${known.join(', ')}`);
  }
  throw new LitmusError(
    `no promise is called ${name}`,
    pos,
    didYouMean(name, [...known, ...LATER_PROMISES]),
  );
}

function promisesOf(rules: readonly CompiledRule[]): PromiseName[] {
  return PROMISES.filter((name) =>
    rules.some(({ rule: { subject } }) => subject.kind === 'promise' && subject.promise === name),
  );
}

function checkExpectations(test: LitmusTest): void {
  const names = new Set([
    ...test.rules.map((r) => r.name),
    ...ALWAYS_ON,
    ...CHECKS.map((c) => c.name),
  ]);
  for (const { breaks, pos } of test.expectations) {
    const unknown = breaks.find((name) => !names.has(name));
    if (unknown === undefined) continue;
    throw new LitmusError(`no rule is called "${unknown}"`, pos, didYouMean(unknown, names));
  }
}

function largestRegion(scope: Scope): number {
  let pages = 1;
  for (const region of scope.regions.values()) pages = Math.max(pages, region.pages);
  return pages;
}

/** Room enough that the device is never half full: then Linux frees slots early. */
function swapPagesOf(scope: Scope): number {
  let pages = 0;
  for (const region of scope.regions.values()) pages += region.pages;
  return 4 * pages + 4;
}

/** Every strand allocates from a list of its own; each list is large enough for every page twice. */
function geometryOf(test: LitmusTest, scope: Scope, actors: number): Geometry {
  let pages = 0;
  for (const region of scope.regions.values()) pages += region.pages;
  // The last is the OOM reaper's.
  const short = test.geometry.some(({ key }) => key === 'ram');
  const owners = scope.strands.length + actors + scope.processes.length + (short ? 1 : 0);
  const base = {
    ...LITMUS_GEOMETRY,
    owners,
    frames: 2 + owners * Math.max(8, pages * 2 + 4),
    tablesPerOwner: Math.max(8, Math.ceil(pages / 2) + 6),
  };
  const asked: Record<string, number> = {};
  for (const { key, value, pos } of test.geometry) {
    if (key === 'ram') continue;
    const field = GEOMETRY_KEYS[key];
    if (field === undefined) {
      throw new LitmusError(
        `geometry knows no ${key}`,
        pos,
        didYouMean(key, [...Object.keys(GEOMETRY_KEYS), 'ram']),
      );
    }
    if (!Number.isInteger(Math.log2(value)) || value < 2 || value > 512) {
      throw new LitmusError(`${key} must be a power of two from 2 to 512`, pos, `${key} 4`);
    }
    asked[field] = value;
  }
  return { ...base, ...asked };
}

export const GEOMETRY_KEYS: Readonly<Record<string, keyof Geometry>> = {
  table: 'ptrsPerPte',
  hugepage: 'ptrsPerPte',
  pmds: 'ptrsPerPmd',
};

/** Registers of threads and of `finally`; of daemons only those that a rule names; never those that hold messages. */
function shownRegisters(
  test: LitmusTest,
  scope: Scope,
): { readonly name: string; readonly slot: number }[] {
  const named = wordsOf(JSON.stringify(test.rules.map((r) => r.subject)));
  const messages = new Set<string>();
  collectMessages(JSON.stringify(test), scope.memfds, messages);
  const shown: { name: string; slot: number }[] = [];
  for (const strand of scope.strands) {
    for (const [name, slot] of strand.registers) {
      if (messages.has(name)) continue;
      const full = `${strand.name}.${name}`;
      if (strand.daemon && !named.has(name) && !named.has(full)) continue;
      const unique = scope.strands.filter((s) => s.registers.has(name)).length === 1;
      shown.push({ name: unique ? name : full, slot });
    }
  }
  return shown;
}

function wordsOf(json: string): Set<string> {
  const words = new Set<string>();
  for (const [, word] of json.matchAll(/"name":"([^"]+)"/g))
    if (word !== undefined) words.add(word);
  for (const [, base, member] of json.matchAll(/"base":"([^"]+)","member":"([^"]+)"/g)) {
    words.add(`${base}.${member}`);
  }
  return words;
}

/** What is read from a memfd is a number. */
function collectMessages(json: string, memfds: ReadonlySet<string>, into: Set<string>): void {
  const reads = /"into":"([^"]+)","verb":"read","operands":\[\{"kind":"word","name":"([^"]+)"/g;
  for (const [, name, file] of json.matchAll(reads)) {
    if (name !== undefined && file !== undefined && !memfds.has(file)) into.add(name);
  }
}

/** Explores one test as one variant and judges it against what the file expects. */
import { type Explored, explore, type Seen, type StrategyName } from '../explore/explore.ts';
import { encodeSchedule, type Schedule } from '../explore/schedule.ts';
import { HeardOverrides, type Overrides, type Patch, stackPatches } from '../kernel/seam.ts';
import type { LitmusTest } from './ast.ts';
import { type CompiledTest, compileTest } from './compile.ts';
import { LitmusError } from './error.ts';
import { hashOf, replayId } from './replay-id.ts';
import { brokenBy, type Checks, LitmusProgram, type Outcome } from './run-litmus.ts';
import { isAbout, type Variant } from './versions.ts';

export interface CheckOptions {
  readonly strategy: StrategyName;
  readonly checks: Checks;
  /** Executions. */
  readonly max: number;
  /** Steps of one execution. */
  readonly maxSteps: number;
  readonly seed: number;
  readonly bound: number | null;
  /** Told now and then how many executions have been seen. */
  readonly progress: ((executions: number) => void) | null;
}

export const DEFAULT_OPTIONS: CheckOptions = {
  strategy: 'dpor',
  checks: 'step',
  max: 100_000,
  maxSteps: 5_000,
  seed: 1,
  bound: null,
  progress: null,
};

/** One way an execution can come out, and how often it was seen. */
export interface OutcomeRow {
  readonly values: readonly string[];
  count: number;
  readonly ending: Outcome['ending'];
  /** Threads that wait for ever. */
  readonly stuck: readonly string[];
  readonly broken: readonly string[];
  readonly replay: string;
}

/** A rule that some execution breaks. */
export interface BrokenRow {
  readonly rule: string;
  expected: boolean;
  count: number;
  /** What the step that broke it says; empty for final states. */
  readonly detail: string;
  /** Of the execution with the fewest context switches seen. */
  readonly switches: number;
  readonly steps: number;
  readonly schedule: Schedule;
  readonly replay: string;
}

/**
 * holds: nothing broke that may not. expected: exactly what the file says breaks did. broken: something else did, or
 * an expected break or an `exists` did not happen. bound: nothing broke, but not everything was seen.
 * skipped: this kernel version cannot run the set-up.
 */
export type Verdict = 'holds' | 'expected' | 'broken' | 'bound' | 'sampled' | 'skipped';

export interface VariantReport {
  readonly test: LitmusTest;
  readonly variant: Variant;
  readonly verdict: Verdict;
  /** Why, where the verdict alone does not say it. */
  readonly remarks: readonly string[];
  readonly explored: Explored;
  readonly shown: readonly string[];
  readonly outcomes: readonly OutcomeRow[];
  readonly broken: readonly BrokenRow[];
  /** Rules that the file expects to break under this variant. */
  readonly expected: readonly string[];
  /** Rules that were expected to break and did not, and `exists` that were not reached. */
  readonly missed: readonly string[];
  readonly hash: string;
  /** The variant whose executions these are: this one's are the same, step by step. Null: its own. */
  readonly sharedWith: Variant | null;
}

/** After an expected break is found, how many more executions are looked at for one with fewer context switches. */
const LOOK_ON = 2_000;

/** Builds the table of overrides. @throws LitmusError */
export function overridesOf(patches: readonly Patch[]): Overrides | null {
  const stacked = stackPatches(patches);
  if (typeof stacked !== 'string') return stacked;
  throw new LitmusError(stacked, { line: 0, column: 0 });
}

/**
 * @param patches what the variant stands for: the profile's, then those put back
 * @param optional true: a set-up that fails means that this version cannot run the test
 * @param heard told of every seam that is called, and more than once
 * @throws LitmusError
 */
export function checkVariant(
  test: LitmusTest,
  variant: Variant,
  patches: readonly Patch[],
  options: CheckOptions,
  optional: boolean,
  heard: ((seam: string) => void) | null = null,
): VariantReport {
  const overrides = overridesOf(patches);
  const table = heard === null ? overrides : new HeardOverrides(overrides, heard);
  const compiled = compileTest(test, variant, table);
  const program = new LitmusProgram(compiled, options.checks, options.maxSteps);
  const search = new Search(compiled, options, variant.patches.length > 0);
  try {
    program.start();
  } catch (error) {
    if (optional && error instanceof LitmusError) return skipped(search, error);
    throw error;
  }
  const explored = explore(program, exploreOptions(options), (seen) => search.see(seen));
  return search.report(explored);
}

function exploreOptions(options: CheckOptions): Parameters<typeof explore>[1] {
  const { strategy, max, maxSteps, seed, bound } = options;
  const base = { strategy, maxExecutions: max, maxSteps, seed };
  return bound === null ? base : { ...base, bound };
}

/** What one search has seen so far. */
class Search {
  readonly compiled: CompiledTest;
  readonly hash: string;
  readonly expected: ReadonlySet<string>;
  readonly #options: CheckOptions;
  readonly #patched: boolean;
  readonly #outcomes: Map<string, OutcomeRow> = new Map();
  readonly #broken: Map<string, BrokenRow> = new Map();
  readonly #reached: Set<string> = new Set();
  #seen = 0;
  #lookUntil = Number.POSITIVE_INFINITY;

  constructor(compiled: CompiledTest, options: CheckOptions, patched: boolean) {
    this.compiled = compiled;
    this.#options = options;
    this.#patched = patched;
    const { test, variant } = compiled;
    this.hash = hashOf(test, variant);
    this.expected = new Set(
      test.expectations.filter((e) => isAbout(e.when, variant)).flatMap((e) => e.breaks),
    );
  }

  see(seen: Seen<Outcome>): 'stop' | undefined {
    this.#seen++;
    if (this.#seen % 32 === 0) this.#options.progress?.(this.#seen);
    const { outcome } = seen;
    if (outcome === null) {
      const broken = brokenBy(seen.error, this.#patched);
      if (broken === null) throw seen.error;
      this.#breaks(broken.rule, broken.message, seen);
    } else {
      this.#count(outcome, seen);
      for (const rule of outcome.reached) this.#reached.add(rule);
      for (const rule of outcome.broken) this.#breaks(rule, '', seen);
    }
    return this.#seen >= this.#lookUntil ? 'stop' : undefined;
  }

  #count(outcome: Outcome, seen: Seen<Outcome>): void {
    const key = `${outcome.values.join('\0')}\0${outcome.ending}\0${outcome.broken.join('\0')}`;
    const row = this.#outcomes.get(key);
    if (row !== undefined) {
      row.count++;
      return;
    }
    const { values, ending, stuck, broken } = outcome;
    const replay = replayId(this.hash, encodeSchedule(seen.schedule()));
    this.#outcomes.set(key, { values, count: 1, ending, stuck, broken, replay });
  }

  #breaks(rule: string, detail: string, seen: Seen<Outcome>): void {
    const row = this.#broken.get(rule);
    const { switches, steps } = seen;
    const better =
      row === undefined ||
      switches < row.switches ||
      (switches === row.switches && steps < row.steps);
    if (row !== undefined) row.count++;
    if (!better) return;
    const schedule = seen.schedule();
    const replay = replayId(this.hash, encodeSchedule(schedule));
    const expected = this.expected.has(rule);
    const count = row?.count ?? 1;
    this.#broken.set(rule, { rule, expected, count, detail, switches, steps, schedule, replay });
    if (this.expected.size > 0 && [...this.expected].every((name) => this.#broken.has(name))) {
      this.#lookUntil = Math.min(this.#lookUntil, this.#seen + LOOK_ON);
    }
  }

  report(explored: Explored): VariantReport {
    const { test, variant, rules } = this.compiled;
    const broken = [...this.#broken.values()];
    const whole = explored.stoppedBy === 'exhausted' && this.#options.bound === null;
    const sampled = this.#options.strategy === 'random';
    const wanted = rules.filter((r) => r.rule.kind === 'exists').map((r) => r.rule.name);
    const unreached = wanted.filter((name) => !this.#reached.has(name));
    // An `exists` that is expected to break is one that is not reached.
    const never = whole ? unreached : [];
    const unbroken = [...this.expected].filter(
      (name) => !this.#broken.has(name) && !never.includes(name),
    );
    const missed = whole
      ? [...unreached.filter((name) => !this.expected.has(name)), ...unbroken]
      : [];
    const remarks = this.#remarks(explored, whole);
    const limited = explored.limited > 0 || !whole;
    return {
      test,
      variant,
      verdict: verdictOf(broken, missed, this.expected, sampled, limited, unreached, unbroken),
      remarks,
      explored,
      shown: this.compiled.shown.map((s) => s.name),
      outcomes: [...this.#outcomes.values()],
      broken,
      expected: [...this.expected],
      missed,
      hash: this.hash,
      sharedWith: null,
    };
  }

  #remarks(explored: Explored, whole: boolean): string[] {
    const remarks: string[] = [];
    const hangs = [...this.#outcomes.values()].filter((o) => o.ending === 'stuck');
    const speaksOfHangs = this.compiled.rules.some((r) => r.event !== null);
    if (hangs.length > 0 && !speaksOfHangs) {
      const count = hangs.reduce((sum, o) => sum + o.count, 0);
      remarks.push(`${count} executions hang, and no rule speaks of it (never hang)`);
    }
    const speaksOfLivelock = this.compiled.rules.some((r) => r.event === 'livelock');
    if (explored.limited > 0 && !speaksOfLivelock) {
      remarks.push(
        `${explored.limited} executions were broken off after ${this.#options.maxSteps} steps: a livelock, or longer than that`,
      );
    }
    if (!whole && explored.stoppedBy === 'executions' && this.#options.strategy !== 'random') {
      remarks.push(`stopped after ${explored.executions} executions (--max)`);
    }
    if (this.#options.bound !== null) remarks.push(`bounded to ${this.#options.bound} preemptions`);
    return remarks;
  }
}

function verdictOf(
  broken: readonly BrokenRow[],
  missed: readonly string[],
  expected: ReadonlySet<string>,
  sampled: boolean,
  limited: boolean,
  unreached: readonly string[],
  unbroken: readonly string[],
): Verdict {
  if (broken.some((b) => !b.expected) || missed.length > 0) return 'broken';
  if (expected.size > 0 && unbroken.length === 0) return 'expected';
  if (sampled) return 'sampled';
  if (limited || unreached.length > 0) return 'bound';
  return 'holds';
}

function skipped(search: Search, error: LitmusError): VariantReport {
  const explored: Explored = {
    executions: 0,
    blocked: 0,
    steps: 0,
    failures: 0,
    limited: 0,
    exhausted: false,
    stoppedBy: 'caller',
  };
  const { test, variant } = search.compiled;
  return {
    test,
    variant,
    verdict: 'skipped',
    remarks: [`this version cannot run it: line ${error.pos.line}: ${error.message}`],
    explored,
    shown: [],
    outcomes: [],
    broken: [],
    expected: [],
    missed: [],
    hash: search.hash,
    sharedWith: null,
  };
}

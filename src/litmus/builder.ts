/**
 * Litmus tests in TypeScript: the same AST as a `.flt` file, built by calls. A statement is written as in a file, one
 * string each; structure (threads, loops, conditions) is TypeScript.
 *
 *   const test = litmus('first-touch')
 *     .setup('map A 1 page anon rw private', 'uffd U', 'register U A missing')
 *     .thread('vcpu', 'r0 = load A[0]')
 *     .daemon('handler', loop('e = read U', on('e.missing', 'copy U e.page from 42')))
 *     .never('other data', 'r0 != 42')
 *     .never('hang');
 *   expect(test.check().outcomes()).toEqual(['r0=42']);
 */
import { must } from '../base/assert.ts';
import type { Cond, LitmusTest, Rule, Statement } from './ast.ts';
import { type CheckOptions, DEFAULT_OPTIONS, type VariantReport } from './check.ts';
import { parseLitmus } from './parse.ts';
import { showTest } from './print.ts';
import { type Asked, checkTest, FILE_DECIDES, runVariant } from './suite.ts';

/** A statement as text, or one that holds others. */
export type Part = string | readonly Statement[];

/** `loop { … }`, or `loop n { … }` when the first argument is a number. */
export function loop(...parts: readonly (Part | number)[]): readonly Statement[] {
  const [times, ...rest] = parts;
  const body = (typeof times === 'number' ? rest : parts) as readonly Part[];
  const pos = { line: 0, column: 0 };
  return [
    {
      kind: 'loop',
      times: typeof times === 'number' ? times : null,
      body: statements(body),
      pos,
    },
  ];
}

/** `on cond { … }`. */
export function on(cond: string, ...parts: readonly Part[]): readonly Statement[] {
  const pos = { line: 0, column: 0 };
  return [{ kind: 'on', cond: condition(cond), body: statements(parts), otherwise: [], pos }];
}

/** `on cond { … } else { … }`. */
export function onElse(
  cond: string,
  then: readonly Part[],
  otherwise: readonly Part[],
): readonly Statement[] {
  const pos = { line: 0, column: 0 };
  const c = condition(cond);
  return [{ kind: 'on', cond: c, body: statements(then), otherwise: statements(otherwise), pos }];
}

/** Begins a test. Every method gives a new builder; none changes the one it is called on. */
export function litmus(name: string, title = ''): LitmusBuilder {
  return new LitmusBuilder({
    name,
    title,
    geometry: [],
    setup: [],
    threads: [],
    finally: [],
    rules: [],
    expectations: [],
  });
}

export class LitmusBuilder {
  readonly test: LitmusTest;

  constructor(test: LitmusTest) {
    this.test = test;
  }

  /** Statements before any thread runs. */
  setup(...parts: readonly Part[]): LitmusBuilder {
    return this.#with({ setup: [...this.test.setup, ...statements(parts)] });
  }

  thread(name: string, ...parts: readonly Part[]): LitmusBuilder {
    return this.#thread(name, false, parts);
  }

  /** A thread that may wait for ever. */
  daemon(name: string, ...parts: readonly Part[]): LitmusBuilder {
    return this.#thread(name, true, parts);
  }

  /** Statements after all threads have ended. */
  finally(...parts: readonly Part[]): LitmusBuilder {
    return this.#with({ finally: [...this.test.finally, ...statements(parts)] });
  }

  /** `never('stale', 'r0 == 1')`, or `never('hang')`. */
  never(name: string, cond?: string): LitmusBuilder {
    return this.rule(cond === undefined ? `never ${name}` : `never "${name}": ${cond}`);
  }
  always(name: string, cond: string): LitmusBuilder {
    return this.rule(`always "${name}": ${cond}`);
  }
  exists(name: string, cond: string): LitmusBuilder {
    return this.rule(`exists "${name}": ${cond}`);
  }
  promise(name: string): LitmusBuilder {
    return this.rule(`promise ${name}`);
  }

  /** Any rule or expectation as a line of a file: `with patch wp-no-flush breaks "tlb"`. */
  rule(line: string): LitmusBuilder {
    const parsed = parseLitmus(`litmus rule\n${line}\n`);
    return this.#with({
      rules: [...this.test.rules, ...parsed.rules.map((r): Rule => ({ ...r }))],
      expectations: [...this.test.expectations, ...parsed.expectations],
    });
  }

  /** As a `.flt` file. */
  toString(): string {
    return showTest(this.test);
  }

  /** Checks it as one kernel version with patches: `check({ profile: '6.1' })`. Default: the newest. */
  check(
    options: Partial<CheckOptions> & Partial<{ profile: string; patches: string[] }> = {},
  ): Checked {
    const { profile = '6.18', patches = [], ...rest } = options;
    return new Checked(
      runVariant(this.test, { profile, patches }, { ...DEFAULT_OPTIONS, ...rest }),
    );
  }

  /** Checks everything that the test says of versions and patches. */
  checkAll(options: Partial<CheckOptions> = {}, asked: Asked = FILE_DECIDES): VariantReport[] {
    return checkTest(this.test, { ...DEFAULT_OPTIONS, ...options }, asked);
  }

  #thread(name: string, daemon: boolean, parts: readonly Part[]): LitmusBuilder {
    const pos = { line: 0, column: 0 };
    const thread = { name, daemon, body: statements(parts), pos };
    return this.#with({ threads: [...this.test.threads, thread] });
  }

  #with(change: Partial<LitmusTest>): LitmusBuilder {
    return new LitmusBuilder({ ...this.test, ...change });
  }
}

/** A report with what assertions in a test suite ask for. */
export class Checked {
  readonly report: VariantReport;

  constructor(report: VariantReport) {
    this.report = report;
  }

  get verdict(): VariantReport['verdict'] {
    return this.report.verdict;
  }

  /** Every way it came out, sorted: `r0=1 r1=0`, with `hangs` when threads wait for ever. */
  outcomes(): string[] {
    const texts = this.report.outcomes.map((o) => {
      const values = this.report.shown.map((name, i) => `${name}=${o.values[i] ?? ''}`);
      return [...values, ...(o.ending === 'done' ? [] : [o.ending])].join(' ');
    });
    return [...new Set(texts)].sort();
  }

  /** Names of broken rules, sorted. */
  broken(): string[] {
    return this.report.broken.map((b) => b.rule).sort();
  }
}

function statements(parts: readonly Part[]): Statement[] {
  return parts.flatMap((part) => {
    if (typeof part !== 'string') return [...part];
    const thread = must(parseLitmus(`litmus part\nthread t {\n${part}\n}\n`).threads[0], 'thread');
    return [...thread.body];
  });
}

function condition(text: string): Cond {
  const [statement] = statements([`on ${text} { }`]);
  if (statement?.kind !== 'on') throw new Error(`BUG: ${text} is no condition`);
  return statement.cond;
}

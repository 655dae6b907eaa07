/**
 * How fast `check` explores: executions (those given up as repetitions included) and steps a second, file by file, with
 * integrity checks after each step and at the end only. Times are this process's processor time, so that a busy machine
 * does not count. Figures, no verdict.
 *
 * `npm run build`, then `node dist/bench/check.js` in the repository.
 * Arguments: seconds a file and mode (default 2), and files by name (default all).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { explore } from '../src/explore/explore.ts';
import { parseLitmus } from '../src/litmus/parse.ts';
import { table } from '../src/litmus/report.ts';
import { type Checks, LitmusProgram } from '../src/litmus/run-litmus.ts';
import { compiledFor } from '../src/litmus/suite.ts';

const seconds = Number(process.argv[2] ?? '2');
const asked = process.argv.slice(3);

/** Milliseconds of processor time. */
function now(): number {
  return process.cpuUsage().user / 1_000;
}

interface Figure {
  /** Of one exploration: where it is small, the rate is that of beginning anew. */
  readonly all: number;
  readonly executions: number;
  readonly steps: number;
}

/** Explores again and again until the time is up; the first round warms the compiler up and does not count. */
function measure(file: string, checks: Checks): Figure {
  const test = parseLitmus(readFileSync(`litmus/${file}`, 'utf8'));
  const program = new LitmusProgram(
    compiledFor(test, { profile: '6.18', patches: [] }),
    checks,
    5_000,
  );
  const round = (limit: number): Figure & { readonly ms: number } => {
    let all = 0;
    const begin = now();
    let executions = 0;
    let steps = 0;
    let asked = 0;
    let over = false;
    // Asking for the time costs as much as a tenth of an execution.
    const late = (): boolean => {
      if (++asked % 64 === 0) over = now() - begin >= limit;
      return over;
    };
    while (!over) {
      const explored = explore(program, { maxExecutions: 2_000 }, () =>
        late() ? 'stop' : undefined,
      );
      const here = explored.executions + explored.blocked;
      all = Math.max(all, here);
      executions += here;
      steps += explored.steps;
    }
    return { all, executions, steps, ms: now() - begin };
  };
  round(seconds * 300);
  const { all, executions, steps, ms } = round(seconds * 1_000);
  return { all, executions: (executions / ms) * 1_000, steps: (steps / ms) * 1_000 };
}

const rows = [
  ['file', 'executions', 'executions/s', 'steps/s', 'executions/s (end)', 'steps/s (end)'],
];
for (const file of readdirSync('litmus').sort()) {
  if (!file.endsWith('.flt') || (asked.length > 0 && !asked.includes(file.slice(0, -4)))) continue;
  const step = measure(file, 'step');
  const end = measure(file, 'end');
  const figures = [end.all, step.executions, step.steps, end.executions, end.steps];
  rows.push([file, ...figures.map((n) => String(Math.round(n)))]);
}
process.stdout.write(`${table(rows, '').join('\n')}\n`);

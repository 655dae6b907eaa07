/**
 * How fast programs are explored: executions and steps per second for the programs whose number of traces is known, and
 * ratios between strategies, all in one run. Times are this process's processor time, so that a busy machine does not
 * count.
 *
 * `npm run build`, then `node dist/bench/explore.js`.
 */
import { type ExploreOptions, explore } from '../src/explore/explore.ts';
import type { Program } from '../src/explore/program.ts';
import { fibBench, KNOWN, KNOWN_LARGE } from '../src/explore/programs.ts';

function measure(program: Program<string>, options: ExploreOptions) {
  const began = process.cpuUsage();
  const found = explore(program, { maxExecutions: 1_000_000, ...options }, () => undefined);
  const used = process.cpuUsage(began);
  const seconds = (used.user + used.system) / 1e6;
  const runs = found.executions + found.blocked;
  return { ...found, seconds, runRate: runs / seconds, stepRate: found.steps / seconds };
}

const only = process.argv[2];
const rate = (value: number): string => `${Math.round(value / 1000).toLocaleString('en')} k/s`;
console.log('program                 traces   blocked     cpu s   runs        steps');
for (const { name, program, traces, blocked } of [...KNOWN, ...KNOWN_LARGE]) {
  if (only !== undefined && !name.startsWith(only)) continue;
  const m = measure(program, { strategy: 'dpor', lowestFirst: blocked !== undefined });
  const wrong =
    m.executions !== traces || (blocked !== undefined && blocked !== m.blocked) || !m.exhausted;
  console.log(
    `${name.padEnd(22)} ${String(m.executions).padStart(7)} ${String(m.blocked).padStart(9)} ` +
      `${m.seconds.toFixed(3).padStart(9)}   ${rate(m.runRate).padEnd(10)} ${rate(m.stepRate)}` +
      `${wrong ? `   WRONG: expected ${traces} (${blocked ?? '?'} blocked)` : ''}`,
  );
}
for (const { name, program, blocked } of [...KNOWN, ...KNOWN_LARGE]) {
  if (blocked === undefined || (only !== undefined && !name.startsWith(only))) continue;
  const m = measure(program, { strategy: 'dpor' });
  console.log(
    `${name}, staying on the thread that ran last: ${m.executions} and ${m.blocked} blocked, ` +
      `${m.seconds.toFixed(3)} s, ${rate(m.runRate)}, ${rate(m.stepRate)} steps`,
  );
}
if (only === undefined) {
  const sample = fibBench(5);
  const options = { maxExecutions: 100_000 };
  const dpor = measure(sample, { ...options, strategy: 'dpor' });
  for (const strategy of ['dfs', 'random'] as const) {
    const other = measure(sample, { ...options, strategy });
    const ratio = (other.stepRate / dpor.stepRate).toFixed(2);
    console.log(`${strategy} on fib_bench(5): ${rate(other.stepRate)} steps, ${ratio} of dpor`);
  }
}

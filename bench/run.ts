/**
 * How fast `faultline run` is: the example programs, and programs that do many of one thing, on both engines and with
 * a seed. Prints milliseconds of the process per run (median), million guest instructions, faults and system calls per
 * second. The second and later runs of a process, so that V8 has seen the code.
 *
 * `npm run build`, then `node dist/bench/run.js` in the repository.
 * Arguments: names of programs.
 */
import { readFileSync } from 'node:fs';
import type { Run, RunObserver, RunRequest } from '../src/run/run.ts';
import { startGuest } from './start.ts';

const RUNS = 5;
const SUITE = 'test/guest/bin/suite';
const PROGRAMS: readonly (readonly [name: string, file: string, args: readonly string[]])[] = [
  ['hello', 'examples/guest/bin/hello', []],
  ['missing-demo', 'examples/guest/bin/missing-demo', []],
  ['bg-snapshot', 'examples/guest/bin/bg-snapshot', []],
  ['wp-dirty-log', 'examples/guest/bin/wp-dirty-log', []],
  ['20,000 calls', SUITE, ['calls']],
  ['16,384 faults', SUITE, ['touch']],
  ['integer loop', SUITE, ['loop']],
  ['malloc', SUITE, ['malloc']],
  ['mutex', SUITE, ['mutex']],
];
const VARIANTS: readonly (readonly [string, Pick<RunRequest, 'engine' | 'seed' | 'cpus'>])[] = [
  ['translator', { engine: 'translator', seed: 0, cpus: 1 }],
  ['seed 7, 4 harts', { engine: 'translator', seed: 7, cpus: 4 }],
  ['interpreter', { engine: 'interpreter', seed: 0, cpus: 1 }],
];

interface Counts {
  faults: number;
  calls: number;
}

function start(file: string, args: readonly string[], variant: object, counts: Counts): Run {
  const observer: RunObserver = {
    fault: () => {
      counts.faults++;
    },
    syscall: () => {
      counts.calls++;
    },
  };
  return startGuest(readFileSync(file), args, { observers: [observer], ...variant });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function measure(file: string, args: readonly string[], variant: object): string {
  const times: number[] = [];
  const counts: Counts = { faults: 0, calls: 0 };
  let instructions = 0;
  for (let i = 0; i <= RUNS; i++) {
    counts.faults = 0;
    counts.calls = 0;
    const began = process.cpuUsage();
    const run = start(file, args, variant, counts);
    run.advance();
    const used = process.cpuUsage(began);
    if (i > 0) times.push((used.user + used.system) / 1e6);
    instructions = run.progress().instructions;
  }
  const seconds = median(times);
  const rate = (n: number): string =>
    Math.round(n / seconds)
      .toLocaleString('en')
      .padStart(10);
  const mips = (instructions / seconds / 1e6).toFixed(1).padStart(8);
  return `${(seconds * 1000).toFixed(0).padStart(6)} ms ${mips} M/s ${rate(counts.faults)} ${rate(counts.calls)}`;
}

const only = process.argv.slice(2);
console.log('program         variant             cpu time   instr.     faults/s    calls/s');
for (const [name, file, args] of PROGRAMS) {
  if (only.length > 0 && !only.includes(name)) continue;
  for (const [title, variant] of VARIANTS) {
    console.log(`${name.padEnd(15)} ${title.padEnd(16)} ${measure(file, args, variant)}`);
  }
}

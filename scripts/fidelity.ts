/**
 * The model against the kernel that runs: `npm run fidelity -- [--programs N] [--operations M] [--seed S]
 * [--only KINDS] [--limit D] [--no-c]`, or `--program FILE [--verbose] [--record]` with lines as a run prints them. Needs root, gcc and
 * userfaultfd(2). Exit status 1 when a divergence repeats. See docs/fidelity.md.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { cProgram } from '../src/host/fidelity/c-program.ts';
import { compare, explain } from '../src/host/fidelity/compare.ts';
import { FAMILIES, type Family } from '../src/host/fidelity/families.ts';
import { type Found, modelOf, runFidelity } from '../src/host/fidelity/fidelity.ts';
import { litmusFile } from '../src/host/fidelity/flt.ts';
import { LiveKernel, unavailable, withoutFamilies } from '../src/host/fidelity/live.ts';
import { describe, parseProgram, printProgram } from '../src/host/fidelity/operations.ts';
import { recorded } from '../src/host/fidelity/recorded.ts';

const { values } = parseArgs({
  options: {
    programs: { type: 'string', default: '1000' },
    operations: { type: 'string', default: '40' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: Object.keys(FAMILIES).join(',') },
    limit: { type: 'string', default: '5' },
    program: { type: 'string' },
    'no-c': { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const why = unavailable();
if (why !== null) {
  process.stderr.write(`fidelity: ${why}\n`);
  process.exitCode = 2;
} else if (values.program !== undefined) {
  one(values.program);
} else {
  many();
}

function many(): void {
  const families = values.only.split(',');
  const unknown = families.find((family) => !Object.hasOwn(FAMILIES, family));
  if (unknown !== undefined) {
    const known = Object.keys(FAMILIES).join(', ');
    process.stderr.write(`fidelity: --only ${unknown}: there are ${known}\n`);
    process.exitCode = 2;
    return;
  }
  const kernel = new LiveKernel();
  process.stdout.write(`beside Linux ${kernel.release}; not shown by this kernel: ${hidden()}\n`);
  const without = withoutFamilies(kernel);
  for (const [family, reason] of without) {
    if (families.includes(family)) process.stdout.write(`without ${family}: ${reason}\n`);
  }
  const report = runFidelity(kernel, {
    programs: Number(values.programs),
    operations: Number(values.operations),
    seed: Number(values.seed),
    limit: Number(values.limit),
    families: (families as Family[]).filter((family) => !without.has(family)),
    progress: (done) => {
      if (process.stderr.isTTY) process.stderr.write(`\r${done}`);
      else if (done % 1024 === 0) process.stderr.write(`${done}\n`);
    },
  });
  for (const found of report.divergences) print('divergence', found);
  for (const found of report.unstable) print('unstable', found);
  for (const { seed, program, divergence } of report.cut) {
    const operation = program[divergence.operation];
    if (operation === undefined) continue;
    process.stdout.write(`not modelled, from seed ${seed}: ${describe(operation)}\n`);
  }
  const { programs, operations, divergences, unstable, cut, again, unfinished, stopped } = report;
  process.stdout.write(
    `${programs} programs, ${operations} operations, ${divergences.length + again} divergences ` +
      `(${unstable.length} unstable; ${cut.length} compared up to a call that is not modelled; ` +
      `${stopped} stopped alike; ${unfinished} not performed in time)\n`,
  );
  if (divergences.length > 0) process.exitCode = 1;
}

/** What differs between kernels by their configuration, and is therefore masked or kept out of the way. */
function hidden(): string {
  return ['soft-dirty bits (bit 55 and "sd")', 'frame numbers and swap offsets'].join(', ');
}

function print(kind: string, { seed, program, divergence }: Found): void {
  process.stdout.write(`\n${kind}, from seed ${seed}\n${explain(program, divergence)}\n`);
  process.stdout.write(`\n${printProgram(program)}\n`);
  const flt = litmusFile(program, divergence);
  if (flt !== null) process.stdout.write(`\n${flt}`);
  if (!values['no-c']) process.stdout.write(`\n${cProgram(program)}\n`);
}

function one(path: string): void {
  const program = parseProgram(readFileSync(path, 'utf8'));
  const [live = []] = new LiveKernel().perform([program]);
  const model = modelOf(program);
  if (values.verbose) {
    for (const [i, line] of live.entries()) {
      process.stdout.write(line === model[i] ? `  ${line}\n` : `- ${line}\n+ ${model[i]}\n`);
    }
  }
  const divergence = compare(live, model);
  if (values.record) process.stdout.write(recorded(path, program, live));
  process.stdout.write(
    divergence === null ? 'no divergence\n' : `${explain(program, divergence)}\n`,
  );
  if (divergence !== null) process.exitCode = 1;
}

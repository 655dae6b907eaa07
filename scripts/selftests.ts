/**
 * The kernel's own selftests of this part, under `faultline run` and on the kernel that runs:
 * `npm run selftests -- --source DIR [--only NAME,NAME | --all] [--build DIR] [--seconds S] [--verbose]`. Needs root, gcc and
 * riscv64-linux-gnu-gcc. Exit status 1 when a result differs. See docs/selftests.md.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildSelftest, cannotBuild } from '../src/host/selftests/build.ts';
import { type Compared, compareResults, tally } from '../src/host/selftests/output.ts';
import { perform } from '../src/host/selftests/perform.ts';
import { chosenPrograms, PROGRAMS, type SelftestProgram } from '../src/host/selftests/programs.ts';
import { withSettings } from '../src/host/selftests/settings.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    source: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    all: { type: 'boolean', default: false },
    build: { type: 'string' },
    seconds: { type: 'string', default: '120' },
    verbose: { type: 'boolean', default: false },
  },
});

process.exitCode = await main();

async function main(): Promise<number> {
  const { source } = values;
  if (source === undefined) return refuse('give --source DIR, an unpacked kernel source tree');
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) return refuse('--seconds takes a number above 0');
  const names = [...values.only.flatMap((list) => list.split(',')), ...positionals];
  const programs = chosenPrograms(names, values.all);
  if (typeof programs === 'string') {
    return refuse(`no program ${programs}: there are ${PROGRAMS.map((p) => p.name).join(', ')}`);
  }
  const why = cannotBuild(resolve(source)) ?? (process.getuid?.() === 0 ? null : 'needs root');
  if (why !== null) return refuse(why);
  const into = resolve(values.build ?? mkdtempSync(join(tmpdir(), 'faultline-selftests-')));
  mkdirSync(into, { recursive: true });
  // A test that runs as another user is read by that user.
  chmodSync(into, 0o755);
  process.stdout.write(`beside Linux ${release()}\n`);
  try {
    const all: Compared[] = [];
    for (const program of programs)
      all.push(...(await one(program, resolve(source), into, seconds)));
    const differing = all.filter(differs);
    const agree = all.length - differing.length;
    process.stdout.write(`${all.length} tests: ${agree} agree, ${differing.length} differ\n`);
    return differing.length === 0 ? 0 : 1;
  } finally {
    if (values.build === undefined) rmSync(into, { recursive: true, force: true });
  }
}

function refuse(text: string): number {
  process.stderr.write(`selftests: ${text}\n`);
  return 2;
}

function differs({ live, model }: Compared): boolean {
  return live !== model;
}

/** Prints one row for a program, and one for each result that differs. */
async function one(
  program: SelftestProgram,
  source: string,
  into: string,
  seconds: number,
): Promise<readonly Compared[]> {
  const name = program.name.padEnd(26);
  const live = buildSelftest(source, into, program, 'live');
  const model = buildSelftest(source, into, program, 'model');
  if (typeof live === 'string' || typeof model === 'string') {
    process.stdout.write(`${name} not built: ${typeof live === 'string' ? live : model}\n`);
    return [{ key: 'build', text: '', live: 'none', model: 'fail', modelText: '' }];
  }
  const options = { seconds, faultline: faultline() };
  const real = await withSettings(program, () => perform(program, live.path, 'live', options));
  const ours = await perform(program, model.path, 'model', options);
  const compared = compareResults(real.results, ours.results);
  const verdict = compared.some(differs) ? 'DIFFERS' : 'same';
  const [left, right] = [tally(real.results), tally(ours.results)];
  process.stdout.write(`${name} ${verdict.padEnd(8)} ${left.padEnd(30)} | ${right}\n`);
  printDiffering(compared.filter(differs));
  if (values.verbose) {
    process.stdout.write(`--- Linux\n${real.output}\n--- faultline\n${ours.output}\n`);
  }
  return compared;
}

/** Results that only one run came to are summed up: the end says why. */
function printDiffering(differing: readonly Compared[]): void {
  const missing = differing.filter(({ live, model }) => live === 'none' || model === 'none');
  for (const c of differing) {
    if (missing.length > 1 && missing.includes(c)) continue;
    process.stdout.write(`    ${c.key}: ${c.live} | ${c.model}   ${c.text}\n`);
    if (c.modelText !== c.text && c.modelText !== '') {
      process.stdout.write(`        here: ${c.modelText}\n`);
    }
  }
  if (missing.length > 1) {
    process.stdout.write(`    ${missing.length} that only one of the two came to\n`);
  }
}

/** From `scripts` and from where it is compiled to. */
function faultline(): string {
  const beside = fileURLToPath(new URL('../bin/faultline.js', import.meta.url));
  if (existsSync(beside)) return beside;
  return fileURLToPath(new URL('../../bin/faultline.js', import.meta.url));
}

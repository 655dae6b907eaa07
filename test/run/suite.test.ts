// Goal: what programs get from system calls, signals and memory is what Linux gives them, under every schedule.
// The binary is committed; where there is a C compiler, the same sources run on this machine's kernel too.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { example, expected, root, runGuest, SUITE } from './guest.ts';

const folder = `${root}/test/guest`;
const SEEDS = [0, 3];
const NAMES = runGuest(SUITE).out.trim().split('\n');

describe.each(NAMES)('suite %s', (name) => {
  test('every seed gives the same output and ends with 0', () => {
    const outputs = new Set<string>();
    for (const seed of SEEDS) {
      const { result, out, err, census } = runGuest(SUITE, [name], {
        seed,
        cpus: seed === 0 ? 1 : 2,
      });
      expect({ how: result.how, status: result.status, err, census }).toEqual({
        how: 'exit',
        status: 0,
        err: '',
        census: null,
      });
      outputs.add(out);
    }
    expect([...outputs].map((out) => out.endsWith(`${name}: ok\n`))).toEqual([true]);
  });
});

test('is the committed binary what its sources gave?', () => {
  const recorded = readFileSync(`${folder}/bin/SOURCES.sha256`, 'utf8').trim().split('\n');
  for (const line of recorded) {
    const [hash, name = ''] = line.split(/\s+/);
    const now = createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex');
    expect(`${now} ${name}`).toBe(`${hash} ${name}`);
  }
});

describe('memory larger than RAM', () => {
  test.each([0, 3])(
    'goes to the swap device and comes back, which then goes off (seed %i)',
    (seed) => {
      const { result, out, census } = runGuest(SUITE, ['larger'], {
        seed,
        ram: 2 << 20,
        swap: 16 << 20,
      });
      expect(out).toBe(
        'round 1: 0 wrong\nround 2: 0 wrong\nround 3: 0 wrong\nchild: 0\n' +
          'devices: 1\ndevices: 0\ndevices: 1\nlarger: ok\n',
      );
      expect([result.how, result.status, census]).toEqual(['exit', 0, null]);
    },
  );
  test('without a swap device the program is killed, and the line of the log says so', () => {
    const { result, out } = runGuest(SUITE, ['too-large'], { ram: 2 << 20 });
    expect([result.how, result.status, out]).toEqual(['signal', 137, '']);
    expect(result.oomKills.map((line) => line.replace(/\d+kB/g, 'NkB'))).toEqual([
      'Out of memory: Killed process 1 (suite) total-vm:NkB, anon-rss:NkB, file-rss:NkB, shmem-rss:NkB, UID:0 pgtables:NkB oom_score_adj:0',
    ]);
  });
  test('a snapshot of a guest larger than RAM ends', () => {
    const { result, out } = runGuest(example('bg-snapshot'), [], { ram: 1 << 20, swap: 16 << 20 });
    expect([result.how, result.status]).toEqual(['exit', 0]);
    expect(out).toBe(expected('bg-snapshot'));
  });
});

const hasCompiler =
  process.platform === 'linux' && spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0;
const needs = hasCompiler ? '' : ' (needs a C compiler on Linux: apt-get install gcc libc6-dev)';

describe.skipIf(!hasCompiler)(`natively${needs}`, () => {
  let temp = '';
  beforeAll(() => {
    temp = mkdtempSync(join(tmpdir(), 'faultline-suite-'));
    const made = spawnSync('make', ['-s', 'native', `OUT=${temp}/suite`], { cwd: folder });
    expect(made.status).toBe(0);
  });
  afterAll(() => rmSync(temp, { recursive: true, force: true }));

  test.each(NAMES)('%s prints the same on this machine', (name) => {
    const native = spawnSync(join(temp, 'suite'), [name], { encoding: 'utf8', timeout: 20_000 });
    expect(native.stdout).toBe(runGuest(SUITE, [name]).out);
  });
});

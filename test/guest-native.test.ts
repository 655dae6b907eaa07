// Goal: the example programs print on a real kernel what is committed as expected, every time; what `faultline run`
// prints is compared with the same files. They are compiled here for this machine from the sources that made bin/.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const guest = fileURLToPath(new URL('../examples/guest', import.meta.url));
let temp = '';

const REPEATS = 5;
/** Exit status by which a program says that the machine refused it something; its own finding is 1. */
const REFUSED = 2;

const hasCompiler =
  process.platform === 'linux' && spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0;
const needs = hasCompiler ? '' : ' (needs a C compiler on Linux: apt-get install gcc libc6-dev)';

describe.skipIf(!hasCompiler)(`natively${needs}`, () => {
  beforeAll(() => {
    temp = mkdtempSync(join(tmpdir(), 'faultline-native-'));
  });
  afterAll(() => rmSync(temp, { recursive: true, force: true }));

  test.for([
    ['hello', 0],
    ['missing-demo', 0],
    ['bg-snapshot', 0],
    ['wp-dirty-log', 0],
    ['segv-demo', 'SIGSEGV'],
  ] as const)('%s prints what is expected and ends with %s', ([name, end], { skip }) => {
    compile(name);
    const expected = readFileSync(join(guest, 'expected', `${name}.txt`), 'utf8');
    for (let i = 0; i < REPEATS; i++) {
      const run = spawnSync(join(temp, name), { encoding: 'utf8', timeout: 20_000 });
      if (run.status === REFUSED) skip(`needs a kernel with userfaultfd: ${run.stderr.trim()}`);
      expect(run.stdout).toBe(expected);
      expect(run.signal ?? run.status).toBe(end);
    }
  });
});

function compile(name: string): void {
  const args = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-pthread'];
  const source = join(guest, `${name}.c`);
  const { status, stderr } = spawnSync('cc', [...args, '-o', join(temp, name), source], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
}

// Goal: the line that CI reads tells the truth, above all when something fails in a way that no test reports.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../scripts/ci-summary.mjs', import.meta.url));

interface File {
  readonly status: string;
  readonly tests: readonly (readonly [name: string, status: string])[];
}

const good: File = {
  status: 'passed',
  tests: [
    ['a', 'passed'],
    ['b', 'passed'],
  ],
};

function summary(files: readonly File[] | undefined, testStatus: number, failedChecks: number) {
  const temp = mkdtempSync(join(tmpdir(), 'faultline-summary-'));
  const path = join(temp, 'vitest.json');
  const testResults = files?.map((file) => ({
    status: file.status,
    assertionResults: file.tests.map(([fullName, status]) => ({ fullName, status })),
  }));
  if (testResults) writeFileSync(path, JSON.stringify({ testResults }));
  const args = [script, path, String(testStatus), String(failedChecks)];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  rmSync(temp, { recursive: true });
  return { lines: stdout.trimEnd().split('\n'), status };
}

test('all passed', () => {
  expect(summary([good, good], 0, 0)).toEqual({ lines: ['4 passed, 0 failed'], status: 0 });
});

test('a skipped test is counted (skipped-reporter.ts names it)', () => {
  const file: File = {
    status: 'passed',
    tests: [
      ['a', 'passed'],
      ['b (needs x)', 'skipped'],
    ],
  };
  expect(summary([file], 0, 0)).toEqual({
    lines: ['1 passed, 0 failed, 1 skipped'],
    status: 0,
  });
});

test('a failed test', () => {
  const file: File = {
    status: 'failed',
    tests: [
      ['a', 'passed'],
      ['b', 'failed'],
    ],
  };
  expect(summary([file], 1, 0)).toEqual({ lines: ['1 passed, 1 failed'], status: 1 });
});

test('a file that does not load is a failure, though none of its tests failed', () => {
  const file: File = { status: 'failed', tests: [] };
  expect(summary([good, file], 1, 0)).toEqual({ lines: ['2 passed, 1 failed'], status: 1 });
});

test('a failed check is a failure, though all tests passed', () => {
  expect(summary([good], 0, 2)).toEqual({ lines: ['2 passed, 2 failed'], status: 1 });
});

test('a test command that fails without a failed test (an unhandled error) is a failure', () => {
  expect(summary([good], 1, 0)).toEqual({ lines: ['2 passed, 1 failed'], status: 1 });
});

test('no report at all is a failure', () => {
  expect(summary(undefined, 1, 0)).toEqual({ lines: ['0 passed, 1 failed'], status: 1 });
  expect(summary(undefined, 0, 0)).toEqual({ lines: ['0 passed, 1 failed'], status: 1 });
});

test('.ci/run and its checks are valid bash and executable', () => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const files = execFileSync('sh', ['-c', 'ls .ci/run scripts/ci-*.sh'], {
    cwd: root,
    encoding: 'utf8',
  });
  for (const file of files.trim().split('\n')) {
    expect(spawnSync('bash', ['-n', file], { cwd: root }).status, file).toBe(0);
  }
  expect(spawnSync('test', ['-x', '.ci/run'], { cwd: root }).status).toBe(0);
});

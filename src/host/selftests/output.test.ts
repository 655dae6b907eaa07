// Goal: what a selftest prints is read as its author meant it, and two runs are compared result by result.
import { describe, expect, test } from 'vitest';
import { compareResults, type Ending, parseOutput, tally } from './output.ts';

const DONE: Ending = { status: 0, signal: null, late: false };
const verdicts = (output: string, ending = DONE): string[] =>
  parseOutput(output, ending).map(({ key, verdict }) => `${key} ${verdict}`);

describe('TAP', () => {
  test('is read with skips and expected failures, wherever the directive stands', () => {
    const output = [
      'TAP version 13',
      '1..5',
      '# a remark: ok 7',
      'ok 1 mremap - aligned',
      'not ok 2 mremap - overlapping',
      'ok 3 # SKIP no huge pages',
      'ok 4 # XFAIL too slow',
      'ok 5 mdwe.stacked # SKIP only on arm64',
      '# Totals: pass:1 fail:1 xfail:1 xpass:0 skip:2 error:0',
    ].join('\n');
    expect(verdicts(output)).toEqual([
      '1 pass',
      '2 fail',
      '3 skip',
      '4 xfail',
      '5 skip',
      'end pass',
    ]);
  });

  test('a bail-out names its reason in the end', () => {
    const results = parseOutput('1..13\nBail out! fopen smaps\n', { ...DONE, status: 1 });
    expect(results).toEqual([{ key: 'end', text: 'exit status 1: fopen smaps', verdict: 'fail' }]);
  });
});

test('the lines of uffd-unit-tests are results by their names', () => {
  const output = [
    'Testing zeropage on anon... done',
    'Testing zeropage on hugetlb... skipped [reason: memory allocation failed]',
    'Testing move on anon... failed [reason: move failed]',
    'Testing poison on anon... ',
  ].join('\n');
  expect(verdicts(output, { ...DONE, status: 1 })).toEqual([
    'zeropage on anon pass',
    'zeropage on hugetlb skip',
    'move on anon fail',
    'end fail',
  ]);
});

test.each([
  [{ ...DONE, status: 4 }, 'skip', 'exit status 4'],
  [{ ...DONE, status: 1 }, 'fail', 'exit status 1'],
  [{ status: null, signal: 'SIGSEGV', late: false }, 'fail', 'killed by SIGSEGV'],
  [{ status: null, signal: 'SIGKILL', late: true }, 'fail', 'not done in time'],
] as const)('an ending as %j is %s', (ending, verdict, text) => {
  expect(parseOutput('', ending)).toEqual([{ key: 'end', text, verdict }]);
});

describe('comparing', () => {
  const live = parseOutput('ok 1 a\nok 2 b\n', DONE);

  test('a result that one run does not have differs', () => {
    const model = parseOutput('ok 1 a\n', { ...DONE, status: 1 });
    const differing = compareResults(live, model).filter((c) => c.live !== c.model);
    expect(differing.map((c) => `${c.key} ${c.live} ${c.model}`)).toEqual([
      '2 pass none',
      'end pass fail',
    ]);
  });

  test('descriptions may differ, verdicts may not', () => {
    const model = parseOutput('ok 1 at 0x1000\nnot ok 2 b\n', DONE);
    const differing = compareResults(live, model).filter((c) => c.live !== c.model);
    expect(differing.map((c) => c.key)).toEqual(['2']);
  });
});

test('a tally names what a program said, and how it ended when that is a failure', () => {
  expect(tally(parseOutput('ok 1 a\nok 2 b\nok 3 # SKIP c\n', DONE))).toBe('2 pass, 1 skip');
  expect(tally(parseOutput('', DONE))).toBe('1 pass');
  expect(tally(parseOutput('ok 1 a\n', { ...DONE, late: true }))).toBe('1 pass, not done in time');
});

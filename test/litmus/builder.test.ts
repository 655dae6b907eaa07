/** Goal: a test written in TypeScript is the same test as one written in a file. */
import { expect, test } from 'vitest';
import { litmus, loop, on } from '../../src/index.ts';
import { Checked } from '../../src/litmus/builder.ts';
import { DEFAULT_OPTIONS } from '../../src/litmus/check.ts';
import { parseLitmus } from '../../src/litmus/parse.ts';
import { showTest } from '../../src/litmus/print.ts';
import { runVariant } from '../../src/litmus/suite.ts';

const FILE = `
litmus both
"one form, two ways to write it"
map A 1 page anon rw private
uffd U
register U A missing
thread vcpu { r0 = load A[0] ; store A[0] 2 }
thread filler { r1 = copy U A[0] from 42 }
daemon thread handler { loop { e = read U ; on e.missing { r2 = copy U e.page from 7 ; on r2 == EEXIST { wake U e.page } } } }
finally { r3 = load A[0] }
never "other data": r0 != 42 and r0 != 7
never hang
exists "the handler was first": r0 == 7
with patch without-userfaultfd.mustWait holds
`;

const BUILT = litmus('both', 'one form, two ways to write it')
  .setup('map A 1 page anon rw private', 'uffd U', 'register U A missing')
  .thread('vcpu', 'r0 = load A[0]', 'store A[0] 2')
  .thread('filler', 'r1 = copy U A[0] from 42')
  .daemon(
    'handler',
    loop(
      'e = read U',
      on('e.missing', 'r2 = copy U e.page from 7', on('r2 == EEXIST', 'wake U e.page')),
    ),
  )
  .finally('r3 = load A[0]')
  .never('other data', 'r0 != 42 and r0 != 7')
  .never('hang')
  .exists('the handler was first', 'r0 == 7')
  .rule('with patch without-userfaultfd.mustWait holds');

test('both forms print the same', () => {
  expect(BUILT.toString()).toBe(showTest(parseLitmus(FILE)));
});

test('both forms have the same outcomes', () => {
  const fromFile = new Checked(
    runVariant(parseLitmus(FILE), { profile: '6.18', patches: [] }, DEFAULT_OPTIONS),
  );
  const built = BUILT.check();
  expect(built.verdict).toBe('holds');
  expect(built.outcomes()).toEqual(fromFile.outcomes());
  expect(built.outcomes().length).toBeGreaterThan(1);
  expect(built.report.explored.executions).toBe(fromFile.report.explored.executions);
});

test('a builder is a value: adding to one leaves the other as it was', () => {
  const base = litmus('base').setup('map A 1 page anon rw private').thread('t', 'r0 = load A[0]');
  const broken = base.never('zero', 'r0 == 0');
  expect(base.check().verdict).toBe('holds');
  expect(broken.check().broken()).toEqual(['zero']);
});

test('random sampling says that it sampled', () => {
  const report = BUILT.check({ strategy: 'random', max: 50, seed: 3 }).report;
  expect(report.verdict).toBe('sampled');
  expect(report.explored.executions).toBe(50);
});

test('a bound that is hit before the space is exhausted is told', () => {
  const report = BUILT.check({ max: 3 }).report;
  expect(report.verdict).toBe('bound');
  expect(report.remarks.join()).toContain('stopped after 3 executions');
});

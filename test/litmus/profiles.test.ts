/** One file under many kernel versions: what is explored once for several of them, and where they differ. */
import { describe, expect, test } from 'vitest';
import { PROFILES } from '../../src/kernel/profiles.ts';
import { DEFAULT_OPTIONS } from '../../src/litmus/check.ts';
import { agreements, differencesText } from '../../src/litmus/compare.ts';
import { parseLitmus } from '../../src/litmus/parse.ts';
import { runVariant, Variants, variantsToRun } from '../../src/litmus/suite.ts';
import { compareVersions, showVariant, variantsOf } from '../../src/litmus/versions.ts';

const NAMES: readonly string[] = PROFILES.map((p) => p.name);
const ALL = NAMES.map((profile) => ({ profile, patches: [] }));

const WP = `litmus several
map A 2 pages anon none private
uffd U
register U A wp
mprotect A[0] rw
store A[0] 1
thread snapshot { r0 = writeprotect U A }
thread writer { store A[0] 2 }
daemon thread monitor { loop { e = read U ; on e.wp { unprotect U e.page } } }
never "refused": r0 == ENOENT
on < 6.4 breaks "refused"`;

describe('all profiles', () => {
  test('a variant that shares executions reports what it would have found by itself', () => {
    const parsed = parseLitmus(WP.replace('store A[0] 2', 'r1 = load A[0]'));
    const judge = new Variants(true);
    let shared = 0;
    for (const variant of ALL) {
      const { sharedWith, ...report } = judge.judge(parsed, variant, DEFAULT_OPTIONS);
      const { sharedWith: nobody, ...alone } = runVariant(parsed, variant, DEFAULT_OPTIONS);
      expect([showVariant(variant), report]).toEqual([showVariant(variant), alone]);
      expect(nobody).toBeNull();
      if (sharedWith !== null) shared++;
    }
    expect(shared).toBeGreaterThan(5);
  });
  test('a file with other rules for a version is explored again', () => {
    const parsed = parseLitmus(`litmus l
map A 1 page anon rw private
thread t { r0 = load A[0] }
on >= 6.8 always "zero": r0 == 0
on < 6.8 never "zero": r0 == 0`);
    const judge = new Variants(true);
    const verdicts = ALL.slice(0, 9).map((v) => judge.judge(parsed, v, DEFAULT_OPTIONS).verdict);
    expect(verdicts).toEqual([...Array(4).fill('holds'), ...Array(5).fill('broken')]);
  });
  test('where they differ: verdicts, kernels, and the outcomes that only some have', () => {
    const judge = new Variants(true);
    const parsed = parseLitmus(WP);
    const reports = ['6.18', '6.8', '6.1', '6.1/arm64'].map((profile) =>
      judge.judge(parsed, { profile, patches: [] }, DEFAULT_OPTIONS),
    );
    expect(agreements(reports).map((a) => a.variants)).toEqual([
      ['6.18', '6.8'],
      ['6.1'],
      ['6.1/arm64'],
    ]);
    expect(differencesText(reports)).toBe(`several: 4 kernels give 3 answers
  A  holds
     6.18, 6.8
  B  breaks "refused", as the file expects
     6.1
  C  skipped: this version cannot run it: line 4: set-up fails: register U A wp gives EINVAL
     6.1/arm64

  r0        in
  0         A
  ENOENT    B
`);
    expect(differencesText(reports.slice(0, 2))).toBe('several: all 2 kernels answer the same\n');
    expect(differencesText(reports.slice(0, 1))).toBe('');
  });
});

describe('conditions on versions', () => {
  const variants = (condition: string): string[] => {
    const text = `litmus l\nmap A 1 page anon rw private\nthread t { r = load A[0] }\n${condition}`;
    return variantsOf(parseLitmus(text), NAMES).map(showVariant);
  };
  test.each([
    ['never r == 1', ['6.18']],
    ['on < 6.4 never r == 1', ['6.18', '6.1', '5.7']],
    ['on >= 6.4 never r == 1', ['6.18', '6.6']],
    ['on >= 5.10, < 5.15 never r == 1', ['6.18', '5.10']],
    ['on < 5.7 never r == 1', ['6.18']],
    ['on < 6.10/arm64 never r == 1', ['6.18', '6.8/arm64', '5.7/arm64']],
    ['on 6.18/riscv64 never r == 1', ['6.18', '6.18/riscv64']],
  ])('%s is tried at both ends', (condition, expected) => {
    expect(variants(condition)).toEqual(expected);
  });
  test('x86-64 is what a version alone means, and a condition with an architecture is of that one', () => {
    expect(compareVersions('>=', '6.18', '6.4/x86-64')).toBe(true);
    expect(compareVersions('>=', '6.18/arm64', '6.4/x86-64')).toBe(false);
    expect(compareVersions('>=', '6.18/arm64', '6.4')).toBe(true);
  });
  test('a profile that there is not cannot be asked for', () => {
    const parsed = parseLitmus(WP);
    const asked = { profiles: ['5.4'], patches: null };
    const [variant] = variantsToRun(parsed, asked);
    expect(() => variant && runVariant(parsed, variant, DEFAULT_OPTIONS)).toThrow(
      'unknown profile 5.4',
    );
  });
});

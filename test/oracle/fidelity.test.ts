// Goal: on random programs the model says what the kernel that runs says, and what it once got wrong stays right.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { compare, explain } from '../../src/host/fidelity/compare.ts';
import { FAMILIES, type Family } from '../../src/host/fidelity/families.ts';
import { runFidelity } from '../../src/host/fidelity/fidelity.ts';
import { LiveKernel, unavailable, withoutFamilies } from '../../src/host/fidelity/live.ts';
import { performInModel } from '../../src/host/fidelity/model.ts';
import { parseRecorded } from '../../src/host/fidelity/recorded.ts';
import { parseProfile } from '../../src/kernel/profiles.ts';
import { type Overrides, stackPatches } from '../../src/kernel/seam.ts';

/** FAULTLINE_FIDELITY_PROGRAMS=N runs N programs, FAULTLINE_FIDELITY_SEED=S begins at another seed. */
const PROGRAMS = Number(process.env['FAULTLINE_FIDELITY_PROGRAMS'] ?? 300);
const SEED = Number(process.env['FAULTLINE_FIDELITY_SEED'] ?? 1);
/** Answers of other versions differ by design; the core reads as this one. */
const VERSION = '6.18';

const programs = parseRecorded(
  readFileSync(fileURLToPath(new URL('fidelity-recorded.txt', import.meta.url)), 'utf8'),
);

describe('what Linux 6.18 said', () => {
  test('was recorded', () => expect(programs.length).toBeGreaterThan(10));

  test.each(programs)('$title', ({ program, answer }) => {
    const divergence = compare(answer, performInModel(program));
    expect(divergence === null ? '' : explain(program, divergence)).toBe('');
  });

  test.each([
    ['a descriptor unregisters its own ranges only', 'result'],
    ['write protection over two mappings in one call', 'result'],
  ])('an older kernel differs: %s', (title, what) => {
    const found = programs.find((recorded) => recorded.title === title);
    const older = performInModel(found?.program ?? [], overridesOf('6.1'));
    expect(compare(found?.answer ?? [], older)?.what).toBe(what);
  });
});

function overridesOf(version: string): Overrides | null {
  const profile = parseProfile(version);
  if (typeof profile === 'string') throw new Error(profile);
  const overrides = stackPatches(profile.patches);
  if (typeof overrides === 'string') throw new Error(overrides);
  return overrides;
}

function missing(): string | null {
  const why = unavailable();
  if (why !== null) return why;
  const { release } = new LiveKernel();
  return release.startsWith(`${VERSION}.`) ? null : `needs Linux ${VERSION}, this is ${release}`;
}

const why = missing();
const without = why === null ? withoutFamilies(new LiveKernel()) : new Map<Family, string>();
const families = (Object.keys(FAMILIES) as Family[]).filter((family) => !without.has(family));
for (const [family, reason] of without) {
  test.skip(`random programs have the family ${family} (skipped: ${reason})`, () => undefined);
}
test.skipIf(why !== null)(
  `do ${PROGRAMS} random programs go as on the kernel that runs?${why === null ? '' : ` (skipped: ${why})`}`,
  { timeout: 3_600_000 },
  () => {
    const report = runFidelity(new LiveKernel(), {
      programs: PROGRAMS,
      operations: 40,
      seed: SEED,
      families,
      limit: 3,
    });
    const found = report.divergences.map((d) => explain(d.program, d.divergence));
    expect(found).toEqual([]);
    expect(report.unstable.length).toBeLessThanOrEqual(Math.ceil(PROGRAMS / 1000));
    expect(report.programs).toBe(PROGRAMS);
    expect(report.unfinished).toBeLessThan(PROGRAMS / 2);
  },
);

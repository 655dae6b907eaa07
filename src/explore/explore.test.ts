import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Dfs } from './dfs.ts';
import { type Explored, explore, Recorder, runOnce } from './explore.ts';
import { KNOWN, KNOWN_LARGE } from './programs.ts';
import { type Action, type Body, randomProgram } from './random-programs.ts';

const LARGE = process.env['FAULTLINE_LARGE'] !== undefined;
const RUNS = Number(process.env['FAULTLINE_RUNS'] ?? 250);
const SEED = Number(process.env['FAULTLINE_SEED'] ?? 1);

const count = (name: string, found: Explored): string => `${name}: ${found.executions}`;

describe('source-DPOR explores each known program exactly once per trace', () => {
  for (const { name, program, traces, blocked } of LARGE ? [...KNOWN, ...KNOWN_LARGE] : KNOWN) {
    test(`${name} has ${traces} traces`, () => {
      const options = { maxExecutions: 1_000_000 };
      const stay = explore(program, options, () => undefined);
      expect(count(name, stay)).toBe(`${name}: ${traces}`);
      expect(stay.exhausted).toBe(true);
      const lowest = explore(program, { ...options, lowestFirst: true }, () => undefined);
      expect(count(name, lowest)).toBe(`${name}: ${traces}`);
      if (blocked !== undefined) expect(lowest.blocked).toBe(blocked);
    });
  }
});

const word = fc.nat({ max: 1 });
const simple: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    do: fc.constantFrom('load', 'store', 'add', 'fetchAdd', 'copy', 'pair', 'pass'),
    word,
  }),
  fc.record({ do: fc.constantFrom('until', 'untilSmall', 'callRcu'), word }),
  fc.record({ do: fc.constantFrom('sleep', 'sleepTimeout', 'wake', 'wakeAll') }),
);
/** What may stand inside a spinlock or an RCU section: nothing that sleeps. */
const quick: fc.Arbitrary<Body> = fc.array(
  fc.record({ do: fc.constantFrom('load', 'store', 'add', 'fetchAdd', 'copy', 'pair'), word }),
  { maxLength: 2 },
);
const inner: fc.Arbitrary<Body> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: simple },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constantFrom('mutex', 'read', 'write', 'tryMutex', 'tryRead', 'tryWrite'),
        body: quick,
      }),
    },
  ),
  { maxLength: 2 },
);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: simple },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'mutex',
        'read',
        'write',
        'downgrade',
        'tryMutex',
        'tryRead',
        'tryWrite',
        'choose',
        'spawn',
      ),
      body: inner,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('spin', 'trySpin', 'rcuRead'), body: quick }),
  },
);
const programs: fc.Arbitrary<readonly Body[]> = fc.oneof(
  fc.array(fc.array(action, { minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 2 }),
  fc.array(fc.array(action, { minLength: 1, maxLength: 2 }), { minLength: 3, maxLength: 3 }),
);

/** Every outcome that a depth-first search finds, or null when there are too many executions. */
function allOutcomes(bodies: readonly Body[], lump: boolean, most: number): Set<string> | null {
  const strategy = new Dfs(Number.POSITIVE_INFINITY, lump);
  const recorder = new Recorder(strategy);
  const outcomes = new Set<string>();
  for (let i = 0; i < most; i++) {
    const seen = runOnce(randomProgram(bodies), recorder, 1000);
    outcomes.add(seen?.outcome ?? `failed: ${seen?.error}`);
    if (!strategy.next()) return outcomes;
  }
  return null;
}

function reducedOutcomes(bodies: readonly Body[], lowestFirst: boolean): Set<string> {
  const outcomes = new Set<string>();
  explore(randomProgram(bodies), { lowestFirst, maxSteps: 1000 }, (seen) => {
    outcomes.add(seen.outcome ?? `failed: ${seen.error}`);
    return undefined;
  });
  return outcomes;
}

describe('reduction loses no outcome', () => {
  test('source-DPOR and depth-first search find the same outcomes of random programs', () => {
    let compared = 0;
    fc.assert(
      fc.property(programs, fc.boolean(), (bodies, lowestFirst) => {
        const all = allOutcomes(bodies, true, 20_000);
        if (all === null) return;
        compared++;
        expect([...reducedOutcomes(bodies, lowestFirst)].sort()).toEqual([...all].sort());
      }),
      { numRuns: RUNS, seed: SEED },
    );
    expect(compared).toBeGreaterThan(RUNS / 3);
  });

  test('not even against a search that also tries every place for steps that touch nothing', () => {
    let compared = 0;
    fc.assert(
      fc.property(programs, (bodies) => {
        const all = allOutcomes(bodies, false, 3000);
        if (all === null) return;
        compared++;
        expect([...reducedOutcomes(bodies, false)].sort()).toEqual([...all].sort());
      }),
      { numRuns: Math.ceil(RUNS / 3), seed: SEED + 1 },
    );
    expect(compared).toBeGreaterThan(RUNS / 12);
  });

  test.each([
    [
      'a step that touches less after another one has run',
      [
        [{ do: 'spin', body: [{ do: 'pair', word: 1 }] }, { do: 'sleep' }],
        [
          { do: 'mutex', body: [] },
          { do: 'pair', word: 0 },
        ],
        [{ do: 'load', word: 1 }],
      ],
    ],
    [
      'a step that an execution given up halfway leaves waiting',
      [
        [{ do: 'read', body: [{ do: 'untilSmall', word: 0 }, { do: 'sleep' }] }],
        [
          {
            do: 'mutex',
            body: [
              { do: 'load', word: 0 },
              { do: 'fetchAdd', word: 0 },
            ],
          },
        ],
        [{ do: 'wake' }],
      ],
    ],
    [
      'a step that waits for ever and would have let go of a lock',
      [
        [{ do: 'rcuRead', body: [{ do: 'add', word: 0 }] }],
        [{ do: 'read', body: [{ do: 'untilSmall', word: 0 }] }],
        [{ do: 'tryWrite', body: [] }],
      ],
    ],
    [
      'a section that RCU waits for only in one order',
      [
        [
          { do: 'callRcu', word: 0 },
          { do: 'load', word: 0 },
        ],
        [{ do: 'mutex', body: [] }],
        [
          { do: 'rcuRead', body: [{ do: 'load', word: 0 }] },
          { do: 'mutex', body: [] },
        ],
      ],
    ],
  ] satisfies [string, Body[]][])('%s', (_, bodies) => {
    const all = [...(allOutcomes(bodies, true, 20_000) ?? [])].sort();
    expect(all.length).toBeGreaterThan(2);
    for (const lowestFirst of [true, false]) {
      expect([...reducedOutcomes(bodies, lowestFirst)].sort()).toEqual(all);
    }
  });
});

/**
 * Partial-order reduction is only as good as the footprints that the kernel reports: a shared word that is touched
 * without saying so makes DPOR skip orders that differ, silently. So the whole corpus is also walked without reduction.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ExploreOptions, explore } from '../../src/explore/explore.ts';
import { parseLitmus } from '../../src/litmus/parse.ts';
import { LitmusProgram } from '../../src/litmus/run-litmus.ts';
import { compiledFor } from '../../src/litmus/suite.ts';

/** Random walks a file, and as many executions of depth-first search with one preemption. */
const WALKS = Number(process.env['FAULTLINE_WALKS'] ?? '100');
const MAX_STEPS = 5_000;

/** Everything an execution shows, as text: registers, broken rules, how it ended. */
function outcomes(file: string, options: ExploreOptions): Set<string> {
  const parsed = parseLitmus(readFileSync(`litmus/${file}`, 'utf8'));
  const compiled = compiledFor(parsed, { profile: '6.18', patches: [] });
  const seen = new Set<string>();
  explore(
    new LitmusProgram(compiled, 'end', MAX_STEPS),
    { ...options, maxSteps: MAX_STEPS },
    (e) => {
      seen.add(
        `${e.ending} ${JSON.stringify(e.outcome)} ${e.error === null ? '' : String(e.error)}`,
      );
      return undefined;
    },
  );
  return seen;
}

const files = readdirSync('litmus').filter((name) => name.endsWith('.flt'));

describe('does a schedule chosen without reduction ever show what DPOR says cannot happen', () => {
  for (const file of files) {
    test(file, () => {
      const reduced = outcomes(file, { strategy: 'dpor', maxExecutions: 50_000 });
      const random = outcomes(file, { strategy: 'random', maxExecutions: WALKS, seed: 7 });
      const bounded = outcomes(file, { strategy: 'dfs', bound: 1, maxExecutions: WALKS });
      const missed = [...random, ...bounded].filter((outcome) => !reduced.has(outcome));
      expect(missed).toEqual([]);
    });
  }
});

/**
 * Executions do not begin with a new World but with an old one put back. That must be impossible to notice: a class
 * with hidden state, a closure that remembers something, or a field that comes later would show here.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { explore } from '../../src/explore/explore.ts';
import type { Execution } from '../../src/explore/program.ts';
import { parseLitmus } from '../../src/litmus/parse.ts';
import { LitmusProgram, type Outcome } from '../../src/litmus/run-litmus.ts';
import { compiledFor, FILE_DECIDES, variantsToRun } from '../../src/litmus/suite.ts';
import { graphDifference } from './same-graph.ts';

const WALKS = 25;
const MAX_STEPS = 5_000;

/** Everything that can be seen of random executions, the failing ones among them: steps, footprints, notes, outcomes. */
function walks(program: LitmusProgram): string[] {
  const seen: string[] = [];
  let execution: Execution<Outcome> | null = null;
  const traced = {
    start(): Execution<Outcome> {
      execution = program.start();
      execution.sched.trace = [];
      return execution;
    },
  };
  explore(
    traced,
    { strategy: 'random', seed: 3, maxExecutions: WALKS, maxSteps: MAX_STEPS },
    (e) => {
      const steps = execution?.sched.trace?.map((s) => [s.thread, s.op.name, s.op.cell, s]);
      seen.push(JSON.stringify([e.ending, e.outcome, String(e.error), e.schedule(), steps]));
      return undefined;
    },
  );
  return seen;
}

describe('is a World that was put back as good as a new one', () => {
  const files = readdirSync('litmus').filter((name) => name.endsWith('.flt'));
  test.each(files)('%s', { timeout: 60_000 }, (file) => {
    const parsed = parseLitmus(readFileSync(`litmus/${file}`, 'utf8'));
    for (const variant of variantsToRun(parsed, FILE_DECIDES)) {
      const compiled = compiledFor(parsed, variant);
      const restored = new LitmusProgram(compiled, 'step', MAX_STEPS);
      const afresh = new LitmusProgram(compiled, 'step', MAX_STEPS, false, true);
      expect(walks(restored)).toEqual(walks(afresh));
      expect(restored.leftover()).toBeNull();
      expect(graphDifference(restored.start().run, afresh.start().run)).toBeNull();
    }
  });
});

/** Goal: every shipped litmus file comes out as it says, within the sizes that were promised. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { replay } from '../../src/explore/replay.ts';
import { decodeSchedule } from '../../src/explore/schedule.ts';
import { DEFAULT_OPTIONS } from '../../src/litmus/check.ts';
import { drawExecution } from '../../src/litmus/diagram.ts';
import { parseLitmus } from '../../src/litmus/parse.ts';
import { showTest } from '../../src/litmus/print.ts';
import { parseReplayId } from '../../src/litmus/replay-id.ts';
import { diagramText } from '../../src/litmus/report.ts';
import { LitmusProgram } from '../../src/litmus/run-litmus.ts';
import { compiledFor, FILE_DECIDES, runVariant, variantsToRun } from '../../src/litmus/suite.ts';

const files = readdirSync('litmus').filter((name) => name.endsWith('.flt'));
const MOST_EXECUTIONS = 50_000;

test('there are at least 12 files, each named after its test', () => {
  expect(files.length).toBeGreaterThanOrEqual(12);
  for (const file of files) {
    expect(`${parseLitmus(readFileSync(`litmus/${file}`, 'utf8')).name}.flt`).toBe(file);
  }
});

test.each(files)('%s comes out as it says', { timeout: 60_000 }, (file) => {
  const litmus = parseLitmus(readFileSync(`litmus/${file}`, 'utf8'));
  for (const variant of variantsToRun(litmus, FILE_DECIDES)) {
    const report = runVariant(litmus, variant, DEFAULT_OPTIONS);
    expect([file, variant, report.verdict, report.missed, report.remarks]).toEqual([
      file,
      variant,
      report.expected.length > 0 ? 'expected' : 'holds',
      [],
      [],
    ]);
    expect(report.explored.executions).toBeLessThan(MOST_EXECUTIONS);
  }
});

test.each(['snapshot', 'fork-vs-write', 'copy-vs-dontneed'])(
  'every outcome of %s can be replayed by its id',
  (name) => {
    const litmus = parseLitmus(readFileSync(`litmus/${name}.flt`, 'utf8'));
    const variant = { profile: '6.18', patches: [] };
    const report = runVariant(litmus, variant, DEFAULT_OPTIONS);
    expect(report.outcomes.length).toBeGreaterThan(0);
    for (const row of report.outcomes) {
      const id = parseReplayId(row.replay);
      if (typeof id === 'string') throw new Error(id);
      const program = new LitmusProgram(compiledFor(litmus, variant), 'step', 5_000);
      const seen = replay(program, decodeSchedule(id.schedule), 5_000);
      expect(seen.outcome?.values).toEqual(row.values);
    }
  },
);

test('a diagram of a broken rule ends with the rule', () => {
  const litmus = parseLitmus(readFileSync('litmus/stale-tlb.flt', 'utf8'));
  const variant = { profile: '6.18', patches: ['wp-no-flush'] };
  const report = runVariant(litmus, variant, DEFAULT_OPTIONS);
  const row = report.broken.find((b) => b.rule === 'tlb');
  if (row === undefined) throw new Error('not broken');
  const compiled = compiledFor(litmus, variant);
  const text = diagramText(drawExecution(compiled, row.schedule, 5_000));
  expect(text).toContain('» writeprotect U A');
  expect(text.trimEnd().split('\n').at(-1)).toMatch(/=> tlb: hart \d/);
  expect(drawExecution(compiled, row.schedule, 5_000)).toEqual(
    drawExecution(compiled, row.schedule, 5_000),
  );
});

test.each(files)('%s printed and parsed again is the same test', (file) => {
  const once = showTest(parseLitmus(readFileSync(`litmus/${file}`, 'utf8')));
  expect(showTest(parseLitmus(once))).toBe(once);
});

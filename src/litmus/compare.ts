/** Where kernel versions differ in what they answer to one test. */
import type { OutcomeRow, VariantReport } from './check.ts';
import { table, verdictText } from './report.ts';
import { showVariant } from './versions.ts';

/** Variants with one answer: the same verdict and the same outcomes, however often each was seen. */
export interface Agreement {
  readonly variants: readonly string[];
  readonly verdict: string;
  /** Why it was not run, where that is the answer. */
  readonly remark: string;
  readonly outcomes: readonly OutcomeRow[];
}

/** Reports of one test, grouped by what they answer, in the order in which they came. */
export function agreements(reports: readonly VariantReport[]): Agreement[] {
  const groups = new Map<string, VariantReport[]>();
  for (const report of reports) {
    const key = answerOf(report);
    groups.set(key, [...(groups.get(key) ?? []), report]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    return [
      {
        variants: group.map((report) => showVariant(report.variant)),
        verdict: verdictText(first),
        remark: remarkOf(first),
        outcomes: first.outcomes,
      },
    ];
  });
}

function answerOf(report: VariantReport): string {
  const rows = report.outcomes.map(keyOf).sort();
  return JSON.stringify([verdictText(report), remarkOf(report), rows]);
}

function remarkOf(report: VariantReport): string {
  return report.verdict === 'skipped' ? report.remarks.join('; ') : '';
}

function keyOf(row: OutcomeRow): string {
  return JSON.stringify([row.values, row.ending, row.stuck, row.broken]);
}

/** What a run under several profiles ends with: who agrees, and which outcomes only some of them have. */
export function differencesText(reports: readonly VariantReport[]): string {
  const [first] = reports;
  if (first === undefined || reports.length < 2) return '';
  const groups = agreements(reports);
  const name = first.test.name;
  if (groups.length === 1) return `${name}: all ${reports.length} kernels answer the same\n`;
  const letters = groups.map((_, i) => String.fromCharCode('A'.charCodeAt(0) + i));
  const lines = [
    `${name}: ${reports.length} kernels give ${groups.length} answers`,
    ...groups.flatMap((group, i) => [
      `  ${letters[i]}  ${[group.verdict, group.remark].filter((t) => t !== '').join(': ')}`,
      `     ${group.variants.join(', ')}`,
    ]),
  ];
  const outcomes = outcomeRows(groups, letters);
  if (outcomes.length > 0) {
    const shown = reports.find((r) => r.shown.length > 0)?.shown ?? [];
    lines.push('', ...table([[...shown, '', 'in'], ...outcomes], '  '));
  }
  return `${lines.join('\n')}\n`;
}

/** The outcomes that not every answer has, with the letters of those that do. */
function outcomeRows(groups: readonly Agreement[], letters: readonly string[]): string[][] {
  const rows = new Map<string, { readonly row: OutcomeRow; in: string }>();
  const ran = groups.filter((group) => group.outcomes.length > 0);
  groups.forEach((group, i) => {
    for (const row of group.outcomes) {
      const known = rows.get(keyOf(row));
      if (known === undefined) rows.set(keyOf(row), { row, in: letters[i] ?? '' });
      else known.in += ` ${letters[i]}`;
    }
  });
  return [...rows.values()]
    .filter((r) => r.in.split(' ').length < ran.length)
    .map((r) => [...r.row.values, r.row.ending === 'stuck' ? 'hangs' : '', r.in]);
}

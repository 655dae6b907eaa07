/** Reports as text: verdicts with their bounds told, tables of outcomes, diagrams. */
import type { BrokenRow, OutcomeRow, VariantReport } from './check.ts';
import type { Diagram, DiagramStep } from './diagram.ts';
import { showVariant } from './versions.ts';

/** Said once in every run (design, decision 6). */
export const MEMORY_MODEL =
  'Memory model: sequential consistency plus TLBs plus RCU; bugs of weaker memory ordering are out of scope.';

export const FEWEST = 'fewest context switches seen, not proven minimal';

/** `exhausted 1,234 executions`: never just "ok". */
export function extentOf(report: VariantReport): string {
  const { explored, verdict } = report;
  const n = count(explored.executions, 'execution');
  if (verdict === 'skipped') return 'not run';
  if (verdict === 'sampled') return `sampled: ${n}`;
  if (explored.stoppedBy === 'exhausted') {
    return explored.limited > 0 ? `all but what was broken off: ${n}` : `exhausted: ${n}`;
  }
  return `stopped after ${n}`;
}

/** The verdict in words. */
export function verdictText(report: VariantReport): string {
  switch (report.verdict) {
    case 'holds':
      return 'holds';
    case 'sampled':
      return 'holds in the sample';
    case 'expected':
      return `breaks ${report.expected.map((name) => `"${name}"`).join(', ')}, as the file expects`;
    case 'bound':
      return 'nothing broken so far';
    case 'skipped':
      return 'skipped';
    case 'broken':
      return report.broken.some((b) => !b.expected)
        ? `BROKEN: ${names(report.broken.filter((b) => !b.expected))}`
        : `NOT SEEN: ${report.missed.map((m) => `"${m}"`).join(', ')}`;
  }
}

function names(rows: readonly BrokenRow[]): string {
  return rows.map((b) => `"${b.rule}"`).join(', ');
}

/** One variant in full, without its diagrams. @param seconds how long it took */
export function variantText(report: VariantReport, seconds: number): string {
  const { test, variant, explored, sharedWith } = report;
  const head = `${test.name} under ${showVariant(variant)}: ${verdictText(report)}`;
  if (sharedWith !== null)
    return `${head}\n  execution by execution as ${showVariant(sharedWith)}\n`;
  const blocked =
    explored.blocked === 0 ? '' : `, ${number(explored.blocked)} given up as repetitions`;
  const lines = [
    head,
    `  ${extentOf(report)}${blocked}, ${number(explored.steps)} steps, ${duration(seconds)}`,
    ...report.remarks.map((r) => `  note: ${r}`),
  ];
  if (report.outcomes.length > 0) lines.push('', ...outcomeTable(report));
  return `${lines.join('\n')}\n`;
}

function outcomeTable(report: VariantReport): string[] {
  const header = [...report.shown, 'executions', '', 'replay'];
  const sorted = [...report.outcomes].sort((a, b) => b.count - a.count);
  const rows = sorted.map((o) => [...o.values, number(o.count), remarkOf(o), shorten(o.replay)]);
  return table([header, ...rows], '  ');
}

/** Replay ids of long executions stay whole: they are what one copies. */
function shorten(replay: string): string {
  return replay;
}

function remarkOf(o: OutcomeRow): string {
  const parts: string[] = [];
  if (o.broken.length > 0) parts.push(`breaks ${o.broken.map((b) => `"${b}"`).join(', ')}`);
  if (o.ending === 'stuck') parts.push(`hangs: ${o.stuck.join('; ')}`);
  if (o.ending === 'limit') parts.push('broken off');
  return parts.join('; ');
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[], indent: string): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  return rows.map((row) =>
    `${indent}${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd(),
  );
}

/** A broken rule with its execution. */
export function brokenText(report: VariantReport, row: BrokenRow, diagram: Diagram): string {
  const { test, variant } = report;
  const lines = [
    `${test.name} under ${showVariant(variant)}: "${row.rule}" breaks in ${count(row.count, 'execution')}`,
    `  ${row.steps} steps, ${count(row.switches, 'context switch', 'context switches')} (${FEWEST})`,
    `  replay: ${row.replay}`,
    '',
    diagramText(diagram),
  ];
  return lines.join('\n');
}

const MIN_COLUMN = 26;
const MAX_COLUMN = 46;

/** A column per thread, a line per step; statements and effects on lines of their own beneath. */
export function diagramText(diagram: Diagram, width = 120): string {
  const columns = diagram.threads.length;
  const each = Math.max(
    MIN_COLUMN,
    Math.min(MAX_COLUMN, Math.floor((width - 5) / Math.max(1, columns)) - 2),
  );
  const lines: string[] = [];
  const put = (left: string, column: number, text: string): void => {
    const pad = ' '.repeat(column * (each + 2));
    for (const [i, part] of wrap(text, each).entries()) {
      lines.push(`${(i === 0 ? left : '').padStart(4)} ${pad}${part}`.trimEnd());
    }
  };
  const heads = diagram.threads.map((t) => t.padEnd(each)).join('  ');
  lines.push(`     ${heads}`.trimEnd());
  lines.push(`     ${diagram.threads.map(() => '-'.repeat(each)).join('  ')}`);
  for (const step of diagram.steps) {
    const column = diagram.threads.indexOf(step.thread);
    put(String(step.step), column, stepText(step));
  }
  if (diagram.registers.length > 0) {
    lines.push('', `     ${diagram.registers.map(([n, v]) => `${n} = ${v}`).join(', ')}`);
  }
  for (const ending of diagram.ending) lines.push(`  => ${ending}`);
  return `${lines.join('\n')}\n`;
}

function stepText(step: DiagramStep): string {
  return [step.label, ...step.effects, ...step.notes].join('; ');
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `  ${word}`;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** `12,345`. */
export function number(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ',');
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${number(n)} ${n === 1 ? one : many}`;
}

export function duration(seconds: number): string {
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/** Reports as data: what `--format json` prints and docs/check.schema.json describes. */
import type { VariantReport } from './check.ts';
import type { Diagram } from './diagram.ts';
import { FEWEST, MEMORY_MODEL } from './report.ts';

export interface JsonBroken {
  readonly rule: string;
  readonly expected: boolean;
  readonly executions: number;
  readonly detail: string;
  readonly switches: number;
  readonly steps: number;
  /** How the execution shown was chosen. */
  readonly chosen: string;
  readonly replay: string;
  readonly diagram: Diagram;
}

export interface JsonVariant {
  readonly file: string;
  readonly test: string;
  readonly title: string;
  readonly profile: string;
  readonly patches: readonly string[];
  readonly verdict: VariantReport['verdict'];
  readonly exhausted: boolean;
  readonly executions: number;
  readonly blocked: number;
  readonly steps: number;
  readonly seconds: number;
  readonly remarks: readonly string[];
  readonly missed: readonly string[];
  readonly outcomes: readonly {
    readonly registers: Readonly<Record<string, string>>;
    readonly executions: number;
    readonly ending: string;
    readonly waiting: readonly string[];
    readonly breaks: readonly string[];
    readonly replay: string;
  }[];
  readonly broken: readonly JsonBroken[];
}

export interface JsonReport {
  readonly faultline: string;
  readonly memoryModel: string;
  /** The status the command ends with. */
  readonly status: number;
  readonly variants: readonly JsonVariant[];
  readonly errors: readonly { readonly file: string; readonly message: string }[];
}

export function jsonReport(
  version: string,
  status: number,
  variants: readonly JsonVariant[],
  errors: readonly { readonly file: string; readonly message: string }[],
): JsonReport {
  return { faultline: version, memoryModel: MEMORY_MODEL, status, variants, errors };
}

/** @param draw gives the diagram of a broken rule's execution */
export function jsonVariant(
  file: string,
  report: VariantReport,
  seconds: number,
  draw: (row: VariantReport['broken'][number]) => Diagram,
): JsonVariant {
  const { test, variant, explored } = report;
  return {
    file,
    test: test.name,
    title: test.title,
    profile: variant.profile,
    patches: variant.patches,
    verdict: report.verdict,
    exhausted: explored.stoppedBy === 'exhausted' && explored.limited === 0,
    executions: explored.executions,
    blocked: explored.blocked,
    steps: explored.steps,
    seconds: Math.round(seconds * 1000) / 1000,
    remarks: report.remarks,
    missed: report.missed,
    outcomes: report.outcomes.map((o) => ({
      registers: Object.fromEntries(report.shown.map((name, i) => [name, o.values[i] ?? ''])),
      executions: o.count,
      ending: o.ending,
      waiting: o.stuck,
      breaks: o.broken,
      replay: o.replay,
    })),
    broken: report.broken.map((row) => ({
      rule: row.rule,
      expected: row.expected,
      executions: row.count,
      detail: row.detail,
      switches: row.switches,
      steps: row.steps,
      chosen: FEWEST,
      replay: row.replay,
      diagram: draw(row),
    })),
  };
}

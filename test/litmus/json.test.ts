/** Goal: what --format json prints is what docs/check.schema.json says, and its diagrams are those of the text. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { DEFAULT_OPTIONS } from '../../src/litmus/check.ts';
import { drawExecution } from '../../src/litmus/diagram.ts';
import { parseLitmus } from '../../src/litmus/parse.ts';
import { jsonReport, jsonVariant } from '../../src/litmus/report-json.ts';
import {
  compiledFor,
  FILE_DECIDES,
  runVariant,
  statusOf,
  variantsToRun,
} from '../../src/litmus/suite.ts';

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema | boolean;
  readonly $defs?: Readonly<Record<string, Schema>>;
}

const schema = JSON.parse(readFileSync('docs/check.schema.json', 'utf8')) as Schema;

/** The part of JSON Schema that the file uses. Returns what is wrong, with the path to it. */
function problems(value: unknown, by: Schema, path: string): string[] {
  if (by.$ref !== undefined) {
    const target = schema.$defs?.[by.$ref.replace('#/$defs/', '')];
    return target === undefined
      ? [`${path}: ${by.$ref} is not there`]
      : problems(value, target, path);
  }
  if (by.enum !== undefined && !by.enum.includes(value)) return [`${path}: ${String(value)}`];
  if (by.type !== undefined && !isOfType(value, by.type)) return [`${path}: not ${by.type}`];
  if (by.pattern !== undefined && !new RegExp(by.pattern).test(String(value)))
    return [`${path}: ${String(value)}`];
  if (by.minimum !== undefined && Number(value) < by.minimum)
    return [`${path}: below ${by.minimum}`];
  if (Array.isArray(value)) {
    const { items } = by;
    if (typeof items !== 'object') return [];
    return value.flatMap((item, i) => problems(item, items, `${path}[${i}]`));
  }
  return typeof value === 'object' && value !== null ? ofObject(value, by, path) : [];
}

function ofObject(value: object, by: Schema, path: string): string[] {
  const entries = Object.entries(value);
  const missing = (by.required ?? []).filter((key) => !Object.hasOwn(value, key));
  return [
    ...missing.map((key) => `${path}: no ${key}`),
    ...entries.flatMap(([key, item]) => {
      const known = by.properties?.[key];
      if (known !== undefined) return problems(item, known, `${path}.${key}`);
      if (by.additionalProperties === false) return [`${path}: ${key} is not in the schema`];
      return typeof by.additionalProperties === 'object'
        ? problems(item, by.additionalProperties, `${path}.${key}`)
        : [];
    }),
  ];
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'array') return Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'object')
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  return typeof value === type;
}

test.each(['stale-tlb', 'fill-wakes', 'wp-multi-vma'])(
  'the report of %s fits the schema',
  (name) => {
    const litmus = parseLitmus(readFileSync(`litmus/${name}.flt`, 'utf8'));
    const reports = variantsToRun(litmus, FILE_DECIDES).map((v) =>
      runVariant(litmus, v, DEFAULT_OPTIONS),
    );
    const variants = reports.map((report) =>
      jsonVariant(`litmus/${name}.flt`, report, 0.5, (row) =>
        drawExecution(compiledFor(litmus, report.variant), row.schedule, 5_000),
      ),
    );
    const json = JSON.parse(
      JSON.stringify(jsonReport('0', statusOf(reports), variants, [])),
    ) as unknown;
    expect(problems(json, schema, '$')).toEqual([]);
    expect(variants.some((v) => v.broken.length > 0)).toBe(true);
  },
);

test('the schema check itself can fail', () => {
  expect(problems({ faultline: 1 }, schema, '$').length).toBeGreaterThan(3);
});

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { CONFIGS } from '../../src/kernel/patches/table.ts';
import { ACTORS } from '../../src/litmus/adversary.ts';
import { EVENTS } from '../../src/litmus/ast.ts';
import { GEOMETRY_KEYS } from '../../src/litmus/compile.ts';
import { MAP_WORDS } from '../../src/litmus/map.ts';
import { PAGE_FLAGS } from '../../src/litmus/operands.ts';
import { PROMISES } from '../../src/litmus/promise.ts';
import { MEMBERS } from '../../src/litmus/values.ts';
import { VERBS } from '../../src/litmus/verbs.ts';
import { PAGE_IS_NAMES } from '../../src/uapi/pagemap-scan.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(`${root}/docs/litmus.md`, 'utf8');
/** What stands in code: a word is named when one of these holds it. */
const words = new Set(
  [...page.matchAll(/```[^`]*```|`[^`]+`/g)].flatMap(([code]) => code.match(/[\w-]+/g) ?? []),
);

test.each([
  ['statements', Object.keys(VERBS)],
  ['statements beside the table of verbs', ['map', 'fork', 'fail', 'adversary', 'config']],
  ['configurations', CONFIGS],
  ['actors', ACTORS],
  ['geometry', [...Object.keys(GEOMETRY_KEYS), 'ram']],
  ['words of map', MAP_WORDS],
  ['promises', PROMISES],
  ['events', EVENTS],
  ['page flags', PAGE_FLAGS],
  ['members of a message', Object.keys(MEMBERS)],
  ['categories of pagemap_scan', Object.keys(PAGE_IS_NAMES)],
])('does docs/litmus.md name all %s?', (_what, names) => {
  expect(names.filter((name) => !words.has(name))).toEqual([]);
});

import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { litmusNames } from '../../scripts/docs/claims.ts';
import { BUGS, conditionsOf, filesOfBug } from '../../scripts/docs/historical-bugs.ts';
import { patchByName } from '../../src/kernel/patches/table.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const names = litmusNames(root);

describe('docs/historical-bugs.md', () => {
  test.each(BUGS.map((bug) => [bug.id, bug] as const))(
    '%s has a file that a patch changes the outcome of, or says what it waits for',
    (_id, bug) => {
      const conditions = filesOfBug(bug, names).flatMap((name) => conditionsOf(root, name));
      expect(conditions.length > 0 || bug.waits !== undefined).toBe(true);
    },
  );
  test('every file that is named after a bug is named after one that is listed', () => {
    const listed = new Set(BUGS.flatMap((bug) => filesOfBug(bug, names)));
    expect(names.filter((name) => /^h\d+-/.test(name) && !listed.has(name))).toEqual([]);
  });
  test('files under another name are there', () => {
    expect(BUGS.flatMap((b) => b.also ?? []).filter((name) => !names.includes(name))).toEqual([]);
  });
  test('the patches that files name are there', () => {
    const files = BUGS.flatMap((bug) => filesOfBug(bug, names));
    const patches = files.flatMap((name) => conditionsOf(root, name)).flatMap((c) => c.patches);
    expect(patches.filter((name) => patchByName(name) === null)).toEqual([]);
  });
});

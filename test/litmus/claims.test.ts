import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { filesOf, litmusNames, MAILS } from '../../scripts/docs/claims.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const names = litmusNames(root);
const claims = MAILS.flatMap((mail) => mail.claims);

describe('docs/claims.md', () => {
  test.each(claims.map((c) => [c.id, c] as const))(
    '%s has a file, or says what it waits for',
    (_id, claim) => {
      expect(filesOf(claim, names).length > 0 || claim.waits !== undefined).toBe(true);
    },
  );
  test('every file that is named after a claim is named after one that is listed', () => {
    const listed = new Set(claims.flatMap((claim) => filesOf(claim, names)));
    expect(names.filter((name) => /^s\d-/.test(name) && !listed.has(name))).toEqual([]);
  });
  test('files under another name are there', () => {
    expect(claims.flatMap((c) => c.also ?? []).filter((name) => !names.includes(name))).toEqual([]);
  });
});

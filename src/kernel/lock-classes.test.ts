import { expect, test } from 'vitest';
import * as classes from './lock-classes.ts';

const { LOCK_CLASSES, ...named } = classes;

test('the table has every class, and each a rank of its own: lockdep compares ranks alone', () => {
  expect(new Set(LOCK_CLASSES)).toEqual(new Set(Object.values(named)));
  expect(new Set(LOCK_CLASSES.map((cls) => cls.rank)).size).toBe(LOCK_CLASSES.length);
});

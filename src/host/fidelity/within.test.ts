// Goal: a side that never answers is told from one that does.
import { expect, test } from 'vitest';
import { within } from './within.ts';

test('what ends in time gives its value', () => {
  expect(within(10_000, () => 7)).toBe(7);
});

test('what does not end gives nothing', () => {
  const goesRound = (): number => {
    for (let i = 0; ; i++) if (i < 0) return i;
  };
  expect(within(20, goesRound)).toBe(null);
});

test('what throws throws', () => {
  const throws = (): number => {
    throw new Error('as it should');
  };
  expect(() => within(10_000, throws)).toThrow('as it should');
});

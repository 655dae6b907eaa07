import { expect, test } from 'vitest';
import { Prng } from './prng.ts';

test('a seed always gives the same sequence', () => {
  const first = new Prng(7);
  const second = new Prng(7);
  const draw = (prng: Prng) => [prng.next32(), prng.next32(), prng.below(100)];
  expect(draw(first)).toEqual(draw(second));
});

test('does the sequence stay free of short cycles?', () => {
  const prng = new Prng(1);
  const seen = new Set<number>();
  for (let i = 0; i < 100_000; i++) seen.add(prng.next32());
  // About 100000^2 / 2^33 values are expected twice.
  expect(seen.size).toBeGreaterThan(99_980);
});

import { expect, test } from 'vitest';
import { Prng } from './prng.ts';

test('a seed always gives the same sequence', () => {
  const draw = () =>
    Array.from(
      { length: 3 },
      (
        (prng) => () =>
          prng.next32()
      )(new Prng(7)),
    );
  expect(draw()).toEqual(draw());
});

test('does the sequence stay free of short cycles?', () => {
  const prng = new Prng(1);
  const seen = new Set<number>();
  for (let i = 0; i < 100_000; i++) seen.add(prng.next32());
  // About 100000^2 / 2^33 values are expected twice.
  expect(seen.size).toBeGreaterThan(99_980);
});

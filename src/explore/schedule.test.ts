import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeSchedule, EMPTY_SCHEDULE, encodeSchedule, threadChanges } from './schedule.ts';

const steps = fc.array(fc.tuple(fc.nat({ max: 60 }), fc.integer({ min: -1, max: 12 })));

test('any schedule survives being written and read', () => {
  fc.assert(
    fc.property(steps, (pairs) => {
      const schedule = { threads: pairs.map((p) => p[0]), choices: pairs.map((p) => p[1]) };
      const text = encodeSchedule(schedule);
      expect(text).toMatch(/^[A-Za-z0-9._]*$/);
      expect(decodeSchedule(text)).toEqual(schedule);
    }),
  );
});

test('runs are written once, and a choice ends its run', () => {
  const threads = [0, 0, 0, 1, 2, 2, 2, 26, 60];
  const choices = [-1, -1, -1, -1, -1, 1, -1, -1, 0];
  expect(encodeSchedule({ threads, choices })).toBe('a3bc2.1cA_60_.0');
  expect(encodeSchedule(EMPTY_SCHEDULE)).toBe('');
});

test.each([
  ['a3 b', /expected a thread .* at character 3, found ' b'/],
  ['3a', /expected a thread .* at character 1, found '3a'/],
  ['ab.', /at character 3, found '\.'/],
  ['a0', /at least 1 at character 1/],
  ['_7', /found '_7'/],
  ['a9999999b9999999', /at most 10000000 steps/],
])('%s is refused with the place and what was expected', (text, message) => {
  expect(() => decodeSchedule(text)).toThrow(message);
});

test('changes of thread are counted from the schedule alone', () => {
  expect(threadChanges(decodeSchedule('a3bc2.1ca'))).toBe(3);
  expect(threadChanges(EMPTY_SCHEDULE)).toBe(0);
});

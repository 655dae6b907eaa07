// Goal: the example programs print the same under `faultline run` as on a real kernel, whatever the schedule.
import { describe, expect, test } from 'vitest';
import { EXAMPLES, example, expected, runGuest } from './guest.ts';

const SCHEDULES = [
  { seed: 0, cpus: 1 },
  { seed: 0, cpus: 4 },
  { seed: 1, cpus: 2 },
  { seed: 7, cpus: 4 },
  { seed: 12345, cpus: 1 },
];

describe.each(EXAMPLES)('%s', (name) => {
  test('prints what it prints natively, with every seed and number of harts, and leaks no frame', () => {
    for (const schedule of SCHEDULES) {
      const { result, out, census } = runGuest(example(name), [], schedule);
      expect({ schedule, how: result.how, status: result.status, out, census }).toEqual({
        schedule,
        how: 'exit',
        status: 0,
        out: expected(name),
        census: null,
      });
    }
  });

  test('does the interpreter give the trace of the translator, and a second run the trace of the first?', () => {
    const options = { seed: 7, cpus: 2, traced: true };
    const first = runGuest(example(name), [], options);
    const second = runGuest(example(name), [], options);
    const interpreted = runGuest(example(name), [], { ...options, engine: 'interpreter' });
    expect(second.trace).toBe(first.trace);
    expect(interpreted.trace).toBe(first.trace);
    expect(interpreted.instructions).toBe(first.instructions);
    expect(first.out).toBe(expected(name));
  });
});

test('do two seeds give two traces?', () => {
  const [one, two] = [1, 2].map((seed) =>
    runGuest(example('bg-snapshot'), [], { seed, cpus: 2, traced: true }),
  );
  expect(one?.trace).not.toBe(two?.trace);
});

test('a NULL dereference ends the program with SIGSEGV, and says where', () => {
  for (const engine of ['translator', 'interpreter'] as const) {
    const { result, out } = runGuest(example('segv-demo'), [], { engine });
    expect(out).toBe(expected('segv-demo'));
    expect(result).toMatchObject({ how: 'signal', status: 139 });
    expect(result.death).toMatchObject({
      info: { signo: 11, address: 0 },
      access: 'read',
      mapping: 'no mapping there',
    });
    expect(result.death?.pcMapping).toMatch(/^[0-9a-f]+-[0-9a-f]+ r-xp$/);
  }
});

import { expect, test } from 'vitest';
import { Prng } from '../../base/prng.ts';
import { FAMILIES, type Family } from './families.ts';
import { randomProgram } from './generate.ts';
import { type Program, parseProgram, printProgram, wordsOf } from './operations.ts';
import { shrink } from './shrink.ts';

const OPTIONS = {
  operations: 40,
  families: Object.keys(FAMILIES) as Family[],
  without: new Set<string>(),
};

test('does a program shrink to the operations that matter, with plain operands?', () => {
  const program = parseProgram(
    'mmap 40960 20480 7 16434\nload 4096\nstore 45056 5\nfork\nmprotect 40960 16384 1\nclose 0',
  );
  const needs = ['mmap', 'mprotect'];
  const smallest = shrink(program, (candidates) =>
    candidates.map((c) => needs.every((op) => c.some((operation) => operation.op === op))),
  );
  expect(smallest.map(wordsOf)).toEqual(['mmap 0 4096 3 50', 'mprotect 0 4096 3']);
});

test('does shrinking end when nothing has an address?', () => {
  const program = parseProgram('fdinfo 0\npoll 0');
  expect(shrink(program, (candidates) => candidates.map((c) => c.length > 0))).toHaveLength(1);
});

test('a seed always draws the same program, and its text reads back', () => {
  const draw = (seed: number): Program => randomProgram(new Prng(seed), OPTIONS);
  for (let seed = 0; seed < 50; seed++) {
    const program = draw(seed);
    expect(draw(seed)).toEqual(program);
    expect(parseProgram(printProgram(program))).toEqual(program);
    expect(parseProgram(program.map(wordsOf).join('\n'))).toEqual(program);
    expect(program).toHaveLength(OPTIONS.operations);
  }
});

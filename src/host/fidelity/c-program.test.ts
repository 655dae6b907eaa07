import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { cProgram } from './c-program.ts';
import { OPERATIONS, type Program, parseProgram } from './operations.ts';

const gcc = spawnSync('gcc', ['--version']).error === undefined;

/** Every operation once, in two processes, with a helper, a heap and a struct in the arena. */
const everything: Program = [
  ...Object.entries(OPERATIONS).map(([op, operands]) => ({ op, args: operands.map(() => 1) })),
  ...parseProgram(
    'fork\nswitch 1\nload 0\nexit\n~store 0 1\n~madvise 0 4096 4\nstructs 4096\nbrk 0',
  ),
];

test.skipIf(!gcc)(
  `is a program with every operation valid C?${gcc ? '' : ' (skipped: no gcc)'}`,
  () => {
    const { stderr, status } = spawnSync(
      'gcc',
      ['-fsyntax-only', '-Wall', '-Wno-unused-result', '-xc', '-'],
      { input: cProgram(everything) },
    );
    expect(stderr.toString()).not.toMatch(/error/);
    expect(status).toBe(0);
  },
);

test('a C program says what was asked, in pages', () => {
  const text = cProgram(parseProgram('mmap 4096 8192 3 50\n~store 4096 7'));
  expect(text).toContain('mmap(A + 1 * 4096L, 2 * 4096L, 0x3, 0x32, -1, 0)');
  expect(text).toContain('pthread_create(&t, NULL, job1, NULL)');
});

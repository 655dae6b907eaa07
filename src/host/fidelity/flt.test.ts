import { expect, test } from 'vitest';
import { must } from '../../base/assert.ts';
import { parseLitmus } from '../../litmus/parse.ts';
import type { Divergence } from './compare.ts';
import { litmusFile } from './flt.ts';
import { parseProgram } from './operations.ts';

const differs = (operation: number, live: string): Divergence => ({
  operation,
  what: 'result',
  live,
  model: '',
  unmodelled: false,
});

test('a program of one process is a litmus file that asks for what the kernel answered', () => {
  const program = parseProgram(
    'mmap 0 8192 3 50\nuffd 0 0\napi 0 8320 170\nregister 0 0 8192 3\ncopy 0 0 4294967296 4096 0\nmadvise 0 8192 22',
  );
  const text = must(litmusFile(program, differs(5, '= -14')), 'litmus file');
  expect(parseLitmus(text).name).toBe('differs');
  expect(text).toContain('uffd U features sigbus wp_unpopulated');
  expect(text).toContain('r4 = copy U A[0] from 42');
  expect(text).toContain('exists "as the kernel": r5 == EFAULT');
});

test('what litmus cannot say has no file', () => {
  for (const line of ['fork', '~store 0 1', 'mmap 0 4096 7 50', 'munmap 8 4096', 'brk 4096']) {
    expect(litmusFile(parseProgram(line), differs(0, '= 0'))).toBeNull();
  }
});

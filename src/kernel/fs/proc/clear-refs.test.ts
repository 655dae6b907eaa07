// Soft-dirty, as documented in soft-dirty.rst: 6.18.44 as measured is built without it. What may be written to clear_refs
// was measured there: 1 to 5, everything else EINVAL.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../../test/kernel-world.ts';
import { must } from '../../../base/assert.ts';
import { errnoName } from '../../../uapi/errno.ts';
import { MADV_DONTNEED, MADV_PAGEOUT, MREMAP_FIXED, MREMAP_MAYMOVE } from '../../../uapi/mman.ts';
import type { Task } from '../../core/task.ts';
import { softDirty } from '../../patches/soft-dirty.ts';
import { stackPatches } from '../../seam.ts';
import { syscallByName } from '../../syscall/dispatch.ts';
import { openFile } from '../open.ts';
import { clearRefs } from './clear-refs.ts';
import { PM_SOFT_DIRTY, pagemapWords } from './pagemap.ts';
import { procSmaps } from './smaps.ts';

const P = 4096;
let k: KernelWorld;
let a: number;
beforeEach(() => {
  const overrides = stackPatches([softDirty]);
  k = new KernelWorld({
    swapPages: 16,
    overrides: typeof overrides === 'string' ? null : overrides,
  });
  a = k.map(4);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

/** One letter a page: D soft-dirty, `.` not. */
function dirty(pages = 4, task: Task = k.task, start = a): string {
  const words = k.run(pagemapWords(task.mmOrDie, start, start + pages * P, true), task);
  return [...words].map((w) => ((w & PM_SOFT_DIRTY) === 0n ? '.' : 'D')).join('');
}
function clear(type = 4): void {
  k.run(clearRefs(k.task.mmOrDie, type));
}
function write(text: string): number | string {
  const file = k.run(openFile(k.task, 0, '/proc/self/clear_refs', 1, 0));
  if (typeof file === 'number') return errnoName(-file);
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const result = k.run(must(file.ops.write, 'write')(k.task, file, bytes, null));
  return result < 0 ? errnoName(-result) : result;
}
function call(name: string, args: readonly number[], task: Task = k.task): number {
  return k.run(must(syscallByName(name), name).handler(task, args), task);
}

describe('what is written to clear_refs', () => {
  test.each([
    ['4', 1],
    ['4\n', 2],
    [' 1 ', 3],
    ['5', 1],
    ['0', 'EINVAL'],
    ['6', 'EINVAL'],
    ['-1', 'EINVAL'],
    ['four', 'EINVAL'],
    ['', 'EINVAL'],
  ])('%j: %s', (text, expected) => {
    expect(write(text)).toBe(expected);
  });
});

describe('which pages count as written', () => {
  test('all of a new mapping, touched or not, until clear_refs', () => {
    expect(dirty()).toBe('DDDD');
    k.store(a, 1);
    clear();
    expect(dirty()).toBe('....');
  });
  test('then those that are written; reading marks nothing', () => {
    clear();
    k.store(a, 1);
    k.load(a + P);
    expect(dirty()).toBe('D...');
    k.store(a + P, 1);
    expect(dirty()).toBe('DD..');
    clear();
    k.load(a);
    expect(dirty()).toBe('....');
    k.store(a, 2);
    expect(dirty()).toBe('D...');
  });
  test('1, 2 and 3 forget uses, not writes', () => {
    clear();
    k.store(a, 1);
    for (const type of [1, 2, 3, 5]) clear(type);
    expect(dirty()).toBe('D...');
  });
  test('VmFlags shows sd until clear_refs', () => {
    const flags = (): boolean => / sd /.test(`${procSmaps(k.task.mmOrDie)} `.replace(/\n/g, ' \n'));
    expect(flags()).toBe(true);
    clear();
    expect(flags()).toBe(false);
  });
  test('all of what a new mapping joins', () => {
    clear();
    call('munmap', [a + 2 * P, 2 * P]);
    call('mmap', [a + 2 * P, P, 3, 0x32, -1, 0]);
    expect(dirty(3)).toBe('DDD');
  });
  test('pages that moved, and pages that were swapped out and read again keep what they are', () => {
    for (let i = 0; i < 4; i++) k.store(a + i * P, i);
    clear();
    k.store(a, 1);
    call('madvise', [a, 2 * P, MADV_PAGEOUT]);
    expect(dirty()).toBe('D...');
    expect([k.load(a), k.load(a + P)]).toEqual([1, 1]);
    expect(dirty()).toBe('D...');
    const to = k.map(4);
    clear();
    call('mremap', [a + P, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, to + P]);
    expect(dirty(4, k.task, to)).toBe('.D..');
    call('munmap', [to, 4 * P]);
  });
  test('a swapped page that is written without being read first', () => {
    k.store(a, 1);
    call('madvise', [a, P, MADV_PAGEOUT]);
    clear();
    k.store(a, 2);
    expect(dirty()).toBe('D...');
  });
  test('in a child: what its parent had written', () => {
    clear();
    k.store(a, 1);
    const child = k.fork();
    expect(dirty(4, child)).toBe('D...');
    k.store(a + P, 1, child);
    expect([dirty(), dirty(4, child)]).toEqual(['D...', 'DD..']);
    k.exit(child);
  });
  test('nothing of what MADV_DONTNEED took away', () => {
    clear();
    k.store(a, 1);
    call('madvise', [a, P, MADV_DONTNEED]);
    expect(dirty()).toBe('....');
  });
  test('a page that mprotect makes writable again, when it is written', () => {
    k.store(a, 1);
    clear();
    call('mprotect', [a, P, 1]);
    call('mprotect', [a, P, 3]);
    expect(dirty()).toBe('....');
    k.store(a, 2);
    expect(dirty()).toBe('D...');
  });
});

test('a kernel that is built without it has no bit, and takes the numbers', () => {
  const other = new KernelWorld();
  const page = other.map(1);
  other.store(page, 1);
  other.run(clearRefs(other.task.mmOrDie, 4));
  expect(other.slot(page)).toContain('write');
  const words = other.run(pagemapWords(other.task.mmOrDie, page, page + P, true));
  expect((words[0] ?? 0n) & PM_SOFT_DIRTY).toBe(0n);
});

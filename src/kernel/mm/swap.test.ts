// What pages on the swap device look like from user space: every line of the first table was measured on 6.18 with zram.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { SWP_EXCLUSIVE, swpOffset } from '../../machine/pte.ts';
import { errnoName } from '../../uapi/errno.ts';
import {
  MADV_DONTNEED,
  MADV_FREE,
  MADV_PAGEOUT,
  MADV_WILLNEED,
  PROT_NONE,
  PROT_READ,
} from '../../uapi/mman.ts';
import { peekPte } from '../check/page-tables.ts';
import type { Task } from '../core/task.ts';
import { pagemapWords } from '../fs/proc/pagemap.ts';
import { procSmaps } from '../fs/proc/smaps.ts';
import { SETTINGS } from '../fs/sysfs.ts';
import { syscallByName } from '../syscall/dispatch.ts';

const P = 4096;
let k: KernelWorld;
let a: number;

beforeEach(() => {
  k = new KernelWorld({ swapPages: 16 });
  a = k.map(2);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function call(name: string, args: readonly number[], task: Task = k.task): number | string {
  const row = must(syscallByName(name), name);
  const result = k.run(row.handler(task, args), task);
  return result < 0 ? errnoName(-result) : result;
}
function advise(behavior: number, task: Task = k.task): number | string {
  return call('madvise', [a, P, behavior], task);
}
function inCore(task: Task = k.task): number {
  const page = k.map(1);
  k.store(page, 0);
  expect(call('mincore', [a, P, page], task)).toBe(0);
  const answer = Number(k.load(page)) & 1;
  call('munmap', [page, P]);
  return answer;
}
/** `swap 1 exclusive`, with `cached` when the swap cache has it; or what else the slot holds. */
function entry(task: Task = k.task): string {
  const pte = peekPte(task.mmOrDie, a);
  const text = k.slot(a, task);
  if (text !== 'swap') return text;
  const cached = k.world.swap?.cache.has(swpOffset(pte)) === true ? ' cached' : '';
  return `swap ${swpOffset(pte)}${(pte & SWP_EXCLUSIVE) !== 0 ? ' exclusive' : ''}${cached}`;
}

describe('MADV_PAGEOUT', () => {
  test('moves a page out, and reading it brings it back', () => {
    k.store(a, 7);
    expect(advise(MADV_PAGEOUT)).toBe(0);
    expect(entry()).toBe('swap 1 exclusive');
    expect(inCore()).toBe(0);
    expect(k.load(a)).toBe(7);
    expect(entry()).toBe('present write young');
    expect(k.store(a, 8)).toBe('ok');
    expect(k.load(a)).toBe(8);
  });
  test('what was read only and not written since goes out again with its content', () => {
    k.store(a, 7);
    for (let i = 0; i < 3; i++) {
      advise(MADV_PAGEOUT);
      expect(k.load(a)).toBe(7);
    }
    k.store(a, 9);
    advise(MADV_PAGEOUT);
    expect(k.load(a)).toBe(9);
  });
  test('leaves the zero page, pages of two processes and locked memory', () => {
    k.load(a);
    advise(MADV_PAGEOUT);
    expect(entry()).toMatch(/^present/);
    k.store(a, 1);
    const child = k.fork();
    advise(MADV_PAGEOUT);
    expect(entry()).toMatch(/^present/);
    k.exit(child);
    call('mlock', [a, P]);
    expect(advise(MADV_PAGEOUT)).toBe('EINVAL');
  });
  test('works on memory that nobody may read now', () => {
    k.store(a, 3);
    call('mprotect', [a, P, PROT_NONE]);
    advise(MADV_PAGEOUT);
    expect(entry()).toBe('swap 1 exclusive');
    expect(k.load(a)).toBe('SEGV 2');
    call('mprotect', [a, P, PROT_READ]);
    expect(k.load(a)).toBe(3);
    expect(entry()).toBe('present young');
  });
  test('a full device leaves the rest in memory', () => {
    const many = k.map(20);
    for (let i = 0; i < 20; i++) k.store(many + i * P, i);
    expect(call('madvise', [many, 20 * P, MADV_PAGEOUT])).toBe(0);
    const kinds = Array.from({ length: 20 }, (_, i) => k.slot(many + i * P).split(' ')[0]);
    expect(kinds.filter((kind) => kind === 'swap').length).toBe(16);
    for (let i = 0; i < 20; i++) expect(k.load(many + i * P)).toBe(i);
  });
  test('a write that takes MADV_FREE back is noted by one MADV_PAGEOUT, and the next moves the page', () => {
    k.store(a, 1);
    advise(MADV_FREE);
    k.store(a, 2);
    advise(MADV_PAGEOUT);
    expect(entry()).toMatch(/^present/);
    advise(MADV_PAGEOUT);
    expect(entry()).toBe('swap 1 exclusive');
    expect(k.load(a)).toBe(2);
  });
});

describe('a page on the swap device', () => {
  beforeEach(() => {
    k.store(a, 5);
    advise(MADV_PAGEOUT);
  });
  test('MADV_WILLNEED fills the swap cache only', () => {
    expect(advise(MADV_WILLNEED)).toBe(0);
    expect(entry()).toBe('swap 1 exclusive cached');
    expect(inCore()).toBe(1);
    // What only the cache has is not for MADV_PAGEOUT.
    advise(MADV_PAGEOUT);
    expect(inCore()).toBe(1);
    expect(k.load(a)).toBe(5);
  });
  test.each([
    ['MADV_FREE', MADV_FREE],
    ['MADV_DONTNEED', MADV_DONTNEED],
  ])('%s drops it at once', (_name, behavior) => {
    expect(advise(behavior)).toBe(0);
    expect(k.slot(a)).toBe('none');
    expect(k.load(a)).toBe(0);
    expect(k.world.swap?.used).toBe(0);
  });
  test('mlock(2) brings it back and frees its slot', () => {
    expect(call('mlock', [a, P])).toBe(0);
    expect(entry()).toMatch(/^present write/);
    expect(k.world.swap?.used).toBe(0);
  });
  test('fork(2) shares it: exclusive to neither, each reads and writes its own', () => {
    const child = k.fork();
    expect([entry(), entry(child)]).toEqual(['swap 1', 'swap 1']);
    expect(k.load(a, child)).toBe(5);
    expect(entry(child)).toBe('present young');
    expect(inCore()).toBe(1);
    expect(k.store(a, 6, child)).toBe('ok');
    expect(k.load(a)).toBe(5);
    expect(k.load(a, child)).toBe(6);
    k.exit(child);
  });
  test('the last of two sharers writes to the page itself', () => {
    const child = k.fork();
    k.exit(child);
    const { inUse } = k.world.machine.frames;
    expect(k.store(a, 6)).toBe('ok');
    expect(k.world.machine.frames.inUse).toBe(inUse + 1);
    expect(k.world.swap?.used).toBe(0);
  });
  test('pagemap shows its offset to root and only that it is swapped to others', () => {
    const word = (root: boolean): bigint =>
      k.run(pagemapWords(k.task.mmOrDie, a, a + P, root))[0] ?? 0n;
    expect(word(true)).toBe((1n << 62n) | (1n << 5n));
    expect(word(false)).toBe(1n << 62n);
  });
  test('smaps counts it', () => {
    expect(procSmaps(k.task.mmOrDie)).toMatch(/\nSwap: +4 kB\nSwapPss: +4 kB\n/);
    const child = k.fork();
    expect(procSmaps(k.task.mmOrDie)).toMatch(/\nSwap: +4 kB\nSwapPss: +2 kB\n/);
    k.exit(child);
  });
  test('mremap(2) moves the entry, munmap(2) frees the slot', () => {
    const to = call('mremap', [a, P, 2 * P, 1]);
    expect(k.load(Number(to))).toBe(5);
    call('madvise', [Number(to), P, MADV_PAGEOUT]);
    expect(k.world.swap?.used).toBe(1);
    expect(call('munmap', [Number(to), P])).toBe(0);
    expect(k.world.swap?.used).toBe(0);
  });
  test('/proc/swaps shows the device and how full it is', () => {
    expect(SETTINGS['/proc/swaps']?.().split('\n')[1]).toBe(
      `${'/dev/zram0'.padEnd(40)}partition\t64\t\t4\t\t-2`,
    );
  });
});

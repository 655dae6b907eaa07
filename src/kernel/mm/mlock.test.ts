// mlock and its family, mseal, mincore, msync, MADV_FREE: errors, partial effects, what is counted. semantics.md
// sections 6, 7 and 13. Every answer stands beside 6.18 (npm run fidelity -- --only lock,madvise), but for those of
// RLIMIT_MEMLOCK, which does not bind root there: mlock(2), getrlimit(2).
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { drawFlags } from '../../../test/kernel-maps.ts';
import { KernelWorld, RW } from '../../../test/kernel-world.ts';
import { errnoName } from '../../uapi/errno.ts';
import {
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_PAGEOUT,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_LOCKED,
  MAP_PRIVATE,
} from '../../uapi/mman.ts';
import { SCRATCH_BASE } from '../core/task.ts';
import { syscallByName } from '../syscall/dispatch.ts';

const P = 4096;
const B = 0x40000;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
  k.task.scratch = new Uint8Array(4096);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
});

function call(name: string, ...args: number[]): number | string {
  const row = syscallByName(name);
  if (row === null || row === undefined) throw new Error(name);
  const result = k.run(row.handler(k.task, args));
  return result < 0 ? errnoName(-result) : result;
}
function map(page: number, pages: number, prot = RW, flags = 0): number | string {
  return call('mmap', B + page * P, pages * P, prot, ANON | flags, -1, 0);
}
function resident(pages: number): string {
  expect(call('mincore', B, pages * P, SCRATCH_BASE)).toBe(0);
  return [...(k.task.scratch ?? []).slice(0, pages)].join('');
}
const locked = (): number => k.task.mmOrDie.lockedVm;

describe('mlock', () => {
  test.each([
    [0, 'mlock', [B, 4 * P]],
    [0, 'mlock', [B + 9, 1]],
    [0, 'mlock', [B, 0]],
    [0, 'mlock', [B + 40 * P, 0]],
    ['ENOMEM', 'mlock', [B, 5 * P]],
    ['ENOMEM', 'mlock', [B - P, P]],
    ['EINVAL', 'mlock', [B, -P]],
    [0, 'mlock2', [B, P, 0]],
    [0, 'mlock2', [B, P, 1]],
    ['EINVAL', 'mlock2', [B, P, 2]],
    [0, 'munlock', [B, 4 * P]],
    ['ENOMEM', 'munlock', [B, 5 * P]],
    ['ENOMEM', 'munlock', [B + 40 * P, P]],
    ['EINVAL', 'mlockall', [0]],
    ['EINVAL', 'mlockall', [4]],
    ['EINVAL', 'mlockall', [8]],
    [0, 'mlockall', [1]],
    [0, 'mlockall', [2]],
    [0, 'mlockall', [7]],
    [0, 'munlockall', []],
  ])('%s of %s(%j)', (expected, name, args) => {
    map(0, 4);
    expect(call(name, ...args)).toBe(expected);
  });

  test('brings pages in, exclusive and writable where they may be written', () => {
    map(0, 4);
    expect(call('mlock', B + P + 5, P)).toBe(0);
    expect(resident(4)).toBe('0110');
    expect(k.slot(B + P)).toContain('write');
    expect(drawFlags(k.task, B)).toBe(
      '0-1 rd wr mr mw me ac | 1-3 rd wr mr mw me lo ac | 3-4 rd wr mr mw me ac',
    );
    expect(locked()).toBe(2);
    expect(call('munlock', B, 4 * P)).toBe(0);
    expect(drawFlags(k.task, B)).toBe('0-4 rd wr mr mw me ac');
    expect(locked()).toBe(0);
  });
  test('ONFAULT brings none in', () => {
    map(0, 2);
    expect(call('mlock2', B, 2 * P, 1)).toBe(0);
    expect(resident(2)).toBe('00');
    expect(drawFlags(k.task, B)).toBe('0-2 rd wr mr mw me lo lf ac');
  });
  test('up to a hole, or up to a page that does not come, all is locked', () => {
    map(0, 1);
    map(2, 1, 0);
    expect(call('mlock', B, 3 * P)).toBe('ENOMEM');
    expect(locked()).toBe(1);
    expect(resident(1)).toBe('0');
    expect(call('mlock', B + 2 * P, P)).toBe('ENOMEM');
    expect(locked()).toBe(2);
  });
  test('memory that may be written from now on is populated', () => {
    map(0, 2, 1);
    call('mlock', B, 2 * P);
    expect(k.slot(B)).toContain('special');
    call('mprotect', B, 2 * P, RW);
    expect(k.slot(B)).toContain('write');
  });
  test('what is mapped in future, and what a mapping grows by', () => {
    expect(call('mlockall', 2)).toBe(0);
    map(0, 2);
    expect(resident(2)).toBe('11');
    expect(call('mremap', B, 2 * P, 3 * P, 0, 0)).toBe(B);
    expect(resident(3)).toBe('111');
    expect(locked()).toBe(3);
    expect(call('munlockall')).toBe(0);
    map(8, 1);
    expect(locked()).toBe(0);
  });
  test('a child inherits none of it', () => {
    map(0, 1);
    call('mlockall', 3);
    const child = k.fork();
    expect([child.mmOrDie.lockedVm, child.mmOrDie.defFlags]).toEqual([0, 0]);
    expect(drawFlags(child, B)).not.toContain('lo');
    k.exit(child);
  });
});

describe('RLIMIT_MEMLOCK', () => {
  beforeEach(() => {
    k.task.uid = 1000;
    k.task.group.memlockLimit = 2 * P;
  });
  test('bounds what is locked; what is locked already counts once', () => {
    map(0, 4);
    expect(call('mlock', B, 3 * P)).toBe('ENOMEM');
    expect(call('mlock', B, 2 * P)).toBe(0);
    expect(call('mlock', B, 2 * P)).toBe(0);
    expect(call('mlock', B + P, 2 * P)).toBe('ENOMEM');
    expect(map(8, 1, RW, MAP_LOCKED)).toBe('EAGAIN');
    expect(call('mlockall', 1)).toBe('ENOMEM');
    expect(call('mremap', B, 2 * P, 3 * P, 1, 0)).toBe('EAGAIN');
  });
  test('of 0 forbids', () => {
    k.task.group.memlockLimit = 0;
    map(0, 1);
    expect(call('mlock', B, P)).toBe('EPERM');
    expect(call('mlockall', 2)).toBe('EPERM');
    expect(map(8, 1, RW, MAP_LOCKED)).toBe('EPERM');
    expect(call('munlock', B, P)).toBe(0);
  });
});

describe('mseal', () => {
  test.each([
    [0, [B, 4 * P, 0]],
    [0, [B, 0, 0]],
    [0, [B, 1, 0]],
    ['EINVAL', [B, P, 1]],
    ['EINVAL', [B + 1, P, 0]],
    ['EINVAL', [B, -P, 0]],
    ['ENOMEM', [B, 5 * P, 0]],
    ['ENOMEM', [B - P, 2 * P, 0]],
  ])('%s of (%j)', (expected, args) => {
    map(0, 4);
    expect(call('mseal', ...args)).toBe(expected);
    expect(drawFlags(k.task, B).includes('sl')).toBe(expected === 0 && args[1] !== 0);
  });
  test.each([
    ['munmap', [B, 2 * P]],
    ['mprotect', [B, 2 * P, 1]],
    ['mremap', [B, 2 * P, P, 0, 0]],
    ['mremap', [B, 2 * P, 2 * P, 3, B + 8 * P]],
    ['mmap', [B, 2 * P, RW, ANON, -1, 0]],
  ])('%s is EPERM', (name, args) => {
    map(0, 2);
    call('mseal', B, 2 * P, 0);
    expect(call(name, ...args)).toBe('EPERM');
  });
  test.each([MADV_DONTNEED, MADV_FREE, 24, MADV_DONTFORK, MADV_WIPEONFORK])(
    'advice %i is EPERM unless the memory may be written',
    (advice) => {
      map(0, 1, 1);
      map(2, 1);
      call('mseal', B, P, 0);
      call('mseal', B + 2 * P, P, 0);
      expect(call('madvise', B, P, advice)).toBe('EPERM');
      expect(call('madvise', B + 2 * P, P, advice)).toBe(0);
    },
  );
});

describe('mincore', () => {
  test.each([
    ['EINVAL', [B + 1, P, SCRATCH_BASE]],
    ['ENOMEM', [B, -P, SCRATCH_BASE]],
    ['EFAULT', [B, P, -4096]],
    ['ENOMEM', [B, 3 * P, SCRATCH_BASE]],
    ['EFAULT', [B, P, B + 8 * P]],
    [0, [B, 0, 0]],
    [0, [B, 1, SCRATCH_BASE]],
  ])('%s of (%j)', (expected, args) => {
    map(0, 2);
    expect(call('mincore', ...args)).toBe(expected);
  });
});

describe('msync', () => {
  test.each([
    [0, [B, 2 * P, 4]],
    [0, [B, 0, 0]],
    ['EINVAL', [B, P, 8]],
    ['EINVAL', [B, P, 5]],
    ['EINVAL', [B + 1, P, 4]],
    ['ENOMEM', [B, -P, 4]],
    ['ENOMEM', [B, 3 * P, 4]],
    ['ENOMEM', [B, 3 * P, 1]],
    ['EBUSY', [B, 6 * P, 2]],
    ['ENOMEM', [B, 6 * P, 1]],
  ])('%s of (%j)', (expected, args) => {
    map(0, 2);
    map(4, 1);
    call('mlock', B + 4 * P, P);
    expect(call('msync', ...args)).toBe(expected);
  });
});

describe('MADV_FREE', () => {
  test('what is not written again goes with MADV_PAGEOUT, what was read only too (6.18 without swap)', () => {
    map(0, 4);
    for (let i = 0; i < 4; i++) k.store(B + i * P, i + 1);
    expect(call('madvise', B, 3 * P, MADV_FREE)).toBe(0);
    expect(k.load(B)).toBe(1);
    k.store(B + P, 9);
    expect(call('madvise', B, 4 * P, MADV_PAGEOUT)).toBe(0);
    expect(resident(4)).toBe('0101');
    expect([0, 1, 2, 3].map((i) => k.load(B + i * P))).toEqual([0, 9, 0, 4]);
  });
  test('leaves pages that a child shares', () => {
    map(0, 1);
    k.store(B, 5);
    const child = k.fork();
    call('madvise', B, P, MADV_FREE);
    call('madvise', B, P, MADV_PAGEOUT);
    expect(resident(1)).toBe('1');
    expect([k.load(B), k.load(B, child)]).toEqual([5, 5]);
    k.exit(child);
  });
  test.each([MADV_FREE, MADV_PAGEOUT, 20])('advice %i of locked memory is EINVAL', (advice) => {
    map(0, 1);
    call('mlock', B, P);
    expect(call('madvise', B, P, advice)).toBe('EINVAL');
  });
});

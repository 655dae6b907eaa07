// What swapoff(2) leaves behind. Errnos and states measured on 6.18.44 with a swap file (test titles say what).
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { pteIsSwap } from '../../machine/pte.ts';
import { errnoName } from '../../uapi/errno.ts';
import { MADV_PAGEOUT, MAP_ANONYMOUS, MAP_SHARED } from '../../uapi/mman.ts';
import { forEachPte } from '../check/page-tables.ts';
import { SETTINGS } from '../fs/sysfs.ts';
import { syscallByName } from '../syscall/dispatch.ts';
import { swapoffWhy } from '../syscall/swapon.ts';
import { doMmap } from './mmap.ts';
import { SWAP_PATH } from './swapfile.ts';

const P = 4096;
let k: KernelWorld;
let a: number;

beforeEach(() => {
  k = new KernelWorld({ swapPages: 16 });
  a = k.map(3);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function call(name: string, args: readonly number[]): number | string {
  const result = k.run(must(syscallByName(name), name).handler(k.task, args));
  return result < 0 ? errnoName(-result) : result;
}
/** A path in a page of its own. */
function withPath(name: string, path: string, how = 0): number | string {
  const at = k.map(2);
  for (let i = 0; i <= path.length; i += 4) {
    let word = 0;
    for (let b = 3; b >= 0; b--) word = word * 256 + (path.charCodeAt(i + b) || 0);
    k.store(at + i, word);
  }
  return call(name, [at, how]);
}
function entriesLeft(): number {
  let left = 0;
  for (const mm of k.world.mms) {
    forEachPte(mm, (_address, pte) => {
      if (pteIsSwap(pte)) left++;
    });
  }
  for (const { swapped } of k.world.mappings.values()) left += swapped?.size ?? 0;
  return left;
}

describe('swapoff(2)', () => {
  test('brings private and shared memory back: no entry is left, nothing was accessed', () => {
    const flags = MAP_SHARED | MAP_ANONYMOUS;
    const rw = 3;
    const s = k.run(doMmap(k.task.mmOrDie, { address: 0, length: P, prot: rw, flags }));
    k.store(a, 5);
    k.store(a + P, 6);
    k.store(s, 7);
    call('madvise', [a, 2 * P, MADV_PAGEOUT]);
    call('madvise', [s, P, MADV_PAGEOUT]);
    const child = k.fork();
    expect(entriesLeft()).toBe(5);
    expect(withPath('swapoff', SWAP_PATH)).toBe(0);
    expect(entriesLeft()).toBe(0);
    expect([k.slot(a), k.slot(a + P, child), k.slot(s)]).toEqual(['present', 'present', 'none']);
    expect([k.load(a), k.load(a + P, child), k.load(s)]).toEqual([5, 6, 7]);
    expect(k.store(a, 8)).toBe('ok');
    expect(k.load(a, child)).toBe(5);
    expect(SETTINGS['/proc/swaps']?.()).not.toContain(SWAP_PATH);
  });
  test('afterwards pages stay in memory, until swapon(2)', () => {
    k.store(a, 5);
    expect(withPath('swapoff', SWAP_PATH)).toBe(0);
    call('madvise', [a, P, MADV_PAGEOUT]);
    expect(k.slot(a)).toMatch(/^present/);
    expect(withPath('swapoff', SWAP_PATH)).toBe('EINVAL');
    expect(withPath('swapon', SWAP_PATH, 0x8000 | 7)).toBe(0);
    expect(SETTINGS['/proc/swaps']?.()).toMatch(/partition\t64\t\t0\t\t7/);
    call('madvise', [a, P, MADV_PAGEOUT]);
    expect(k.slot(a)).toBe('swap');
    expect(k.load(a)).toBe(5);
  });
  test('without memory for what is on the device it fails with ENOMEM, and the device stays', () => {
    k.store(a, 5);
    k.store(a + P, 6);
    call('madvise', [a, 2 * P, MADV_PAGEOUT]);
    k.world.allocsFail = true;
    const { free, inUse } = k.world.machine.frames;
    const at = k.map(2);
    k.store(at, 0);
    const { most } = free;
    const path = must(k.world.swap, 'swap device');
    free.most = inUse + 1;
    expect(withSwapoff()).toBe('ENOMEM');
    free.most = most;
    k.world.allocsFail = false;
    expect([path.writable, path.on]).toEqual([true, true]);
    expect([k.load(a), k.load(a + P)]).toEqual([5, 6]);
  });
  test.each([
    ['swapoff', '/nonexistent', 0, 'ENOENT'],
    ['swapoff', '/tmp', 0, 'EISDIR'],
    ['swapoff', '/dev/null', 0, 'EINVAL'],
    ['swapon', '/nonexistent', 0, 'ENOENT'],
    ['swapon', '/tmp', 0, 'EISDIR'],
    ['swapon', '/dev/null', 0, 'EINVAL'],
    ['swapon', '/dev/null', 1 << 20, 'EINVAL'],
    ['swapon', SWAP_PATH, 0, 'EBUSY'],
  ])('%s %s with flags %i: %s', (name, path, how, expected) => {
    expect(withPath(name, path, how)).toBe(expected);
  });
  test('bad pointers are EFAULT; only root may, and a bad flag is seen first', () => {
    expect([call('swapoff', [1]), call('swapon', [1, 0])]).toEqual(['EFAULT', 'EFAULT']);
    k.task.uid = 1000;
    expect([call('swapoff', [1]), call('swapon', [1, 0])]).toEqual(['EPERM', 'EPERM']);
    expect(call('swapon', [1, 1 << 20])).toBe('EINVAL');
  });
});

/** swapoff of the device itself: its path needs no memory. */
function withSwapoff(): number | string {
  const device = must(k.world.swap, 'swap device');
  const result = k.run(swapoffWhy(device));
  return result < 0 ? errnoName(-result) : result;
}

// Memory runs out: what goes, who is killed, and that every allocation that fails is an errno or a signal, never a crash.
import { afterEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { errnoName } from '../../uapi/errno.ts';
import { MADV_FREE, MADV_PAGEOUT, MAP_ANONYMOUS, MAP_SHARED } from '../../uapi/mman.ts';
import type { Task } from '../core/task.ts';
import { syscallByName } from '../syscall/dispatch.ts';
import { oomBadness } from './oom-kill.ts';

const P = 4096;
let k: KernelWorld;

afterEach(() => {
  k.world.allocsFail = false;
  k.world.machine.frames.free.most = Number.POSITIVE_INFINITY;
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function call(name: string, args: readonly number[], task: Task = k.task): number | string {
  const row = must(syscallByName(name), name);
  const result = k.run(row.handler(task, args), task);
  return result < 0 ? errnoName(-result) : result;
}
function ram(pages: number): void {
  k.world.machine.frames.free.most = pages;
}

describe('when no frame is free', () => {
  test('a page given up with MADV_FREE goes, one written since stays', () => {
    k = new KernelWorld();
    const a = k.map(3);
    k.store(a, 1);
    k.store(a + P, 2);
    call('madvise', [a, 2 * P, MADV_FREE]);
    k.store(a + P, 3);
    ram(2);
    expect(k.store(a + 2 * P, 4)).toBe('ok');
    expect(k.slot(a)).toBe('none');
    expect([k.load(a), k.load(a + P), k.load(a + 2 * P)]).toEqual([0, 3, 4]);
  });
  test('pages move to the swap device and back: more pages than RAM has', () => {
    k = new KernelWorld({ swapPages: 32 });
    const a = k.map(12);
    ram(4);
    for (let i = 0; i < 12; i++) expect(k.store(a + i * P, 100 + i)).toBe('ok');
    for (let i = 0; i < 12; i++) expect(k.load(a + i * P)).toBe(100 + i);
    expect(k.world.machine.frames.inUse).toBeLessThanOrEqual(4);
  });
  test('shared memory goes too', () => {
    k = new KernelWorld({ swapPages: 32 });
    const a = Number(call('mmap', [0, 8 * P, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0]));
    ram(3);
    for (let i = 0; i < 8; i++) expect(k.store(a + i * P, 50 + i)).toBe('ok');
    for (let i = 0; i < 8; i++) expect(k.load(a + i * P)).toBe(50 + i);
  });
  test('the page that was accessed last is spared', () => {
    k = new KernelWorld({ swapPages: 32 });
    const a = k.map(4);
    for (let i = 0; i < 3; i++) k.store(a + i * P, 1 + i);
    // The first search takes the young bits of all and one page; the second meets what was used since.
    ram(3);
    k.store(a + 3 * P, 9);
    const gone = [0, 1, 2].filter((i) => k.slot(a + i * P) === 'swap');
    expect(gone.length).toBeGreaterThan(0);
  });
  test('locked memory stays', () => {
    k = new KernelWorld({ swapPages: 32 });
    const a = k.map(2);
    call('mlock', [a, 2 * P]);
    const b = k.map(3);
    ram(3);
    for (let i = 0; i < 3; i++) expect(k.store(b + i * P, 1)).toBe('ok');
    expect([k.slot(a), k.slot(a + P)]).toEqual([
      expect.stringMatching(/^present/),
      expect.stringMatching(/^present/),
    ]);
  });
});

test('points of the OOM killer: resident pages, swap and page tables, and what oom_score_adj adds', () => {
  k = new KernelWorld({ swapPages: 32 });
  const a = k.map(3);
  for (let i = 0; i < 3; i++) k.store(a + i * P, 1);
  call('madvise', [a, P, MADV_PAGEOUT]);
  const { mm } = k.task;
  const { tables } = must(mm, 'mm');
  expect(oomBadness(k.task, must(mm, 'mm'))).toBe(3 + tables);
  k.task.group.oomScoreAdj = 1000;
  const total = k.world.machine.frames.count + 32;
  expect(oomBadness(k.task, must(mm, 'mm'))).toBe(3 + tables + total);
  k.task.group.oomScoreAdj = -1000;
  expect(oomBadness(k.task, must(mm, 'mm'))).toBeNull();
});

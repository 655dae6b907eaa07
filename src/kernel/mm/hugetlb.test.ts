// Goal: pools, promises, faults, copies, holes and moves of huge pages. Every count and answer was measured on 6.18.44
// ("t6 f4 r1 s0": HugePages_Total, Free, Rsvd, Surp).
import { afterEach, describe, expect, test } from 'vitest';
import { H, HUGE, HugetlbKit } from '../../../test/kernel/hugetlb-kit.ts';
import { A, P } from '../../../test/kernel/kit.ts';
import { MADV_DONTNEED, MADV_REMOVE, MAP_PRIVATE, MAP_SHARED } from '../../uapi/mman.ts';
import { forkTask } from '../core/create.ts';
import type { Task } from '../core/task.ts';
import { mmput } from './exit-mmap.ts';
import { defaultHstate, setMaxHugePages } from './hugetlb.ts';
import { userLoad, userStore } from './user-access.ts';

const MAP_NORESERVE = 0x4000;
const PUNCH = 3;

let kit: HugetlbKit;
afterEach(() => {
  expect(kit.census()).toBeNull();
});

function forked(): Task {
  const child = kit.alone(forkTask(kit.task, { name: 'child', hart: 1, owner: 1 }));
  if (typeof child === 'number') throw new Error(`fork: ${child}`);
  return child;
}
function exits(task: Task): void {
  kit.alone(mmput(task.mmOrDie));
  task.mm = null;
}
function storeAs(task: Task, at: number, value: number): string {
  const signal = kit.alone(userStore(task, A + at * HUGE, 1, value));
  return signal === null ? 'ok' : `${signal.signal} ${signal.code}`;
}
function loadAs(task: Task, at: number): number | string {
  const value = kit.alone(userLoad(task, A + at * HUGE, 1));
  return typeof value === 'number' ? value : `${value.signal} ${value.code}`;
}

describe('promises', () => {
  test('a shared mapping promises pages to the file, faults use them, truncation gives them back', () => {
    kit = new HugetlbKit(6);
    const fd = kit.huge(3);
    kit.mapHuge(fd, 0, 3, MAP_SHARED);
    expect(kit.counts()).toBe('t6 f6 r3 s0');
    expect(kit.get1(0)).toBe(0);
    expect(kit.counts()).toBe('t6 f5 r2 s0');
    kit.put1(1, 1);
    expect(kit.counts()).toBe('t6 f4 r1 s0');
    kit.mapHuge(fd, 4, 3, MAP_SHARED);
    expect(kit.counts()).toBe('t6 f4 r1 s0');
    kit.unmapHuge(4, 3);
    kit.unmapHuge(0, 3);
    expect(kit.counts()).toBe('t6 f4 r1 s0');
    kit.call('ftruncate', fd, HUGE);
    expect(kit.counts()).toBe('t6 f5 r0 s0');
    kit.call('ftruncate', fd, 0);
    expect(kit.counts()).toBe('t6 f6 r0 s0');
  });

  test('the end of the file ends its promises', () => {
    kit = new HugetlbKit(3);
    const fd = kit.huge(2);
    kit.mapHuge(fd, 0, 2, MAP_SHARED);
    kit.put1(0, 1);
    kit.call('close', fd);
    expect(kit.counts()).toBe('t3 f2 r1 s0');
    kit.unmapHuge(0, 2);
    expect(kit.counts()).toBe('t3 f3 r0 s0');
  });

  test('a private mapping has them for itself, and keeps those of pages it did not touch', () => {
    kit = new HugetlbKit(6);
    kit.anonHuge(0, 3);
    expect(kit.counts()).toBe('t6 f6 r3 s0');
    expect([kit.get1(0), kit.put1(1, 2)]).toEqual([0, 'ok']);
    expect(kit.counts()).toBe('t6 f4 r1 s0');
    expect(kit.unmap(H, 1)).toBe(-22);
    kit.unmapHuge(1, 1);
    expect(kit.counts()).toBe('t6 f5 r1 s0');
    kit.unmapHuge(2, 1);
    expect(kit.counts()).toBe('t6 f5 r0 s0');
    kit.unmapHuge(0, 1);
    expect(kit.counts()).toBe('t6 f6 r0 s0');
  });

  test('what was promised to one is not there for another', () => {
    kit = new HugetlbKit(2);
    expect(kit.anonHuge(0, 3)).toBe('ENOMEM');
    kit.anonHuge(0, 2);
    expect(kit.anonHuge(4, 1)).toBe('ENOMEM');
    kit.anonHuge(4, 1, MAP_PRIVATE | MAP_NORESERVE);
    expect(kit.put1(4, 1)).toBe('BUS 2');
    expect([kit.put1(0, 1), kit.put1(1, 1)]).toEqual(['ok', 'ok']);
  });

  test('without a promise faults take what is left, then SIGBUS', () => {
    kit = new HugetlbKit(2);
    kit.anonHuge(0, 3, MAP_PRIVATE | MAP_NORESERVE);
    expect([0, 1, 2].map((at) => kit.put1(at, 1))).toEqual(['ok', 'ok', 'BUS 2']);
    expect(kit.counts()).toBe('t2 f0 r0 s0');
  });

  test('MADV_DONTNEED of a private page promises it again', () => {
    kit = new HugetlbKit(2);
    kit.anonHuge(0, 2);
    kit.put1(0, 1);
    expect([kit.counts(), kit.adviseHuge(0, 1, MADV_DONTNEED)]).toEqual(['t2 f1 r1 s0', 0]);
    expect(kit.counts()).toBe('t2 f2 r2 s0');
    kit.put1(0, 1);
    expect(kit.counts()).toBe('t2 f1 r1 s0');
  });

  test('a hole ends the promise of what was in it', () => {
    kit = new HugetlbKit(4);
    const fd = kit.huge(4);
    kit.mapHuge(fd, 0, 4, MAP_SHARED);
    kit.put1(0, 5);
    expect([kit.adviseHuge(0, 1, MADV_REMOVE), kit.counts()]).toEqual([0, 't4 f4 r3 s0']);
    expect([kit.get1(0), kit.counts()]).toEqual([0, 't4 f3 r3 s0']);
  });
});

describe('surplus pages', () => {
  test('come when promises need them and go when nothing does', () => {
    kit = new HugetlbKit(2, 3);
    kit.anonHuge(0, 4);
    expect(kit.counts()).toBe('t4 f4 r4 s2');
    for (const at of [0, 1, 2]) kit.put1(at, 1);
    expect(kit.counts()).toBe('t4 f1 r1 s2');
    kit.anonHuge(4, 2, MAP_PRIVATE | MAP_NORESERVE);
    expect([kit.put1(4, 1), kit.counts(), kit.put1(5, 1)]).toEqual(['ok', 't5 f1 r1 s3', 'BUS 2']);
    kit.unmapHuge(0, 4);
    expect(kit.counts()).toBe('t2 f1 r0 s0');
    kit.unmapHuge(4, 2);
    expect(kit.counts()).toBe('t2 f2 r0 s0');
  });

  test('are what a pool that is made smaller cannot let go', () => {
    kit = new HugetlbKit(4);
    kit.anonHuge(0, 3);
    kit.put1(0, 1);
    kit.put1(1, 1);
    setMaxHugePages(defaultHstate(), 0);
    expect(kit.counts()).toBe('t3 f1 r1 s3');
    kit.unmapHuge(0, 1);
    expect(kit.counts()).toBe('t2 f1 r1 s2');
    kit.unmapHuge(1, 2);
    expect(kit.counts()).toBe('t0 f0 r0 s0');
  });

  test('are the pool’s own when it is made larger', () => {
    kit = new HugetlbKit(0, 3);
    kit.anonHuge(0, 2);
    expect(kit.counts()).toBe('t2 f2 r2 s2');
    setMaxHugePages(defaultHstate(), 1);
    expect(kit.counts()).toBe('t2 f2 r2 s1');
    setMaxHugePages(defaultHstate(), 3);
    expect(kit.counts()).toBe('t3 f3 r2 s0');
    kit.unmapHuge(0, 2);
    expect(kit.counts()).toBe('t3 f3 r0 s0');
  });
});

describe('fork', () => {
  test('a child shares private pages, has no promise, and takes copies from what is left', () => {
    kit = new HugetlbKit(6);
    kit.anonHuge(0, 2);
    kit.put1(0, 5);
    const child = forked();
    expect(loadAs(child, 0)).toBe(5);
    expect([storeAs(child, 0, 6), kit.counts()]).toEqual(['ok', 't6 f4 r1 s0']);
    expect([loadAs(child, 1), kit.counts()]).toEqual([0, 't6 f3 r1 s0']);
    exits(child);
    expect([kit.get1(0), kit.put1(0, 7), kit.counts()]).toEqual([5, 'ok', 't6 f5 r1 s0']);
  });

  test('an owner for whose copy no page is left takes it away from the child, who gets SIGBUS', () => {
    kit = new HugetlbKit(2);
    kit.anonHuge(0, 2);
    kit.put1(0, 5);
    kit.put1(1, 6);
    const child = forked();
    expect([kit.put1(0, 7), kit.counts(), kit.put1(1, 8)]).toEqual(['ok', 't2 f0 r0 s0', 'ok']);
    expect([loadAs(child, 0), loadAs(child, 1), storeAs(child, 1, 1)]).toEqual([
      'BUS 2',
      'BUS 2',
      'BUS 2',
    ]);
    exits(child);
    kit.unmapHuge(0, 2);
    expect(kit.counts()).toBe('t2 f2 r0 s0');
  });

  test('a child for whose copy no page is left gets SIGBUS, and reads on', () => {
    kit = new HugetlbKit(2);
    kit.anonHuge(0, 2);
    kit.put1(0, 5);
    kit.put1(1, 6);
    const child = forked();
    expect([storeAs(child, 0, 7), loadAs(child, 0)]).toEqual(['BUS 2', 5]);
    exits(child);
    expect(kit.put1(0, 8)).toBe('ok');
  });
});

describe('fork and unmapping', () => {
  test('an owner who unmaps what a child still has gives its promise back twice, until the child has gone', () => {
    kit = new HugetlbKit(4);
    kit.anonHuge(4, 1);
    kit.anonHuge(0, 1);
    kit.put1(0, 1);
    const child = forked();
    kit.unmapHuge(0, 1);
    expect(kit.counts()).toBe('t4 f3 r0 s0');
    expect(loadAs(child, 0)).toBe(1);
    exits(child);
    expect(kit.counts()).toBe('t4 f4 r1 s0');
  });
});

describe('files', () => {
  test('a private mapping shows the file until it writes; holes and truncation take its copies too', () => {
    kit = new HugetlbKit(3);
    const fd = kit.huge(1);
    kit.mapHuge(fd, 0, 1, MAP_SHARED);
    kit.put1(0, 3);
    kit.mapHuge(fd, 4, 1, MAP_PRIVATE);
    expect([kit.get1(4), kit.counts()]).toEqual([3, 't3 f2 r1 s0']);
    expect([kit.put1(4, 4), kit.counts(), kit.get1(0)]).toEqual(['ok', 't3 f1 r0 s0', 3]);
    expect([kit.call('fallocate', fd, PUNCH, 0, HUGE), kit.counts()]).toEqual([0, 't3 f3 r1 s0']);
    expect([kit.get1(4), kit.get1(0), kit.counts()]).toEqual([0, 0, 't3 f1 r0 s0']);
    expect([kit.call('ftruncate', fd, 0), kit.counts()]).toEqual([0, 't3 f3 r1 s0']);
    expect([kit.get1(4), kit.get1(0)]).toEqual(['BUS 2', 'BUS 2']);
    kit.call('ftruncate', fd, HUGE);
    expect([kit.get1(4), kit.get1(0)]).toEqual([0, 0]);
  });

  test('fallocate makes pages and a size that need not be whole; partial holes are zeroes', () => {
    kit = new HugetlbKit(6);
    const fd = kit.huge(0);
    expect([kit.call('fallocate', fd, 0, 0, P), kit.counts()]).toEqual([0, 't6 f5 r0 s0']);
    expect(kit.call('lseek', fd, 0, 2)).toBe(P);
    expect([kit.call('fallocate', fd, 0, 0, 3 * HUGE), kit.counts()]).toEqual([0, 't6 f3 r0 s0']);
    expect(kit.call('fallocate', fd, 1, 5 * HUGE, HUGE)).toBe(0);
    expect([kit.call('fallocate', fd, PUNCH, 0, HUGE), kit.counts()]).toEqual([0, 't6 f3 r0 s0']);
    kit.mapHuge(fd, 0, 1, MAP_SHARED);
    kit.store(1, 9);
    kit.store(0, 8);
    expect(kit.call('fallocate', fd, PUNCH, P, P)).toBe(0);
    expect([kit.load(0), kit.load(1)]).toEqual([8, 0]);
    expect(kit.read(fd, 2, 0)).toEqual([8, 0]);
  });

  test('mprotect, MADV_DONTNEED and a refault keep what the file has', () => {
    kit = new HugetlbKit(2);
    const fd = kit.huge(2);
    kit.mapHuge(fd, 0, 2, MAP_SHARED);
    kit.put1(0, 5);
    expect(kit.protect(0, H, 1)).toBe(0);
    expect([kit.put1(0, 6), kit.protect(0, H, 3), kit.put1(0, 7)]).toEqual(['SEGV 2', 0, 'ok']);
    // The end is rounded down, so nothing but page 0 goes.
    kit.put1(1, 6);
    expect(kit.advise(0, H + 1, MADV_DONTNEED)).toBe(0);
    expect(kit.advise(0, 1, MADV_DONTNEED)).toBe(0);
    expect(kit.advise(1, H, MADV_DONTNEED)).toBe(-22);
    expect([kit.get1(0), kit.get1(1)]).toEqual([7, 6]);
  });
});

describe('mremap', () => {
  const [MAYMOVE, FIXED, DONTUNMAP] = [1, 2, 4];
  const move = (from: number, old: number, size: number, flags: number, to = 0): number | string =>
    kit.call('mremap', A + from * P, old * P, size * P, flags, A + to * P);

  test('rounds lengths, never grows, wants whole pages', () => {
    kit = new HugetlbKit(4);
    const fd = kit.huge(4);
    kit.mapHuge(fd, 0, 4, MAP_SHARED);
    expect(move(0, 4 * H, 5 * H, MAYMOVE)).toBe('EINVAL');
    expect([move(0, 1, 1, 0), move(0, 1, 2, MAYMOVE), move(0, H, 1, 0)]).toEqual([A, A, A]);
    expect(move(1, H, H, 0)).toBe('EINVAL');
    expect(move(0, 4 * H, 3 * H, 0)).toBe(A);
    expect(move(0, 3 * H, 3 * H, MAYMOVE | FIXED, 8 * H + 1)).toBe('EINVAL');
    expect(move(0, 3 * H, 3 * H, MAYMOVE | DONTUNMAP)).toBe('EINVAL');
    expect(move(0, 0, H, MAYMOVE)).toBe('EINVAL');
  });

  test('moves pages and promises', () => {
    kit = new HugetlbKit(6);
    kit.anonHuge(0, 3);
    kit.put1(0, 7);
    expect(move(0, 3 * H, 3 * H, MAYMOVE | FIXED, 8 * H)).toBe(A + 8 * HUGE);
    expect([kit.counts(), kit.get1(8), kit.put1(9, 1), kit.counts()]).toEqual([
      't6 f5 r2 s0',
      7,
      'ok',
      't6 f4 r1 s0',
    ]);
    expect(kit.get1(0)).toBe('SEGV 1');
    kit.unmapHuge(8, 3);
    expect(kit.counts()).toBe('t6 f6 r0 s0');
  });

  test('of part of a private mapping forgets what was promised to the rest', () => {
    kit = new HugetlbKit(6);
    kit.anonHuge(0, 3);
    kit.put1(0, 1);
    move(H, H, H, MAYMOVE | FIXED, 8 * H);
    expect([kit.counts(), kit.put1(8, 3), kit.counts()]).toEqual([
      't6 f5 r2 s0',
      'ok',
      't6 f4 r1 s0',
    ]);
    expect([kit.get1(2), kit.counts()]).toEqual([0, 't6 f3 r1 s0']);
    kit.unmapHuge(0, 3);
    kit.unmapHuge(8, 1);
    // Linux leaks it: nothing will ever use that page again.
    expect(kit.counts()).toBe('t6 f6 r1 s0');
  });
});

describe('PMD sharing', () => {
  /** Huge pages a table of them covers. */
  const SPAN = 4;
  const tables = (): number => kit.world.machine.tables.inUse;

  test('mappings that cover a whole table share it, and its entries', () => {
    kit = new HugetlbKit(4);
    const fd = kit.huge(SPAN);
    kit.mapHuge(fd, 0, SPAN, MAP_SHARED);
    kit.put1(0, 5);
    const before = tables();
    kit.mapHuge(fd, 2 * SPAN, SPAN, MAP_SHARED);
    expect(kit.get1(2 * SPAN)).toBe(5);
    expect(tables()).toBe(before);
    kit.put1(1, 6);
    expect(kit.world.pmdSharers?.size).toBe(1);
    expect(kit.get1(2 * SPAN + 1)).toBe(6);
  });

  test.each([
    ['mprotect', () => kit.protect(2 * SPAN * H, H, 1)],
    ['munmap of a part', () => kit.unmapHuge(2 * SPAN, 1)],
    ['munmap', () => kit.unmapHuge(2 * SPAN, SPAN)],
    ['MADV_DONTNEED', () => kit.adviseHuge(2 * SPAN, 1, MADV_DONTNEED)],
    [
      'mremap',
      () =>
        kit.call(
          'mremap',
          A + 2 * SPAN * HUGE,
          SPAN * HUGE,
          SPAN * HUGE,
          3,
          A + 4 * SPAN * HUGE,
        ) !== 0
          ? 0
          : 1,
    ],
  ])('%s of one takes nothing from the other', (_name, act) => {
    kit = new HugetlbKit(4);
    const fd = kit.huge(SPAN);
    kit.mapHuge(fd, 0, SPAN, MAP_SHARED);
    kit.put1(0, 5);
    kit.mapHuge(fd, 2 * SPAN, SPAN, MAP_SHARED);
    kit.get1(2 * SPAN);
    expect(kit.world.pmdSharers?.size).toBe(1);
    expect(act()).toBe(0);
    expect(kit.world.pmdSharers?.size).toBe(0);
    expect(kit.put1(0, 6)).toBe('ok');
    expect(kit.get1(0)).toBe(6);
  });
});

// Shared memory on the swap device. What slots, mincore, smaps and calls say was measured on 6.18.44 with zram.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { A, P } from '../../../test/kernel/kit.ts';
import { MemfdKit } from '../../../test/kernel/memfd-kit.ts';
import { SCRATCH_BASE } from '../../kernel/core/task.ts';
import { SEEK_DATA, SEEK_HOLE } from '../../uapi/fcntl.ts';
import { MADV_PAGEOUT, MADV_WILLNEED, MAP_PRIVATE, MAP_SHARED } from '../../uapi/mman.ts';
import { runStepChecks } from '../check/table.ts';
import { forkTask } from '../core/create.ts';
import { procSmaps } from '../fs/proc/smaps.ts';
import { mmput } from './exit-mmap.ts';

const [PUNCH, ALLOCATE] = [3, 0];
const [MISSING, WP, MINOR] = [1, 2, 4];
let kit: MemfdKit;
let fd: number;

beforeEach(() => {
  kit = new MemfdKit([], false, 32);
  fd = kit.memfd(4);
  kit.mapFile(fd, 0, 1, MAP_SHARED);
});
afterEach(() => {
  expect(runStepChecks(kit.world)).toBeNull();
  expect(kit.census()).toBeNull();
});

function inCore(page: number): number {
  const vec = SCRATCH_BASE + 2048;
  expect(kit.call('mincore', A + page * P, P, vec)).toBe(0);
  return kit.task.scratch?.[2048] ?? -1;
}
/** kB of `Swap:` and `SwapPss:` of the mapping of a page. */
function swapOf(page: number): string {
  const start = (A + page * P).toString(16).padStart(8, '0');
  const part = procSmaps(kit.task.mmOrDie).split(`${start}-`)[1] ?? '';
  return [...part.matchAll(/^Swap(?:Pss)?: +(\d+) kB$/gm)]
    .slice(0, 2)
    .map((m) => m[1])
    .join(' ');
}
/** Page 0 written and moved out. */
function swappedOut(): void {
  kit.store(0, 7);
  expect(kit.advise(0, 1, MADV_PAGEOUT)).toBe(0);
  expect(kit.world.swap?.used).toBe(1);
}

describe('MADV_PAGEOUT of shared memory', () => {
  test('leaves an empty slot; a fault brings the page back and frees its place on the device', () => {
    swappedOut();
    expect([kit.slot(0), inCore(0), swapOf(0)]).toEqual(['none', 0, '4 0']);
    expect(kit.load(0)).toBe(7);
    expect([inCore(0), swapOf(0), kit.world.swap?.used]).toEqual([1, '0 0', 0]);
  });
  test('drops what was only ever read', () => {
    kit.load(0);
    kit.advise(0, 1, MADV_PAGEOUT);
    expect([kit.slot(0), inCore(0), swapOf(0)]).toEqual(['none', 0, '0 0']);
  });
  test('leaves pages that another mapping shows', () => {
    kit.mapFile(fd, 4, 1, MAP_SHARED);
    kit.store(0, 7);
    kit.load(4);
    kit.advise(0, 1, MADV_PAGEOUT);
    expect(kit.slot(0)).toMatch(/^present/);
    kit.unmap(4, 1);
    kit.advise(0, 1, MADV_PAGEOUT);
    expect([kit.slot(0), swapOf(0)]).toEqual(['none', '4 0']);
  });
  test('does not see a page that no entry shows', () => {
    kit.write(fd, [9], 0);
    kit.advise(0, 1, MADV_PAGEOUT);
    expect(inCore(0)).toBe(1);
  });
  test('of a private mapping moves the page of the file; of a private copy only that', () => {
    kit.store(0, 7);
    kit.unmap(0, 1);
    kit.mapFile(fd, 4, 1, MAP_PRIVATE);
    kit.load(4);
    kit.advise(4, 1, MADV_PAGEOUT);
    expect([kit.slot(4), swapOf(4)]).toEqual(['none', '4 0']);
    expect(kit.read(fd, 1, 0)).toEqual([7]);
    kit.store(4, 8);
    kit.advise(4, 1, MADV_PAGEOUT);
    expect([kit.slot(4), swapOf(4)]).toEqual(['swap', '4 4']);
    // WILLNEED looks at the file alone.
    kit.advise(4, 1, MADV_WILLNEED);
    expect(inCore(4)).toBe(0);
  });
});

describe('a page of shared memory on the swap device', () => {
  beforeEach(swappedOut);

  test('MADV_WILLNEED reads it into the swap cache only', () => {
    kit.advise(0, 1, MADV_WILLNEED);
    expect([kit.slot(0), inCore(0), swapOf(0)]).toEqual(['none', 1, '4 0']);
    expect(kit.load(0)).toBe(7);
  });
  test('is read and written through the file', () => {
    expect(kit.read(fd, 1, 0)).toEqual([7]);
    expect([inCore(0), swapOf(0)]).toEqual([1, '0 0']);
    kit.load(0);
    kit.advise(0, 1, MADV_PAGEOUT);
    kit.write(fd, [8], 1);
    expect([kit.load(0), kit.load(0, 1)]).toEqual([7, 8]);
  });
  test('is gone with a hole, zeroed by half a hole, kept by fallocate', () => {
    expect(kit.call('fallocate', fd, ALLOCATE, 0, P)).toBe(0);
    expect(kit.load(0)).toBe(7);
    kit.store(0, 1, 4);
    kit.advise(0, 1, MADV_PAGEOUT);
    expect(kit.call('fallocate', fd, PUNCH, 0, 2)).toBe(0);
    expect([inCore(0), kit.load(0), kit.load(0, 4)]).toEqual([1, 0, 1]);
    kit.advise(0, 1, MADV_PAGEOUT);
    expect(kit.call('fallocate', fd, PUNCH, 0, P)).toBe(0);
    expect([kit.world.swap?.used, kit.load(0)]).toEqual([0, 0]);
  });
  test('is gone with the end of the file, and with the file', () => {
    kit.call('ftruncate', fd, 0);
    expect(kit.world.swap?.used).toBe(0);
    kit.call('ftruncate', fd, P);
    kit.store(0, 3);
    kit.advise(0, 1, MADV_PAGEOUT);
    kit.unmap(0, 1);
    expect(kit.world.swap?.used).toBe(1);
    kit.call('close', fd);
    expect(kit.world.swap?.used).toBe(0);
  });
  test('is data to lseek(2)', () => {
    const seek = (whence: number) => kit.call('lseek', fd, 0, whence);
    expect([seek(SEEK_DATA), seek(SEEK_HOLE)]).toEqual([0, P]);
  });
  test('is not counted for a private copy that hides it', () => {
    kit.mapFile(fd, 4, 1, MAP_PRIVATE);
    kit.mapFile(fd, 8, 1, MAP_PRIVATE, 1);
    expect([swapOf(4), swapOf(8)]).toEqual(['4 0', '4 0']);
    kit.store(4, 5);
    expect([swapOf(4), swapOf(0), inCore(0)]).toEqual(['0 0', '0 0', 1]);
  });
  test('a child of fork finds it', () => {
    const child = kit.alone(forkTask(kit.task, { name: 'child', hart: 1, owner: 1 }));
    if (typeof child === 'number') throw new Error('fork');
    expect(kit.load(0)).toBe(7);
    kit.alone(mmput(child.mmOrDie));
    child.mm = null;
  });
  test.each([
    ['COPY', 'EEXIST'],
    ['ZEROPAGE', 'EEXIST'],
    ['CONTINUE', 0],
  ])('UFFDIO_%s says %s', (name, result) => {
    const u = kit.uffd();
    kit.ioctl(u, 'REGISTER', { ...kit.range(0, 1), mode: MISSING | MINOR });
    const copied = { dst: A, src: SCRATCH_BASE, len: P, mode: 0 };
    const fill = name === 'COPY' ? copied : { ...kit.range(0, 1), mode: 0 };
    expect(kit.ioctl(u, name, fill).result).toBe(result);
    expect(kit.world.swap?.used).toBe(result === 0 ? 0 : 1);
  });
});

test('write protection stays behind when a page is moved out', () => {
  const u = kit.uffd();
  kit.store(0, 7);
  kit.ioctl(u, 'REGISTER', { ...kit.range(0, 1), mode: WP });
  kit.ioctl(u, 'WRITEPROTECT', { ...kit.range(0, 1), mode: 1 });
  kit.advise(0, 1, MADV_PAGEOUT);
  expect([kit.slot(0), swapOf(0)]).toEqual(['marker uffd-wp', '4 0']);
  expect([kit.load(0), kit.slot(0)]).toEqual([7, 'present young uffd-wp']);
});

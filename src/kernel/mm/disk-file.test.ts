/** Files on a disk: mapped, written, written back, cut. Answers as 6.18.44 gives them on ext4. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileKit } from '../../../test/kernel/file-kit.ts';
import { A, P } from '../../../test/kernel/kit.ts';
import { must } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PG_DIRTY } from '../../machine/frames.ts';
import { O_CREAT, O_RDONLY, O_RDWR } from '../../uapi/fcntl.ts';
import { MAP_PRIVATE, MAP_SHARED, MS_ASYNC, MS_SYNC } from '../../uapi/mman.ts';
import { procMaps } from '../fs/proc/maps.ts';
import { MemSizeStats } from '../fs/proc/smaps.ts';

let k: FileKit;
let fd: number;
beforeEach(() => {
  k = new FileKit();
  fd = Number(k.open('/f', O_RDWR | O_CREAT));
});
afterEach(() => {
  expect(k.census()).toBeNull();
});

const PATH = '/f';
/** Gives the file so many pages that begin with 1, 2, …, all on the disk and none in memory. */
function fill(pages: number): void {
  for (let i = 0; i < pages; i++) k.write(fd, [i + 1], i * P);
  k.call('ftruncate', fd, pages * P);
  k.call('fsync', fd);
  drop(pages);
}
/** Every page leaves memory. */
function drop(pages: number): void {
  k.mapFile(fd, 200, pages, MAP_SHARED, 1);
  for (let i = 0; i < pages; i++) k.load(200 + i);
  k.advise(200, pages, 21);
  k.unmap(200, pages);
}
/** One letter a page: D dirty, c clean, `.` not in memory. */
function cache(pages: number): string {
  const inode = k.task.files.get(fd)?.inode;
  return Array.from({ length: pages }, (_, i) => {
    const pfn = inode?.mapping.pages.get(i);
    if (pfn === undefined) return '.';
    return ((machine.frames.flags[pfn] ?? 0) & PG_DIRTY) !== 0 ? 'D' : 'c';
  }).join('');
}
/** What the disk has at the start of a page. */
function disk(page: number): number {
  return k.task.files.get(fd)?.inode?.mapping.disk?.blocks.get(page)?.[0] ?? 0;
}

test('write goes to the cache, fsync to the disk, and what left memory is read back', () => {
  k.write(fd, [7], 0);
  expect([cache(1), disk(0)]).toEqual(['D', 0]);
  expect([k.call('fsync', fd), cache(1), disk(0)]).toEqual([0, 'c', 7]);
  drop(1);
  expect([cache(1), k.read(fd, 1, 0), cache(1)]).toEqual(['.', [7], 'c']);
});

test('a shared page may be written only after the file was asked, and again after each writeback', () => {
  fill(1);
  k.mapFile(fd, 0, 1, MAP_SHARED);
  expect([k.load(0), k.slot(0)]).toEqual([1, 'present young']);
  k.store(0, 5);
  expect([k.slot(0), cache(1), disk(0)]).toEqual(['present write dirty young', 'D', 1]);
  expect(k.call('msync', A, P, MS_ASYNC)).toBe(0);
  expect(disk(0)).toBe(1);
  expect(k.call('msync', A, P, MS_SYNC)).toBe(0);
  expect([k.slot(0), cache(1), disk(0)]).toEqual(['present young', 'c', 5]);
  k.store(0, 6);
  expect([k.slot(0), cache(1), k.read(fd, 1, 0)]).toEqual(['present write dirty young', 'D', [6]]);
});

test('a first write through a mapping brings the page in and makes it dirty at once', () => {
  fill(1);
  k.mapFile(fd, 0, 1, MAP_SHARED);
  k.store(0, 9, 1);
  expect([k.slot(0), cache(1), k.read(fd, 2, 0)]).toEqual([
    'present write dirty young',
    'D',
    [1, 9],
  ]);
});

test('a private page is a copy that nobody writes back', () => {
  fill(1);
  k.mapFile(fd, 0, 1, MAP_PRIVATE);
  expect([k.load(0), k.slot(0)]).toEqual([1, 'present young']);
  k.store(0, 8);
  expect([k.call('msync', A, P, MS_SYNC), disk(0), k.read(fd, 1, 0), k.load(0)]).toEqual([
    0,
    1,
    [1],
    8,
  ]);
});

test('read faults bring in what lies around, MADV_RANDOM one page, MADV_WILLNEED what it names', () => {
  fill(8);
  k.mapFile(fd, 0, 8, MAP_SHARED);
  k.load(4);
  expect(cache(8)).toBe('..cccc..');
  k.unmap(0, 8);
  drop(8);
  k.mapFile(fd, 0, 8, MAP_SHARED);
  k.advise(0, 8, 1);
  k.load(4);
  expect(cache(8)).toBe('....c...');
  expect([k.advise(6, 1, 3), cache(8)]).toEqual([0, '....c.c.']);
});

test('MADV_PAGEOUT unmaps dirty pages and drops clean ones; MADV_DONTNEED only unmaps', () => {
  fill(2);
  k.mapFile(fd, 0, 2, MAP_SHARED);
  k.load(0);
  k.store(1, 3);
  expect([k.advise(0, 2, 4), k.slot(0), k.slot(1), cache(2)]).toEqual([0, 'none', 'none', 'cD']);
  k.load(0);
  k.load(1);
  expect([k.advise(0, 2, 21), k.slot(0), k.slot(1), cache(2)]).toEqual([0, 'none', 'none', '.D']);
  expect([k.load(0), k.load(1)]).toEqual([1, 3]);
});

test('locked memory that could map a page and does not is no obstacle to MADV_PAGEOUT', () => {
  fill(1);
  k.mapFile(fd, 0, 1, MAP_SHARED);
  k.mapFile(fd, 1, 1, MAP_SHARED);
  expect([k.call('mlock2', A, P, 1), k.load(1)]).toEqual([0, 1]);
  expect([k.advise(1, 1, 21), k.slot(1), cache(1)]).toEqual([0, 'none', '.']);
  k.load(0);
  k.load(1);
  expect([k.advise(1, 1, 21), k.slot(1), cache(1)]).toEqual([0, 'present young', 'c']);
});

test('beyond the end: SIGBUS, private copies too; what was stored behind the end never comes to light', () => {
  fill(3);
  k.mapFile(fd, 0, 3, MAP_SHARED);
  k.mapFile(fd, 10, 3, MAP_PRIVATE);
  k.store(12, 4);
  k.load(0);
  expect(k.call('ftruncate', fd, P + 2)).toBe(0);
  expect(k.load(2)).toMatchObject({ signal: 'BUS' });
  expect(k.load(12)).toMatchObject({ signal: 'BUS' });
  k.store(1, 77, 5);
  expect(k.load(1, 5)).toBe(77);
  expect([k.call('msync', A, 2 * P, MS_SYNC), k.load(1, 5)]).toEqual([0, 0]);
  k.store(1, 78, 5);
  expect([k.call('ftruncate', fd, 2 * P), k.load(1, 5), k.load(1)]).toEqual([0, 0, 2]);
});

test('a hole is zeroes on the disk and in memory; private copies stay', () => {
  fill(3);
  k.mapFile(fd, 0, 3, MAP_SHARED);
  k.mapFile(fd, 10, 3, MAP_PRIVATE);
  k.store(11, 5);
  expect([k.advise(1, 1, 9), k.load(1), k.load(11), disk(1)]).toEqual([0, 0, 5, 0]);
  expect([k.call('fallocate', fd, 3, 0, P), k.load(0), cache(3)]).toEqual([0, 0, 'ccc']);
});

test('advice and calls that regular files refuse', () => {
  fill(1);
  const ro = Number(k.open(PATH, O_RDONLY));
  k.mapFile(fd, 0, 1, MAP_SHARED);
  k.mapFile(ro, 1, 1, MAP_SHARED, 1);
  k.mapFile(fd, 2, 1, MAP_PRIVATE);
  const answers = (advice: number): number[] => [0, 1, 2].map((page) => k.advise(page, 1, advice));
  const expected: Readonly<Record<number, readonly number[]>> = {
    0: [0, 0, 0],
    1: [0, 0, 0],
    2: [0, 0, 0],
    3: [0, 0, 0],
    4: [0, 0, 0],
    8: [-22, -22, -22],
    9: [0, -13, -13],
    10: [0, 0, 0],
    11: [0, 0, 0],
    12: [0, 0, 0],
    14: [0, 0, 0],
    15: [0, 0, 0],
    16: [0, 0, 0],
    17: [0, 0, 0],
    18: [-22, -22, -22],
    19: [0, 0, 0],
    20: [0, 0, 0],
    21: [0, 0, 0],
    22: [0, 0, 0],
    23: [0, -22, 0],
    24: [0, 0, 0],
    102: [0, 0, 0],
    103: [0, 0, 0],
  };
  for (const [advice, wanted] of Object.entries(expected)) {
    expect(answers(Number(advice)), `advice ${advice}`).toEqual(wanted);
  }
  expect(k.call('fcntl', fd, 1034)).toBe('EINVAL');
  expect(k.protect(1, 1, 3)).toBe(-13);
  expect(k.mapFile(ro, 3, 1, MAP_SHARED)).toBe('EACCES');
});

test('userfaultfd watches no regular file, but for asynchronous write protection', () => {
  fill(1);
  k.mapFile(fd, 0, 1, MAP_SHARED);
  k.mapFile(fd, 1, 1, MAP_PRIVATE);
  const plain = k.uffd();
  const register = (uffd: number, page: number, mode: number): unknown =>
    k.ioctl(uffd, 'REGISTER', { ...k.range(page, 1), mode }).result;
  for (const page of [0, 1]) {
    expect([1, 2, 4].map((mode) => register(plain, page, mode))).toEqual([
      'EINVAL',
      'EINVAL',
      'EINVAL',
    ]);
  }
  const async = k.uffd((1 << 15) | (1 << 13));
  expect(register(async, 0, 2)).toBe(0);
  k.store(0, 3);
  expect(k.ioctl(async, 'WRITEPROTECT', { ...k.range(0, 1), mode: 1 }).result).toBe(0);
  expect(k.slot(0)).toContain('uffd-wp');
  k.store(0, 4);
  expect(k.slot(0)).not.toContain('uffd-wp');
  k.call('msync', A, P, MS_SYNC);
  expect(disk(0)).toBe(4);
});

test('what /proc says: device and name, and pages of files among the resident', () => {
  fill(2);
  k.mapFile(fd, 0, 2, MAP_SHARED);
  k.load(0);
  k.store(1, 1);
  const mm = k.task.mmOrDie;
  expect(procMaps(mm)).toMatch(/^\S+ rw-s 00000000 fe:00 \d+ +\/f\n$/);
  expect(mm.rss).toMatchObject({ anon: 0, file: 2, shmem: 0 });
  const stats = new MemSizeStats();
  for (const vma of mm.vmas) stats.add(vma);
  expect([stats.rss, stats.privateClean, stats.privateDirty, stats.pssFile > 0]).toEqual([
    2 * P,
    P,
    P,
    true,
  ]);
  k.call('fsync', fd);
  expect(k.stat(PATH)).toBe(`100644 1 ${2 * P}`);
});

test('the invariant notices a page whose change nobody knows of', () => {
  fill(1);
  k.mapFile(fd, 0, 1, MAP_SHARED);
  k.load(0);
  const pfn = k.task.files.get(fd)?.inode?.mapping.pages.get(0);
  const { frames } = machine;
  frames.write(must(pfn, 'page'), 3, Uint8Array.of(9));
  expect(k.census()).toMatch(/page 0 of file \d+ differs from what the disk has/);
  frames.write(must(pfn, 'page'), 3, Uint8Array.of(0));
});

test('drop_caches takes clean pages that nobody maps; sysctls keep to their bounds', () => {
  fill(3);
  k.read(fd, 3 * P, 0);
  k.mapFile(fd, 0, 1, MAP_SHARED);
  k.load(0);
  k.write(fd, [9], P);
  const set = (name: string, text: string): number | string => {
    const file = Number(k.open(`/proc/sys/vm/${name}`, O_RDWR));
    const result = k.call('write', file, k.text(text), text.length);
    k.call('close', file);
    return result;
  };
  expect([set('drop_caches', '1\n'), cache(3), set('drop_caches', '0')]).toEqual([
    2,
    'cD.',
    'EINVAL',
  ]);
  expect([set('max_map_count', '99'), k.cat('/proc/sys/vm/max_map_count')]).toEqual([2, '99\n']);
  expect([set('overcommit_memory', '3'), set('max_map_count', 'x')]).toEqual(['EINVAL', 'EINVAL']);
  expect([k.call('truncate', k.text('/f'), P), k.stat('/f')]).toEqual([0, `100644 1 ${P}`]);
});

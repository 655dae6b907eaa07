// userfaultfd on shared memory and memfds: which fill may take which slot's place, and what protection outlives. Measured
// on 6.18.44.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { A, P } from '../../../test/kernel/kit.ts';
import { MemfdKit } from '../../../test/kernel/memfd-kit.ts';
import { MADV_DONTNEED, MADV_REMOVE, MAP_PRIVATE, MAP_SHARED } from '../../uapi/mman.ts';
import { SCRATCH_BASE } from '../core/task.ts';

const PUNCH = 3;

let kit: MemfdKit;
beforeEach(() => {
  kit = new MemfdKit();
});
afterEach(() => {
  expect(kit.census()).toBeNull();
});

const [MISSING, WP, MINOR] = [1, 2, 4];
function watch(modes: number, pages = 4, flags: number = MAP_SHARED): { fd: number; u: number } {
  const fd = kit.memfd(pages);
  kit.mapFile(fd, 0, pages, flags);
  kit.mapFile(fd, 8, pages, MAP_SHARED);
  const u = kit.uffd();
  const { result } = kit.ioctl(u, 'REGISTER', { ...kit.range(0, pages), mode: modes });
  expect(result).toBe(0);
  return { fd, u };
}
const protect = (u: number, page: number, pages: number): void => {
  expect(kit.ioctl(u, 'WRITEPROTECT', { ...kit.range(page, pages), mode: 1 }).result).toBe(0);
};
const copy = (u: number, page: number): unknown =>
  kit.ioctl(u, 'COPY', { dst: A + page * P, src: SCRATCH_BASE, len: P, mode: 0 }).result;
const fill = (u: number, name: string, page: number, mode = 0): unknown =>
  kit.ioctl(u, name, { ...kit.range(page, 1), mode }).result;

test.each([
  [MISSING, 0x13c],
  [MISSING | WP, 0x17c],
  [MINOR, 0x1bc],
  [7, 0x1fc],
])('registered for %d it says which calls work: %x', (mode, ioctls) => {
  const fd = kit.memfd(1);
  kit.mapFile(fd, 0, 1, MAP_SHARED);
  const { out } = kit.ioctl(kit.uffd(), 'REGISTER', { ...kit.range(0, 1), mode });
  expect(out['ioctls']).toBe(ioctls);
});

test('markers: COPY, ZEROPAGE and CONTINUE take their place in shared memory, POISON does not', () => {
  const { u } = watch(MISSING | WP);
  protect(u, 0, 4);
  expect(kit.slots(0, 4)).toEqual(Array(4).fill('marker uffd-wp'));
  expect(fill(u, 'ZEROPAGE', 0)).toBe(0);
  expect(copy(u, 1)).toBe(0);
  expect(fill(u, 'POISON', 2)).toBe('EEXIST');
  kit.store(10, 5);
  expect(copy(u, 2)).toBe('EEXIST');
  expect(fill(u, 'CONTINUE', 2)).toBe(0);
  kit.store(11, 1);
  expect(fill(u, 'CONTINUE', 3, 2)).toBe(0);
  expect(fill(u, 'CONTINUE', 3)).toBe('EEXIST');
  expect(kit.slot(3)).toBe('present dirty young uffd-wp');
  expect(kit.load(2)).toBe(5);
  kit.advise(0, 4, MADV_DONTNEED);
  expect(kit.slots(0, 4)).toEqual(['none', 'none', 'none', 'marker uffd-wp']);
  expect(fill(u, 'ZEROPAGE', 0)).toBe('EEXIST');
});

test('poison in shared memory gives way to every fill', () => {
  const { u } = watch(MISSING);
  for (const page of [0, 1, 2]) expect(fill(u, 'POISON', page)).toBe(0);
  kit.store(10, 1);
  expect([fill(u, 'ZEROPAGE', 0), copy(u, 1), fill(u, 'CONTINUE', 2)]).toEqual([0, 0, 0]);
});

test.each([MAP_SHARED, MAP_PRIVATE])('beyond the end nothing is filled (map type %d)', (type) => {
  const { fd, u } = watch(MISSING, 4, type);
  kit.call('ftruncate', fd, P);
  expect([
    fill(u, 'ZEROPAGE', 3),
    copy(u, 3),
    fill(u, 'POISON', 3),
    fill(u, 'CONTINUE', 3),
  ]).toEqual(['EFAULT', 'EFAULT', 'EFAULT', 'EINVAL']);
});

test('private memory: COPY makes a private copy, ZEROPAGE the zero page, CONTINUE maps the file', () => {
  const { fd, u } = watch(7, 4, MAP_PRIVATE);
  kit.write(fd, [9], 0);
  expect(copy(u, 0)).toBe(0);
  expect(fill(u, 'ZEROPAGE', 1)).toBe(0);
  kit.write(fd, [9], 2 * P);
  expect(fill(u, 'CONTINUE', 2)).toBe(0);
  expect(fill(u, 'CONTINUE', 3)).toBe('EFAULT');
  expect(kit.slots(0, 3)).toEqual([
    'present write dirty young',
    'present young special',
    'present dirty young',
  ]);
});

test('protection of shared memory outlives punch, remove and truncate as a marker', () => {
  const { fd, u } = watch(WP);
  for (const page of [0, 1, 2]) kit.store(page, 1);
  protect(u, 0, 4);
  kit.call('fallocate', fd, PUNCH, 0, P);
  kit.advise(1, 1, MADV_REMOVE);
  kit.call('ftruncate', fd, 2 * P);
  expect(kit.slots(0, 4)).toEqual(Array(4).fill('marker uffd-wp'));
  expect(kit.load(2)).toMatchObject({ signal: 'BUS' });
  expect(kit.load(0)).toBe(0);
  expect(kit.slot(0)).toBe('present young uffd-wp');
});

test('punching private memory keeps protected copies and marks what showed the file', () => {
  const { fd, u } = watch(WP, 4, MAP_PRIVATE);
  kit.write(fd, [1], 0);
  kit.store(0, 1);
  kit.load(1);
  protect(u, 0, 4);
  kit.call('fallocate', fd, PUNCH, 0, 4 * P);
  expect(kit.slots(0, 4)).toEqual([
    'present dirty young uffd-wp',
    'marker uffd-wp',
    'marker uffd-wp',
    'marker uffd-wp',
  ]);
});

test('unprotecting gives write permission back to dirty pages only', () => {
  const { u } = watch(WP);
  kit.store(0, 1);
  kit.store(9, 1);
  kit.load(1);
  protect(u, 0, 2);
  expect(kit.ioctl(u, 'WRITEPROTECT', { ...kit.range(0, 2), mode: 0 }).result).toBe(0);
  expect(kit.slots(0, 2)).toEqual(['present write dirty young', 'present young']);
  expect(kit.store(1, 2)).toBeNull();
  expect(kit.slot(1)).toBe('present write dirty young');
});

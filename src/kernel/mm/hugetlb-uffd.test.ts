// Goal: userfaultfd on huge pages. Errnos, out-fields, messages and pagemap bits were measured on 6.18.44.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { H, HUGE, HugetlbKit } from '../../../test/kernel/hugetlb-kit.ts';
import { A, P } from '../../../test/kernel/kit.ts';
import { MADV_DONTNEED, MAP_SHARED } from '../../uapi/mman.ts';

const [MISSING, WP, MINOR] = [1, 2, 4];
/** Where the data of a COPY lies: a window that repeats. */
const SRC = A + 40 * P;

let kit: HugetlbKit;
let uffd: number;
beforeEach(() => {
  kit = new HugetlbKit(4);
  uffd = kit.uffd();
});
afterEach(() => {
  expect(kit.census()).toBeNull();
});

const at = (page: number, pages: number): { start: number; len: number } => ({
  start: A + page * P,
  len: pages * P,
});
const register = (page: number, pages: number, mode: number): unknown =>
  kit.ioctl(uffd, 'REGISTER', { ...at(page, pages), mode }).result;
const copy = (page: number, pages: number, mode = 0): unknown[] => {
  const dst = A + page * P;
  const { result, out } = kit.ioctl(uffd, 'COPY', {
    dst,
    src: SRC,
    len: pages * P,
    mode,
    copy: 77,
  });
  return [result, out['copy']];
};
const poison = (page: number, pages: number): unknown =>
  kit.ioctl(uffd, 'POISON', { ...at(page, pages), mode: 0, updated: 77 }).result;
const resume = (page: number, pages: number): unknown =>
  kit.ioctl(uffd, 'CONTINUE', { ...at(page, pages), mode: 0, mapped: 77 }).result;
const protect = (page: number, pages: number, mode: number): unknown =>
  kit.ioctl(uffd, 'WRITEPROTECT', { ...at(page, pages), mode }).result;

function shared(pages: number): number {
  const fd = kit.huge(pages);
  kit.mapHuge(fd, 0, pages, MAP_SHARED);
  kit.map(40, 8);
  for (let i = 0; i < 8; i++) kit.store(40 + i, 7);
  return fd;
}

test('ranges are whole huge pages, and neither ZEROPAGE nor MOVE is offered', () => {
  shared(2);
  expect([register(1, H, MISSING), register(0, 1, MISSING), register(0, H + 1, MISSING)]).toEqual([
    'EINVAL',
    'EINVAL',
    'EINVAL',
  ]);
  const { result, out } = kit.ioctl(uffd, 'REGISTER', { ...at(0, 2 * H), mode: 7 });
  expect([result, out['ioctls']]).toEqual([0, 0x1cc]);
  const unregister = (page: number, pages: number): unknown =>
    kit.ioctl(uffd, 'UNREGISTER', at(page, pages)).result;
  expect([unregister(1, H), unregister(0, 2 * H)]).toEqual(['EINVAL', 0]);
});

test('COPY, CONTINUE, POISON and ZEROPAGE', () => {
  shared(2);
  register(0, 2 * H, MISSING);
  expect(copy(0, 1)).toEqual(['EINVAL', -22]);
  expect(copy(0, H)).toEqual([0, HUGE]);
  expect([kit.get1(0), kit.counts()]).toEqual([7, 't4 f3 r1 s0']);
  expect(copy(0, H)).toEqual(['EEXIST', -17]);
  expect(copy(H, H, 2)).toEqual(['EINVAL', -22]);
  expect(kit.ioctl(uffd, 'ZEROPAGE', { ...at(H, H), mode: 0, zeropage: 77 }).result).toBe('EINVAL');
  expect(resume(H, H)).toBe('EFAULT');
  expect([poison(H, H), poison(H, 1), poison(H, H)]).toEqual([0, 'EINVAL', 'EEXIST']);
  expect(kit.get1(1)).toBe('BUS 2');
  expect(copy(H, H)).toEqual([0, HUGE]);
  expect(kit.get1(1)).toBe(7);
});

test('a pool that is empty says EEXIST', () => {
  kit.anonHuge(0, 6, 2 | 0x4000);
  kit.map(40, 8);
  register(0, 6 * H, MISSING);
  const results = [0, 1, 2, 3, 4].map((i) => copy(i * H, H)[0]);
  expect(results).toEqual([0, 0, 0, 0, 'EEXIST']);
});

describe('write protection', () => {
  test('of what is there and of what is not; DONTNEED and holes keep it, truncation does not', () => {
    const fd = shared(3);
    kit.put1(0, 1);
    register(0, 3 * H, WP);
    expect([protect(0, 1, 1), protect(1, H, 1), protect(0, 2 * H, 1)]).toEqual([
      'EINVAL',
      'EINVAL',
      0,
    ]);
    const word = (page: number): string => kit.hugeSlot(page);
    expect([word(0), word(1), word(2)]).toEqual([
      'present dirty young uffd-wp huge',
      'marker uffd-wp',
      'none',
    ]);
    expect(kit.get1(1)).toBe(0);
    expect(word(1)).toMatch(/uffd-wp/);
    kit.adviseHuge(1, 1, MADV_DONTNEED);
    kit.call('fallocate', fd, 3, 0, HUGE);
    expect([word(0), word(1)]).toEqual(['marker uffd-wp', 'marker uffd-wp']);
    kit.call('ftruncate', fd, HUGE);
    expect([word(0), word(1)]).toEqual(['marker uffd-wp', 'none']);
    expect(kit.ioctl(uffd, 'UNREGISTER', at(0, 3 * H)).result).toBe(0);
    expect(word(0)).toBe('none');
  });

  test('CONTINUE maps what another mapping brought', () => {
    const fd = shared(1);
    kit.mapHuge(fd, 4, 1, MAP_SHARED);
    register(0, H, MINOR);
    kit.put1(4, 5);
    expect([resume(0, H), kit.get1(0), resume(0, H)]).toEqual([0, 5, 'EEXIST']);
  });
});

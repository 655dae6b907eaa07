// Goal: a pool without pages lets files and mappings without a promise be made, and nothing else. Measured on 6.18.44.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { A, P } from '../../../test/kernel/kit.ts';
import { MemfdKit } from '../../../test/kernel/memfd-kit.ts';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE, MAP_SHARED } from '../../uapi/mman.ts';
import { openFile } from '../fs/open.ts';
import { STORES } from '../fs/sysfs.ts';

/** Base pages of a huge page in small geometry. */
const H = 4;
const MFD_HUGETLB = 4;
const MAP_NORESERVE = 0x4000;
const ANON = MAP_ANONYMOUS | MAP_HUGETLB;
const [PUNCH, KEEP] = [3, 1];

let kit: MemfdKit;
beforeEach(() => {
  kit = new MemfdKit();
});
afterEach(() => {
  expect(kit.census()).toBeNull();
});

const anon = (flags: number, pages = H): number | string =>
  kit.call('mmap', 0, pages * P, 3, ANON | flags, -1, 0);

test('memfd_create makes files of sizes there are', () => {
  const memfd = (flags: number): number | string => kit.memfd(0, flags);
  expect(memfd(MFD_HUGETLB)).toBe(0);
  // 16 KiB and 64 KiB here.
  expect(memfd(MFD_HUGETLB | (14 << 26))).toBe(1);
  expect(memfd(MFD_HUGETLB | (16 << 26))).toBe(2);
  const create = (flags: number): number | string => kit.call('memfd_create', 0xbad, flags);
  expect(create(12 << 26)).toBe('EINVAL');
  expect(create(MFD_HUGETLB | 0x100)).toBe('EINVAL');
  expect(Number.isNaN(memfd(MFD_HUGETLB | (24 << 26)))).toBe(true);
});

test('sizes are whole numbers of huge pages', () => {
  const fd = kit.memfd(0, MFD_HUGETLB);
  expect(kit.call('ftruncate', fd, P)).toBe('EINVAL');
  expect(kit.call('ftruncate', fd, 2 * H * P)).toBe(0);
});

test('a mapping with a promise is refused, one without succeeds and faults with SIGBUS', () => {
  const fd = kit.memfd(2 * H, MFD_HUGETLB);
  expect(kit.mapFile(fd, 0, H, MAP_SHARED)).toBe('ENOMEM');
  expect(kit.mapFile(fd, 0, H, MAP_PRIVATE)).toBe('ENOMEM');
  expect(kit.mapFile(fd, 0, 1, MAP_SHARED)).toBe('ENOMEM');
  expect([anon(MAP_PRIVATE), anon(MAP_SHARED)]).toEqual(['ENOMEM', 'ENOMEM']);
  expect(kit.mapFile(fd, 0, H, MAP_SHARED | MAP_NORESERVE)).toBe(0);
  expect(kit.load(0)).toMatchObject({ signal: 'BUS', code: 2 });
  expect(kit.store(0, 1)).toMatchObject({ signal: 'BUS', code: 2 });
});

test('addresses and offsets are multiples of the huge page', () => {
  const fd = kit.memfd(2 * H, MFD_HUGETLB);
  const flags = MAP_SHARED | MAP_NORESERVE;
  expect(kit.mapFile(fd, 1, H, flags)).toBe('EINVAL');
  expect(kit.mapFile(fd, 0, H, flags, 3, 1)).toBe('EINVAL');
  expect(kit.mapFile(fd, 0, H, flags, 3, H)).toBe(0);
  const hinted = kit.call('mmap', A + 9 * P, H * P, 3, flags, fd, 0);
  expect(hinted).toBe(A + 12 * P);
  expect(Number(anon(MAP_PRIVATE | MAP_NORESERVE)) % (H * P)).toBe(0);
});

test('a writable mapping beyond the end makes the file longer', () => {
  const fd = kit.memfd(H, MFD_HUGETLB);
  kit.mapFile(fd, 0, H, MAP_SHARED | MAP_NORESERVE, 1, 2 * H);
  expect(kit.call('lseek', fd, 0, 2)).toBe(H * P);
  kit.mapFile(fd, 0, H, MAP_SHARED | MAP_NORESERVE, 3, 2 * H);
  expect(kit.call('lseek', fd, 0, 2)).toBe(3 * H * P);
});

test('MAP_HUGETLB wants a size there is, and a file that has huge pages', () => {
  expect(anon(MAP_PRIVATE | (24 << 26))).toBe('EINVAL');
  expect(kit.call('mmap', 0, 0, 3, ANON | MAP_PRIVATE, -1, 0)).toBe('EINVAL');
  expect(kit.call('mmap', 0, -P, 3, ANON | MAP_PRIVATE, -1, 0)).toBe('EINVAL');
  expect(kit.call('mmap', 0, P, 3, MAP_HUGETLB | MAP_PRIVATE, kit.memfd(1), 0)).toBe('EINVAL');
});

test('files are read, not written, and have no holes to seek', () => {
  const fd = kit.memfd(H, MFD_HUGETLB);
  expect(kit.read(fd, 3, 0)).toEqual([0, 0, 0]);
  expect(kit.write(fd, [1], 0)).toBe('EINVAL');
  expect(kit.call('lseek', fd, 0, 3)).toBe(0);
  expect(kit.call('lseek', fd, 0, 4)).toBe(H * P);
});

test('fallocate finds no page; punching finds nothing to punch', () => {
  const fd = kit.memfd(H, MFD_HUGETLB);
  expect(kit.call('fallocate', fd, 0, 0, P)).toBe('ENOSPC');
  expect(kit.call('fallocate', fd, KEEP, 0, P)).toBe('ENOSPC');
  expect(kit.call('fallocate', fd, PUNCH, 0, H * P)).toBe(0);
});

test('what cuts a huge page is refused', () => {
  const fd = kit.memfd(2 * H, MFD_HUGETLB);
  kit.mapFile(fd, 0, 2 * H, MAP_SHARED | MAP_NORESERVE);
  const DONTFORK = 10;
  expect([kit.protect(1, H, 1), kit.protect(0, 1, 1), kit.protect(0, H + 1, 1)]).toEqual([
    -22, -22, -22,
  ]);
  expect([kit.advise(0, 1, DONTFORK), kit.unmap(0, 1), kit.unmap(1, H)]).toEqual([-22, -22, -22]);
  expect(kit.call('mseal', A, P, 0)).toBe('EINVAL');
  expect([kit.protect(0, H, 1), kit.unmap(0, H)]).toEqual([0, 0]);
});

test('settings are written as numbers', () => {
  const store = STORES['/proc/sys/vm/nr_overcommit_hugepages'];
  expect([store?.('abc'), store?.('-1'), store?.('3\n')]).toEqual([-22, -22, 0]);
  const file = kit.alone(
    openFile(
      kit.task,
      0,
      '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages',
      0,
      0,
    ),
  );
  expect(typeof file).toBe('object');
  expect(
    STORES['/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_overcommit_hugepages']?.('1'),
  ).toBe(-22);
});

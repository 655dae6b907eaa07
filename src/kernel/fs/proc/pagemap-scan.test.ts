// PAGEMAP_SCAN as measured on 6.18.44: the same calls in the same order, in tables of 16 pages instead of 512.
import { beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld, RW } from '../../../../test/kernel-world.ts';
import { LITMUS_GEOMETRY } from '../../../machine/geometry.ts';
import { MADV_DONTNEED, MADV_GUARD_INSTALL } from '../../../uapi/mman.ts';
import {
  decodeRegions,
  PAGEMAP_SCAN,
  PM_SCAN_ARG,
  PM_SCAN_CATEGORIES,
} from '../../../uapi/pagemap-scan.ts';
import {
  decodeStruct,
  encodeStruct,
  UFFD_FEATURE_WP_ASYNC,
  UFFDIO_API,
  UFFDIO_API_STRUCT,
  UFFDIO_POISON,
  UFFDIO_POISON_STRUCT,
  UFFDIO_REGISTER,
  UFFDIO_REGISTER_STRUCT,
  UFFDIO_WRITEPROTECT,
  UFFDIO_WRITEPROTECT_STRUCT,
} from '../../../uapi/userfaultfd.ts';
import { SCRATCH_BASE } from '../../core/task.ts';
import { doMadvise } from '../../mm/madvise.ts';
import { noPagemapScan } from '../../patches/pagemap-scan.ts';
import { stackPatches } from '../../seam.ts';
import { dispatch } from '../../syscall/dispatch.ts';
import { openPagemap } from './pagemap.ts';

const P = 4096;
const ALL = PM_SCAN_CATEGORIES;
const VEC = 1024;
const BASE = 0x400000;
const GEOMETRY = { ...LITMUS_GEOMETRY, ptrsPerPte: 16, frames: 640 };

let k: KernelWorld;
let scratch: Uint8Array;
let pagemap: number;
beforeEach(() => {
  k = new KernelWorld({ geometry: GEOMETRY });
  scratch = new Uint8Array(4096);
  k.task.scratch = scratch;
  pagemap = k.task.files.install(openPagemap(k.task.mmOrDie, 0), false);
});

const call = (nr: number, ...args: number[]): number => k.run(dispatch(k.task, nr, args));
const ioctl = (fd: number, cmd: number): number => call(29, fd, cmd, SCRATCH_BASE);
function uffd(features: number): number {
  const fd = call(282, 0o4000);
  scratch.set(encodeStruct(UFFDIO_API_STRUCT, { api: 0xaa, features }));
  expect(ioctl(fd, UFFDIO_API)).toBe(0);
  return fd;
}
function register(fd: number, start: number, pages: number): void {
  scratch.set(encodeStruct(UFFDIO_REGISTER_STRUCT, { start, len: pages * P, mode: 2 }));
  expect(ioctl(fd, UFFDIO_REGISTER)).toBe(0);
}
function protect(fd: number, start: number, pages: number): void {
  scratch.set(encodeStruct(UFFDIO_WRITEPROTECT_STRUCT, { start, len: pages * P, mode: 1 }));
  expect(ioctl(fd, UFFDIO_WRITEPROTECT)).toBe(0);
}
const advise = (address: number, pages: number, advice: number): number =>
  k.run(doMadvise(k.task.mmOrDie, address, pages * P, advice));

interface Ask {
  readonly flags?: number;
  readonly size?: number;
  readonly vec?: number;
  readonly vecLen?: number;
  readonly max?: number;
  readonly inv?: number;
  readonly mask?: number;
  readonly any?: number;
  readonly ret?: number;
  readonly from?: number;
  readonly to?: number;
}

/** `r=1 we=3: [1-2 a]`, in pages from `start`; `EPERM we=16`. Without `we`: nothing was written back. */
function scan(start: number, pages: number, ask: Ask = {}): string {
  scratch.set(
    encodeStruct(PM_SCAN_ARG, {
      size: ask.size ?? 96,
      flags: ask.flags ?? 0,
      start: ask.from ?? start,
      end: ask.to ?? start + pages * P,
      walk_end: 0x77,
      vec: ask.vec ?? SCRATCH_BASE + VEC,
      vec_len: ask.vecLen ?? 64,
      max_pages: ask.max ?? 0,
      category_inverted: ask.inv ?? 0,
      category_mask: ask.mask ?? 0,
      category_anyof_mask: ask.any ?? 0,
      return_mask: ask.ret ?? ALL,
    }),
  );
  const result = ioctl(pagemap, PAGEMAP_SCAN);
  const end = decodeStruct(PM_SCAN_ARG, scratch).walk_end;
  const we = end === 0x77 ? '' : ` we=${(end - start) / P}`;
  if (result < 0) return `${result}${we}`;
  const regions = decodeRegions(scratch.subarray(VEC), result).map(
    (r) => ` [${(r.start - start) / P}-${(r.end - start) / P} ${r.categories.toString(16)}]`,
  );
  return `r=${result}${we}:${regions.join('')}`;
}

/** Page 1 written, 3 read, 5 a guard. */
function scene(): number {
  const a = k.map(16, RW, BASE);
  k.store(a + P, 1);
  k.load(a + 3 * P);
  advise(a + 5 * P, 1, MADV_GUARD_INSTALL);
  return a;
}
const WHOLE = 'r=7 we=16: [0-1 2] [1-2 a] [2-3 2] [3-4 2a] [4-5 2] [5-6 112] [6-16 2]';

test('where nothing was ever touched there is no table, and nothing counts as written', () => {
  const a = k.map(16, RW, BASE);
  expect(scan(a, 16)).toBe('r=1 we=16: [0-16 0]');
});

test.each<readonly [string, Ask, string]>([
  ['everything', {}, WHOLE],
  ['WRITTEN', { mask: 2 }, WHOLE],
  ['PRESENT', { mask: 8 }, 'r=2 we=16: [1-2 a] [3-4 2a]'],
  ['not PRESENT', { inv: 8, mask: 8 }, 'r=5 we=16: [0-1 2] [2-3 2] [4-5 2] [5-6 112] [6-16 2]'],
  ['any of PFNZERO and GUARD', { any: 32 | 256 }, 'r=2 we=16: [3-4 2a] [5-6 112]'],
  ['all inverted, no mask: what is reported is not inverted', { inv: ALL }, WHOLE],
  ['no category asked back', { mask: 8, ret: 0 }, 'r=2 we=16: [1-2 0] [3-4 0]'],
  ['room for one region', { mask: 8, vecLen: 1 }, 'r=1 we=3: [1-2 a]'],
  ['one page', { mask: 8, max: 1 }, 'r=1 we=3: [1-2 a]'],
  ['two pages', { mask: 2, max: 2 }, 'r=2 we=2: [0-1 2] [1-2 a]'],
  ['exactly as many as there are', { mask: 2, max: 16 }, WHOLE],
  ['room for exactly two', { mask: 8, vecLen: 2 }, 'r=2 we=16: [1-2 a] [3-4 2a]'],
  ['no room', { vecLen: 0 }, 'r=0 we=16:'],
  ['CHECK_WPASYNC', { mask: 2, flags: 2 }, '-1 we=16'],
  ['WP_MATCHING, not registered', { mask: 2, flags: 1 }, 'r=0 we=16:'],
])('%s', (_what, ask, expected) => {
  expect(scan(scene(), 16, ask)).toBe(expected);
});

test('holes are never reported', () => {
  const a = scene();
  expect(scan(a, 40)).toBe(WHOLE.replace('we=16', 'we=40'));
  expect(scan(a + 16 * P, 16)).toBe('r=0 we=16:');
});

describe.each<readonly [string, Ask, string]>([
  ['size', { size: 88 }, '-22'],
  ['flag', { flags: 4 }, '-22'],
  ['category inverted', { inv: 0x200 }, '-22'],
  ['category returned', { ret: 0x200 }, '-22'],
  ['unaligned start', { from: BASE + 1 }, '-22'],
  ['end before start', { to: BASE - P }, '-14'],
  ['beyond user space', { to: 2 ** 47 }, '-14'],
  ['vec missing', { vec: 0, vecLen: 3 }, '-22'],
  ['vec unmapped', { vec: 4096 * 8 }, '-14 we=16'],
  ['vec beyond user space', { vec: 2 ** 47 }, '-14'],
  ['an unaligned end is rounded up', { to: BASE + P + 1 }, 'r=2 we=2: [0-1 2] [1-2 a]'],
  ['empty', { to: BASE }, 'r=0 we=0:'],
])('%s', (_what, ask, expected) => {
  test('as on 6.18', () => expect(scan(scene(), 16, ask)).toBe(expected));
});

test('other numbers are EINVAL, and a kernel before 6.7 knows none', () => {
  scene();
  expect(call(29, pagemap, 0x1234, 0)).toBe(-22);
  expect(call(29, pagemap, PAGEMAP_SCAN, 0)).toBe(-14);
  const overrides = stackPatches([noPagemapScan]);
  if (typeof overrides === 'string') throw new Error(overrides);
  k = new KernelWorld({ overrides });
  k.task.scratch = scratch;
  k.task.files.install(openPagemap(k.task.mmOrDie, 0), false);
  expect(call(29, 0, PAGEMAP_SCAN, SCRATCH_BASE)).toBe(-25);
});

describe('WP_MATCHING', () => {
  test('protects what it reports, up to its limits, and only where protection is asynchronous', () => {
    const a = scene();
    const fd = uffd(UFFD_FEATURE_WP_ASYNC);
    register(fd, a, 8);
    expect(scan(a, 16)).toBe(
      'r=8 we=16: [0-1 3] [1-2 b] [2-3 3] [3-4 2b] [4-5 3] [5-6 113] [6-8 3] [8-16 2]',
    );
    const three = { flags: 1, mask: 2, max: 3 };
    expect(scan(a, 16, three)).toBe('r=3 we=3: [0-1 3] [1-2 b] [2-3 3]');
    expect(scan(a, 16)).toBe(
      'r=8 we=16: [0-1 11] [1-2 9] [2-3 11] [3-4 2b] [4-5 3] [5-6 113] [6-8 3] [8-16 2]',
    );
    // The mapping behind is refused; what lies before it is done.
    expect(scan(a, 16, { flags: 3, mask: 2 })).toBe('-1 we=16');
    const after = '[0-1 11] [1-2 9] [2-3 11] [3-4 29] [4-5 11] [5-6 111] [6-8 11]';
    expect(scan(a, 16)).toBe(`r=8 we=16: ${after} [8-16 2]`);

    k.store(a + P, 2);
    k.store(a + 2 * P, 3);
    k.load(a + 4 * P);
    expect(scan(a, 8, { mask: 2 })).toBe('r=1 we=8: [1-3 b]');
    expect(scan(a, 8, { flags: 1, mask: 2, vecLen: 0, max: 1 })).toBe('r=0 we=8:');
    expect(scan(a, 8)).toBe('r=5 we=8: [0-1 11] [1-3 9] [3-5 29] [5-6 111] [6-8 11]');

    for (const page of [1, 2, 6]) k.store(a + page * P, 4);
    expect(scan(a, 8, { flags: 1, mask: 2, vecLen: 1, ret: 2 })).toBe('r=1 we=6: [1-3 2]');
    expect(scan(a, 8)).toBe('r=6 we=8: [0-1 11] [1-3 9] [3-5 29] [5-6 111] [6-7 b] [7-8 11]');
    advise(a, 8, MADV_DONTNEED);
    expect(scan(a, 8)).toBe('r=3 we=8: [0-5 3] [5-6 111] [6-8 3]');
    expect(scan(a, 8, { flags: 1, inv: 2, mask: 2 })).toBe('r=1 we=8: [5-6 111]');
    expect(k.wrong()).toBeNull();
  });

  test('an untouched area counts as written once it is registered; poison keeps its poison', () => {
    const a = k.map(16, RW, BASE);
    const fd = uffd(UFFD_FEATURE_WP_ASYNC);
    register(fd, a, 16);
    expect(scan(a, 16)).toBe('r=1 we=16: [0-16 3]');
    k.store(a + P, 1);
    protect(fd, a, 16);
    advise(a + 2 * P, 1, MADV_DONTNEED);
    scratch.set(encodeStruct(UFFDIO_POISON_STRUCT, { start: a + 2 * P, len: P }));
    expect(ioctl(fd, UFFDIO_POISON)).toBe(0);
    expect(scan(a, 16)).toBe('r=4 we=16: [0-1 11] [1-2 9] [2-3 13] [3-16 11]');
    expect(scan(a, 16, { flags: 1, mask: 2 })).toBe('r=1 we=16: [2-3 13]');
    expect(scan(a, 16)).toBe('r=3 we=16: [0-1 11] [1-2 9] [2-16 11]');
    expect(k.load(a + 2 * P)).toBe('BUS 2');
    expect(k.wrong()).toBeNull();
  });

  test('makes the tables for the markers of a hole', () => {
    const a = k.map(32, RW, BASE);
    register(uffd(UFFD_FEATURE_WP_ASYNC), a, 32);
    expect(scan(a, 32, { flags: 1, mask: 2, max: 20 })).toBe('r=1 we=20: [0-20 3]');
    expect(scan(a, 32)).toBe('r=2 we=32: [0-20 11] [20-32 3]');
  });
});

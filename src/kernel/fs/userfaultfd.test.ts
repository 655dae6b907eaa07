import { describe, expect, test } from 'vitest';
import { A, answer, Kit, P } from '../../../test/kernel/kit.ts';
import { O_CLOEXEC, O_NONBLOCK } from '../../uapi/fcntl.ts';
import { SCRATCH_BASE } from '../core/task.ts';
import { sysIoctl } from '../syscall/ioctl.ts';
import { sysRead } from '../syscall/read.ts';
import { sysUserfaultfd } from '../syscall/userfaultfd.ts';

// Every errno and out-field below was measured on 6.18.44 with a C program unless a section of semantics.md is named.

describe('which flags does userfaultfd(2) take?', () => {
  const cases: readonly [uid: number, flags: number, expected: string][] = [
    [0, 0, 'fd'],
    [0, 1, 'fd'],
    [0, O_CLOEXEC | O_NONBLOCK, 'fd'],
    [0, 0x10, 'EINVAL'],
    [1000, 0x10, 'EPERM'],
    [1000, 0, 'EPERM'],
    [1000, 1, 'fd'],
  ];
  test.each(cases)('uid %i, flags %i: %s', (uid, flags, expected) => {
    const kit = new Kit();
    kit.task.uid = uid;
    const got = kit.alone(sysUserfaultfd(kit.task, [flags]));
    expect(got >= 0 ? 'fd' : answer(got)).toBe(expected);
  });
});

describe('UFFDIO_API', () => {
  const cases: readonly [uid: number, api: number, features: bigint, expected: unknown][] = [
    [0, 0xaa, 0n, [0, 0xaa, 0x1ffff]],
    [0, 0xaa, 0x8000n, [0, 0xaa, 0x1ffff]],
    [0, 1, 5n, ['EINVAL', 0, 0]],
    [0, 0xaa, 1n << 40n, ['EINVAL', 0, 0]],
    [0, 0xaa, 1n << 17n, ['EINVAL', 0, 0]],
    [1000, 0xaa, 2n, ['EPERM', 0, 0]],
    [1000, 0xaa, 2n | (1n << 40n), ['EPERM', 0, 0]],
  ];
  test.each(cases)('uid %i, api %i, features %i', (uid, api, features, expected) => {
    const kit = new Kit();
    const fd = kit.alone(sysUserfaultfd(kit.task, [1]));
    kit.task.uid = uid;
    const { result, out } = kit.ioctl(fd, 'API', { api, features, ioctls: 5 });
    expect([result, out['api'], out['features']]).toEqual(expected);
    if (result === 0) expect(out['ioctls']).toBe(2 ** 63 + 3);
  });

  test('a second handshake fails, zeroes the struct and changes nothing', () => {
    const kit = new Kit();
    const fd = kit.uffd(0x8000);
    const { result, out } = kit.ioctl(fd, 'API', { api: 0xaa, features: 0 });
    expect([result, out]).toEqual(['EINVAL', { api: 0, features: 0, ioctls: 0 }]);
    // WP_ASYNC brought WP_UNPOPULATED with it.
    expect(kit.ctx(fd).features).toBe(0xa000);
  });

  test('nothing but the handshake works before it', () => {
    const kit = new Kit();
    const fd = kit.alone(sysUserfaultfd(kit.task, [0]));
    expect(kit.ioctl(fd, 'WAKE', kit.range(0, 1)).result).toBe('EINVAL');
    expect(answer(kit.alone(sysRead(kit.task, [fd, SCRATCH_BASE, 32])))).toBe('EINVAL');
  });

  test('an unreadable struct is EFAULT, an unknown ioctl EINVAL, no descriptor EBADF', () => {
    const kit = new Kit();
    const fd = kit.uffd();
    const ask = (on: number, cmd: number, arg: number): unknown =>
      answer(kit.alone(sysIoctl(kit.task, [on, cmd, arg])));
    expect(ask(fd, 0x8010aa02, 0)).toBe('EFAULT');
    expect(ask(fd, 0xc018aa3f, 8)).toBe('EFAULT');
    expect(ask(fd, 0xaa42, 0)).toBe('EINVAL');
    expect(ask(99, 0x8010aa02, 0)).toBe('EBADF');
    // The same number as user space passes it in a signed int.
    expect(ask(fd, 0x8010aa02 | 0, 0)).toBe('EFAULT');
  });
});

describe('REGISTER', () => {
  const bad: readonly [string, Record<string, number | bigint>, string][] = [
    ['mode 0', { start: A, len: 0, mode: 0 }, 'EINVAL'],
    ['unknown mode', { start: A, len: P, mode: 8 }, 'EINVAL'],
    ['unknown high mode', { start: A, len: P, mode: 1n | (1n << 40n) }, 'EINVAL'],
    ['empty range', { start: A, len: 0, mode: 1 }, 'EINVAL'],
    ['unaligned', { start: A + 1, len: P, mode: 1 }, 'EINVAL'],
    ['nothing mapped', { start: 0x10000, len: P, mode: 1 }, 'EINVAL'],
    ['page 0', { start: 0, len: P, mode: 1 }, 'EINVAL'],
    ['wraps', { start: (1n << 64n) - 4096n, len: P, mode: 1 }, 'EINVAL'],
    ['end of user space', { start: 0x7ffffffff000, len: P, mode: 1 }, 'EINVAL'],
    ['minor on anonymous memory', { start: A, len: P, mode: 4 }, 'EINVAL'],
  ];
  test.each(bad)('%s: refused, nothing registered', (_name, values, expected) => {
    const kit = new Kit();
    kit.map(0, 4);
    const { result, out } = kit.ioctl(kit.uffd(), 'REGISTER', { ...values, ioctls: 77 });
    expect([result, out['ioctls'], kit.maps()]).toEqual([expected, 77, ['0-4']]);
  });

  test.each([
    [1, 0x13c, '1-3 missing'],
    [2, 0x17c, '1-3 wp'],
    [3, 0x17c, '1-3 missing wp'],
  ])('mode %i reports its ioctls and splits the mapping', (mode, ioctls, middle) => {
    const kit = new Kit();
    kit.map(0, 4);
    const { result, out } = kit.ioctl(kit.uffd(), 'REGISTER', { ...kit.range(1, 2), mode });
    expect([result, out['ioctls']]).toEqual([0, ioctls]);
    expect(kit.maps()).toEqual(['0-1', middle, '3-4']);
    expect(kit.census()).toBeNull();
  });

  test('holes are allowed, also at the start', () => {
    const kit = new Kit();
    kit.map(1, 1);
    kit.map(3, 1);
    const fd = kit.uffd();
    expect(kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), mode: 1 }).result).toBe(0);
    expect(kit.maps()).toEqual(['1-2 missing', '3-4 missing']);
  });

  test('another userfaultfd gets EBUSY, and what it covered before stays as it was', () => {
    const kit = new Kit();
    kit.map(0, 4);
    const first = kit.uffd();
    const second = kit.uffd();
    kit.ioctl(first, 'REGISTER', { ...kit.range(2, 1), mode: 1 });
    const { result } = kit.ioctl(second, 'REGISTER', { ...kit.range(0, 4), mode: 1 });
    expect([result, kit.maps()]).toEqual(['EBUSY', ['0-2', '2-3 missing', '3-4']]);
  });

  test('the same one may ask again: less changes nothing, otherwise the modes are replaced', () => {
    const kit = new Kit();
    kit.map(0, 1);
    const fd = kit.uffd();
    const again = (mode: number): string[] => {
      expect(kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode }).result).toBe(0);
      return kit.maps();
    };
    expect(again(3)).toEqual(['0-1 missing wp']);
    expect(again(1)).toEqual(['0-1 missing wp']);
    kit.ioctl(fd, 'UNREGISTER', kit.range(0, 1));
    expect(again(2)).toEqual(['0-1 wp']);
    expect(again(1)).toEqual(['0-1 missing']);
  });
});

describe('UNREGISTER', () => {
  test('merges what registering split, lifts protection, skips what is not registered', () => {
    const kit = new Kit();
    kit.map(0, 4);
    kit.store(1, 7);
    const fd = kit.uffd();
    kit.ioctl(fd, 'REGISTER', { ...kit.range(1, 2), mode: 2 });
    kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(1, 2), mode: 1 });
    expect(kit.slot(1)).toBe('present dirty young uffd-wp');
    expect(kit.ioctl(fd, 'UNREGISTER', kit.range(0, 4)).result).toBe(0);
    expect(kit.maps()).toEqual(['0-4']);
    expect(kit.slot(1)).not.toContain('uffd-wp');
    expect(kit.census()).toBeNull();
  });

  test('of a mapping of another userfaultfd: EINVAL since 6.18, allowed before', () => {
    const kit = new Kit();
    kit.map(0, 1);
    const first = kit.uffd();
    const second = kit.uffd();
    kit.ioctl(first, 'REGISTER', { ...kit.range(0, 1), mode: 1 });
    expect(kit.ioctl(second, 'UNREGISTER', kit.range(0, 1)).result).toBe('EINVAL');
    expect(kit.ioctl(second, 'UNREGISTER', { start: 0, len: P }).result).toBe('EINVAL');
    expect(kit.ioctl(second, 'UNREGISTER', { start: A, len: 0 }).result).toBe('EINVAL');
  });
});

describe('COPY, ZEROPAGE, POISON and CONTINUE', () => {
  const source = SCRATCH_BASE + 1024;
  type Case = readonly [string, string, Record<string, number>, string | number, number];
  const out: Readonly<Record<string, string>> = {
    COPY: 'copy',
    ZEROPAGE: 'zeropage',
    POISON: 'updated',
    CONTINUE: 'mapped',
  };
  // Pages 0-7 are registered MISSING, 1 and 2 filled, 3 the zero page, 12-15 mapped and not registered.
  const cases: readonly Case[] = [
    ['fills', 'COPY', { dst: A, src: source, len: P }, 0, P],
    ['source at 0', 'COPY', { dst: A, src: 0, len: P }, 'EFAULT', -14],
    ['unmapped source', 'COPY', { dst: A, src: 0x1000, len: P }, 'EFAULT', -14],
    ['empty', 'COPY', { dst: A, src: source, len: 0 }, 'EINVAL', 77],
    ['unaligned dst', 'COPY', { dst: A + 8, src: source, len: P }, 'EINVAL', 77],
    ['unaligned length', 'COPY', { dst: A, src: source, len: P + 8 }, 'EINVAL', 77],
    ['unknown mode', 'COPY', { dst: A, src: source, len: P, mode: 8 }, 'EINVAL', 77],
    ['wp, registered missing', 'COPY', { dst: A, src: source, len: P, mode: 2 }, 'EINVAL', -22],
    ['past the mapping', 'COPY', { dst: A, src: source, len: 9 * P }, 'ENOENT', -2],
    ['not registered', 'COPY', { dst: A + 12 * P, src: source, len: P }, 'ENOENT', -2],
    ['filled', 'COPY', { dst: A + P, src: source, len: P }, 'EEXIST', -17],
    ['stops at a page', 'COPY', { dst: A, src: source, len: 3 * P }, 'EAGAIN', P],
    ['fills', 'ZEROPAGE', { start: A, len: P }, 0, P],
    ['zero page there', 'ZEROPAGE', { start: A + 3 * P, len: P }, 'EEXIST', -17],
    ['not registered', 'ZEROPAGE', { start: A + 12 * P, len: P }, 'ENOENT', -2],
    ['page 0', 'ZEROPAGE', { start: 0, len: P }, 'ENOENT', -2],
    ['unknown mode', 'ZEROPAGE', { start: A, len: P, mode: 2 }, 'EINVAL', 77],
    ['marks', 'POISON', { start: A, len: P }, 0, P],
    ['filled', 'POISON', { start: A + P, len: P }, 'EEXIST', -17],
    ['anonymous', 'CONTINUE', { start: A, len: P }, 'EINVAL', -22],
  ];
  test.each(cases)('%s: %s', (_title, name, values, expected, field) => {
    const kit = new Kit();
    kit.map(0, 16);
    const fd = kit.uffd();
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 8), mode: 1 });
    kit.ioctl(fd, 'COPY', { dst: A + P, src: source, len: 2 * P });
    kit.ioctl(fd, 'ZEROPAGE', kit.range(3, 1));
    const key = out[name] ?? '';
    const { result, out: after } = kit.ioctl(fd, name, { ...values, [key]: 77 });
    expect([result, after[key]]).toEqual([expected, field]);
    expect(kit.census()).toBeNull();
  });

  test('what each leaves in the slot, and which markers it replaces', () => {
    const kit = new Kit();
    kit.map(0, 8);
    const fd = kit.uffd(1 << 13);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 8), mode: 3 });
    kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 3), mode: 1 });
    kit.ioctl(fd, 'POISON', kit.range(3, 1));
    expect([0, 3].map((p) => kit.slot(p))).toEqual(['marker uffd-wp', 'marker poison']);
    const copy = (page: number, mode: number): unknown =>
      kit.ioctl(fd, 'COPY', { dst: A + page * P, src: source, len: P, mode }).result;
    expect([copy(0, 0), copy(1, 2), copy(3, 0), copy(4, 0)]).toEqual([0, 0, 0, 0]);
    expect(kit.ioctl(fd, 'ZEROPAGE', kit.range(2, 1)).result).toBe('EEXIST');
    expect(kit.ioctl(fd, 'ZEROPAGE', kit.range(5, 1)).result).toBe(0);
    expect([0, 1, 2, 3, 4, 5].map((p) => kit.slot(p))).toEqual([
      'present write dirty young',
      'present dirty young uffd-wp',
      'marker uffd-wp',
      'present write dirty young',
      'present write dirty young',
      'present young special',
    ]);
    expect(kit.census()).toBeNull();
  });

  test('protection of the mapping does not matter, the page gets its rights', () => {
    const kit = new Kit();
    kit.map(0, 1, 1);
    const fd = kit.uffd();
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode: 1 });
    expect(kit.ioctl(fd, 'COPY', { dst: A, src: source, len: P }).result).toBe(0);
    expect(kit.slot(0)).toBe('present dirty young');
  });

  test('an address space in change answers EAGAIN before anything is read', () => {
    const kit = new Kit();
    kit.map(0, 1);
    const fd = kit.uffd();
    kit.ctx(fd).mmapChanging = 1;
    const { result, out: after } = kit.ioctl(fd, 'COPY', { len: 1, mode: 99, copy: 77 });
    expect([result, after['copy']]).toEqual(['EAGAIN', -11]);
    expect(kit.ioctl(fd, 'WRITEPROTECT', { len: 1 }).result).toBe('EAGAIN');
    expect(kit.ioctl(fd, 'WAKE', kit.range(0, 1)).result).toBe(0);
  });
});

test('fdinfo says what Linux says', () => {
  const kit = new Kit();
  const fresh = kit.alone(sysUserfaultfd(kit.task, [0]));
  const ready = kit.uffd(0x8000);
  const info = (fd: number): string => {
    const file = kit.task.files.get(fd);
    return file?.ops.fdinfo?.(file) ?? '';
  };
  expect(info(fresh)).toBe('pending:\t0\ntotal:\t0\nAPI:\taa:0:80000000000001ff\n');
  expect(info(ready)).toBe('pending:\t0\ntotal:\t0\nAPI:\taa:8000a000:80000000000001ff\n');
});

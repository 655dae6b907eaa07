// Shared memory and memfds. Errnos, slots and pagemap states were measured on 6.18.44.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { A, answer, P } from '../../../test/kernel/kit.ts';
import { MemfdKit, NAME_AT } from '../../../test/kernel/memfd-kit.ts';
import { drawMaps } from '../../../test/kernel-maps.ts';
import { decodePte } from '../../machine/pte.ts';
import {
  MADV_DONTNEED,
  MADV_FREE,
  MADV_MERGEABLE,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_REMOVE,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
} from '../../uapi/mman.ts';
import { peekPte } from '../check/page-tables.ts';
import { forkTask } from '../core/create.ts';
import { SCRATCH_BASE } from '../core/task.ts';
import { procMaps } from '../fs/proc/maps.ts';
import { mmput } from './exit-mmap.ts';

const SEALING = 2;
const RW = 3;
const [PUNCH, KEEP] = [3, 1];
const [ADD_SEALS, GET_SEALS] = [1033, 1034];
const [SEAL_SEAL, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE, FUTURE_WRITE] = [1, 2, 4, 8, 16];

let kit: MemfdKit;
beforeEach(() => {
  kit = new MemfdKit();
});
afterEach(() => {
  expect(kit.census()).toBeNull();
});

describe('what two mappings and the file show', () => {
  test('a store through one is a load through another, and a read of the file', () => {
    const fd = kit.memfd(2);
    expect([kit.mapFile(fd, 0, 2, MAP_SHARED), kit.mapFile(fd, 4, 2, MAP_SHARED)]).toEqual([0, 4]);
    kit.store(1, 7);
    expect([kit.load(5), kit.read(fd, 4, P)]).toEqual([7, [7, 0, 0, 0]]);
    expect(kit.write(fd, [9], P)).toBe(1);
    expect(kit.load(1)).toBe(9);
  });

  test('a private mapping shows the file until it writes, then its own copy', () => {
    const fd = kit.memfd(1);
    kit.mapFile(fd, 0, 1, MAP_SHARED);
    kit.mapFile(fd, 4, 1, MAP_PRIVATE);
    kit.store(0, 1);
    expect(kit.load(4)).toBe(1);
    kit.store(0, 2);
    expect([kit.load(4), kit.slot(4)]).toEqual([2, 'present young']);
    kit.store(4, 5);
    kit.store(0, 3);
    expect([kit.load(4), kit.load(0)]).toEqual([5, 3]);
    expect(kit.slot(4)).toBe('present write dirty young');
  });

  test('a shared writable page is writable from its first read on, where nobody listens', () => {
    const fd = kit.memfd(1);
    kit.mapFile(fd, 0, 1, MAP_SHARED);
    kit.load(0);
    expect(kit.slot(0)).toBe('present write young');
  });

  test('fork shares shared memory and copies private copies; the child starts empty where it can', () => {
    const fd = kit.memfd(2);
    kit.mapFile(fd, 0, 2, MAP_SHARED);
    kit.mapFile(fd, 4, 2, MAP_PRIVATE);
    kit.store(0, 1);
    kit.store(4, 2);
    kit.load(5);
    const child = kit.alone(forkTask(kit.task, { name: 'child', hart: 1, owner: 1 }));
    if (typeof child === 'number') throw new Error('fork');
    const childSlot = (page: number): unknown => decodePte(peekPte(child.mmOrDie, A + page * P));
    expect(childSlot(0)).toEqual({ kind: 'none' });
    expect(childSlot(4)).toMatchObject({ kind: 'present', flags: 'dirty' });
    expect(childSlot(5)).toMatchObject({ kind: 'present', flags: '' });
    kit.alone(mmput(child.mmOrDie));
    child.mm = null;
  });

  test('shared anonymous memory is a file of its own: neighbours never merge', () => {
    kit.mapFile(-1, 0, 1, MAP_SHARED | MAP_ANONYMOUS);
    kit.mapFile(-1, 1, 1, MAP_SHARED | MAP_ANONYMOUS);
    expect(drawMaps(kit.task, A, 3)).toBe('AB.');
    expect(procMaps(kit.task.mmOrDie)).toMatch(
      /rw-s 00000000 00:01 \d+ +\/dev\/zero \(deleted\)\n/,
    );
    kit.store(0, 4);
    expect(kit.load(0)).toBe(4);
  });

  test('mappings of consecutive pages of one file merge and split', () => {
    const fd = kit.memfd(4);
    kit.mapFile(fd, 0, 2, MAP_SHARED);
    kit.mapFile(fd, 2, 2, MAP_SHARED, RW, 2);
    expect(drawMaps(kit.task, A, 4)).toBe('AAAA');
    kit.protect(1, 1, 1);
    expect(drawMaps(kit.task, A, 4)).toBe('ABCC');
    kit.protect(1, 1, 3);
    expect(drawMaps(kit.task, A, 4)).toBe('AAAA');
    kit.mapFile(fd, 1, 1, MAP_SHARED, RW, 3);
    expect(drawMaps(kit.task, A, 4)).toBe('ABCC');
    kit.store(1, 3);
    expect(kit.read(fd, 1, 3 * P)).toEqual([3]);
    kit.unmap(0, 4);
  });

  test('closing the file keeps its pages as long as it is mapped', () => {
    const fd = kit.memfd(1);
    kit.mapFile(fd, 0, 1, MAP_SHARED);
    kit.store(0, 6);
    expect(kit.call('close', fd)).toBe(0);
    expect(kit.load(0)).toBe(6);
    kit.unmap(0, 1);
    expect(kit.world.mappings.size).toBe(0);
  });
});

describe('size, holes and seals', () => {
  test('beyond the end there is SIGBUS, for private memory too', () => {
    const fd = kit.memfd(1);
    kit.mapFile(fd, 0, 2, MAP_SHARED);
    kit.mapFile(fd, 4, 2, MAP_PRIVATE);
    expect([kit.load(1), kit.load(5), kit.store(5, 1)]).toMatchObject([
      { signal: 'BUS', code: 2 },
      { signal: 'BUS', code: 2 },
      { signal: 'BUS', code: 2 },
    ]);
    expect(kit.advise(0, 2, MADV_POPULATE_READ)).toBe(-14);
  });

  test('truncation takes pages, private copies and what is behind the new end of the last page', () => {
    const fd = kit.memfd(2);
    kit.mapFile(fd, 0, 2, MAP_SHARED);
    kit.mapFile(fd, 4, 2, MAP_PRIVATE);
    kit.store(0, 1);
    kit.store(0, 2, 3);
    kit.store(1, 1);
    kit.store(5, 2);
    expect(kit.call('ftruncate', fd, 2)).toBe(0);
    expect([kit.slot(0), kit.slot(1), kit.slot(5)]).toEqual([
      'present write dirty young',
      'none',
      'none',
    ]);
    expect(kit.call('ftruncate', fd, 2 * P)).toBe(0);
    expect([kit.load(0), kit.load(0, 3), kit.load(1)]).toEqual([1, 0, 0]);
  });

  test('punching keeps private copies, which truncation takes', () => {
    const fd = kit.memfd(2);
    kit.mapFile(fd, 0, 2, MAP_SHARED);
    kit.mapFile(fd, 4, 2, MAP_PRIVATE);
    kit.store(0, 1);
    kit.store(1, 1);
    kit.store(4, 2);
    expect(kit.call('fallocate', fd, PUNCH, 0, P)).toBe(0);
    expect(kit.slots(0, 2)).toEqual(['none', 'present write dirty young']);
    expect(kit.load(4)).toBe(2);
    expect(kit.load(0)).toBe(0);
  });

  test('fallocate makes pages that are a hole to lseek and to fault-around until they are used', () => {
    const fd = kit.memfd(4);
    expect(kit.call('fallocate', fd, 0, 0, 2 * P)).toBe(0);
    const seek = (offset: number, whence: number): unknown => kit.call('lseek', fd, offset, whence);
    expect([seek(0, 3), seek(0, 4)]).toEqual(['ENXIO', 0]);
    kit.write(fd, [1], 3 * P);
    kit.mapFile(fd, 0, 4, MAP_SHARED);
    expect(kit.load(0)).toBe(0);
    expect(kit.slots(0, 4)).toEqual(['present write young', 'none', 'none', 'present write young']);
    kit.mapFile(fd, 4, 4, MAP_SHARED);
    expect(kit.load(7)).toBe(1);
    expect(kit.slots(4, 4)).toEqual(['present write young', 'none', 'none', 'present write young']);
    expect([seek(0, 3), seek(0, 4)]).toEqual([0, P]);
    expect(kit.call('fallocate', fd, KEEP, 4 * P, P)).toBe(0);
    expect(seek(0, 2)).toBe(4 * P);
  });

  test('MADV_REMOVE punches what the mapping shows', () => {
    const fd = kit.memfd(2);
    kit.mapFile(fd, 0, 1, MAP_SHARED, RW, 1);
    kit.store(0, 1);
    expect(kit.advise(0, 1, MADV_REMOVE)).toBe(0);
    expect([kit.slot(0), kit.load(0)]).toEqual(['none', 0]);
  });

  test.each([
    [SEAL_WRITE, ['EPERM', 0, 'EPERM', 0, 0]],
    [FUTURE_WRITE, ['EPERM', 0, 'EPERM', 0, 0]],
    [SEAL_SHRINK, [1, 0, 0, 'EPERM', 0]],
    [SEAL_GROW, [1, 0, 0, 0, 'EPERM']],
  ])('seal %d: write, fallocate inside, punch, shrink, grow', (seal, expected) => {
    const fd = kit.memfd(2, SEALING);
    expect(kit.call('fcntl', fd, ADD_SEALS, seal)).toBe(0);
    expect(kit.call('fcntl', fd, GET_SEALS, 0)).toBe(seal);
    expect([
      kit.write(fd, [1], 0),
      kit.call('fallocate', fd, 0, 0, P),
      kit.call('fallocate', fd, PUNCH, 0, P),
      kit.call('ftruncate', fd, P),
      kit.call('ftruncate', fd, 3 * P),
    ]).toEqual(expected);
  });

  test('F_SEAL_GROW lets a write reach the end and no further', () => {
    const fd = kit.memfd(2, SEALING);
    kit.call('fcntl', fd, ADD_SEALS, SEAL_GROW);
    expect(kit.write(fd, [1, 2, 3, 4], 2 * P - 2)).toBe(2);
    expect(kit.write(fd, [1], 2 * P)).toBe('EPERM');
    expect(kit.call('fallocate', fd, KEEP, 0, 4 * P)).toBe('EPERM');
  });

  test('who may seal', () => {
    expect(kit.call('fcntl', kit.memfd(0), GET_SEALS, 0)).toBe(SEAL_SEAL);
    expect(kit.call('fcntl', kit.memfd(0), ADD_SEALS, SEAL_WRITE)).toBe('EPERM');
    expect(kit.call('fcntl', kit.memfd(0, 8), GET_SEALS, 0)).toBe(0x20);
    const fd = kit.memfd(2, SEALING);
    expect(kit.call('fcntl', fd, ADD_SEALS, 0x80)).toBe('EINVAL');
    kit.mapFile(fd, 0, 1, MAP_SHARED, 1);
    expect(kit.call('fcntl', fd, ADD_SEALS, SEAL_WRITE)).toBe('EBUSY');
    expect(kit.call('fcntl', fd, ADD_SEALS, FUTURE_WRITE)).toBe(0);
    kit.unmap(0, 1);
    kit.mapFile(fd, 0, 1, MAP_PRIVATE);
    expect(kit.call('fcntl', fd, ADD_SEALS, SEAL_WRITE)).toBe(0);
  });

  test('a sealed file maps shared for reading only, for ever', () => {
    const fd = kit.memfd(2, SEALING);
    kit.call('fcntl', fd, ADD_SEALS, FUTURE_WRITE);
    expect(kit.mapFile(fd, 0, 1, MAP_SHARED)).toBe('EPERM');
    expect(kit.mapFile(fd, 0, 1, MAP_SHARED, 1)).toBe(0);
    expect(answer(kit.protect(0, 1, RW))).toBe('EACCES');
    expect(kit.ioctl(kit.uffd(), 'REGISTER', { ...kit.range(0, 1), mode: 1 }).result).toBe('EPERM');
    expect(answer(kit.advise(0, 1, MADV_REMOVE))).toBe('EACCES');
    expect(kit.mapFile(fd, 4, 1, MAP_PRIVATE)).toBe(4);
    expect(kit.store(4, 1)).toBeNull();
  });
});

describe('errors', () => {
  test.each([
    ['a flag nobody knows', 0x20, 'EINVAL'],
    ['MFD_EXEC with MFD_NOEXEC_SEAL', 0x18, 'EINVAL'],
  ])('memfd_create with %s', (_name, flags, expected) => {
    expect(kit.call('memfd_create', NAME_AT, flags)).toBe(expected);
  });

  test('memfd_create without a name, and with one too long', () => {
    expect(kit.call('memfd_create', 0, 0)).toBe('EFAULT');
    kit.put(Array(250).fill(97));
    expect(kit.call('memfd_create', NAME_AT, 0)).toBe('EINVAL');
    kit.put([...Array(249).fill(97), 0]);
    expect(kit.call('memfd_create', NAME_AT, 0)).toBe(0);
  });

  test.each([
    ['GROWSDOWN', MAP_PRIVATE | MAP_GROWSDOWN, 0, 'EINVAL'],
    ['SHARED_VALIDATE with an unknown flag', MAP_SHARED_VALIDATE | 0x80000, 0, 'EOPNOTSUPP'],
    ['SHARED_VALIDATE with NOREPLACE', MAP_SHARED_VALIDATE | 0x100000, 0, 'EOPNOTSUPP'],
    ['neither shared nor private', 0, 0, 'EINVAL'],
    ['an offset beyond all files', MAP_SHARED, 2 ** 51 - 1, 'EOVERFLOW'],
  ])('mmap of a memfd: %s', (_name, flags, from, expected) => {
    expect(kit.mapFile(kit.memfd(1), 0, 2, flags, RW, from)).toBe(expected);
  });

  test('mmap of what is no memory: a pipe by its rights first, then ENODEV', () => {
    kit.call('pipe2', NAME_AT, 0);
    const [readEnd, writeEnd] = [0, 1];
    expect(kit.mapFile(readEnd, 0, 1, MAP_PRIVATE, 1)).toBe('ENODEV');
    expect(kit.mapFile(readEnd, 0, 1, MAP_SHARED)).toBe('EACCES');
    expect(kit.mapFile(writeEnd, 0, 1, MAP_PRIVATE, 1)).toBe('EACCES');
    expect(kit.call('ftruncate', writeEnd, 0)).toBe('EINVAL');
    expect(kit.call('fallocate', writeEnd, 0, 0, 1)).toBe('ESPIPE');
    expect(kit.call('fcntl', readEnd, GET_SEALS, 0)).toBe('EINVAL');
  });

  test.each([
    ['an unknown mode', 8, 0, P, 'EOPNOTSUPP'],
    ['PUNCH_HOLE without KEEP_SIZE', 2, 0, P, 'EOPNOTSUPP'],
    ['no length', 0, 0, 0, 'EINVAL'],
    ['no length and an unknown mode', 8, 0, 0, 'EINVAL'],
    ['a negative offset', 0, -1, P, 'EINVAL'],
  ])('fallocate with %s', (_name, mode, offset, length, expected) => {
    expect(kit.call('fallocate', kit.memfd(2), mode, offset, length)).toBe(expected);
  });

  test('bad descriptors and lengths', () => {
    expect(kit.call('ftruncate', 99, -1)).toBe('EINVAL');
    expect(kit.call('ftruncate', 99, 0)).toBe('EBADF');
    expect(kit.call('fallocate', 99, 0, 0, 0)).toBe('EBADF');
  });

  test.each([
    [MADV_REMOVE, 0, 'EACCES'],
    [MADV_FREE, 'EINVAL', 'EINVAL'],
    [MADV_WIPEONFORK, 'EINVAL', 'EINVAL'],
    [MADV_MERGEABLE, 0, 0],
    [MADV_POPULATE_WRITE, 0, 0],
    [MADV_DONTNEED, 0, 0],
  ])('madvise %d of shared and of private memory of a memfd', (advice, shared, own) => {
    const fd = kit.memfd(2);
    kit.mapFile(fd, 0, 1, MAP_SHARED);
    kit.mapFile(fd, 4, 1, MAP_PRIVATE);
    expect([answer(kit.advise(0, 1, advice)), answer(kit.advise(4, 1, advice))]).toEqual([
      shared,
      own,
    ]);
  });
});

describe('calls that change or look at mappings', () => {
  test('mremap moves a mapping of a file, and its pages are found through the file afterwards', () => {
    const fd = kit.memfd(2);
    kit.mapFile(fd, 0, 2, MAP_SHARED);
    kit.store(1, 7);
    expect(kit.call('mremap', A, 2 * P, 2 * P, 3, A + 8 * P)).toBe(A + 8 * P);
    expect([kit.load(9), kit.slots(0, 2)]).toEqual([7, ['none', 'none']]);
    expect(kit.call('ftruncate', fd, 0)).toBe(0);
    expect(kit.slots(8, 2)).toEqual(['none', 'none']);
  });

  test('mremap of old size 0 shows the same pages a second time, and grows past the end of the file', () => {
    const fd = kit.memfd(1);
    kit.mapFile(fd, 0, 1, MAP_SHARED);
    kit.store(0, 7);
    expect(kit.call('mremap', A, 0, 2 * P, 3, A + 8 * P)).toBe(A + 8 * P);
    expect([kit.load(8), kit.load(0)]).toEqual([7, 7]);
    expect(kit.load(9)).toMatchObject({ signal: 'BUS' });
  });

  test('mincore asks the page cache where nothing is mapped', () => {
    const fd = kit.memfd(3);
    kit.write(fd, [1], P);
    kit.call('fallocate', fd, 0, 2 * P, P);
    kit.mapFile(fd, 0, 3, MAP_SHARED);
    expect(kit.call('mincore', A, 3 * P, NAME_AT)).toBe(0);
    const at = NAME_AT - SCRATCH_BASE;
    expect([...(kit.task.scratch ?? [])].slice(at, at + 3)).toEqual([0, 1, 0]);
    expect(kit.call('msync', A, 3 * P, 4)).toBe(0);
  });
});

describe('what 6.18 does without swap', () => {
  const PAGEOUT = 21;

  test('MADV_PAGEOUT unmaps shared memory: what was written stays cached, what was only read is dropped', () => {
    const fd = kit.memfd(2);
    kit.mapFile(fd, 0, 2, MAP_SHARED);
    kit.load(0);
    kit.store(1, 5);
    expect(kit.advise(0, 2, PAGEOUT)).toBe(0);
    expect(kit.slots(0, 2)).toEqual(['none', 'none']);
    expect(kit.call('lseek', fd, 0, 3)).toBe(P);
    expect(kit.load(1)).toBe(5);
  });

  test('guards in memory of a file need no anon_vma: parts merge again, and fork copies them', () => {
    const fd = kit.memfd(3);
    kit.mapFile(fd, 0, 3, MAP_SHARED);
    kit.advise(1, 1, 16);
    expect(kit.advise(0, 3, 102)).toBe(0);
    kit.advise(1, 1, 17);
    expect(drawMaps(kit.task, A, 3)).toBe('AAA');
    const child = kit.alone(forkTask(kit.task, { name: 'child', hart: 1, owner: 1 }));
    if (typeof child === 'number') throw new Error('fork');
    expect(decodePte(peekPte(child.mmOrDie, A))).toMatchObject({ kind: 'marker', marks: 'guard' });
    kit.alone(mmput(child.mmOrDie));
    child.mm = null;
  });
});

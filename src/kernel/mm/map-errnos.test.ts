// What mmap, munmap, mprotect, madvise, mremap and brk refuse, and which refusal wins when several are due.
// Every row was measured on Linux 6.18 (x86-64, root), same arguments relative to a free area.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { drawFlags, drawMaps } from '../../../test/kernel-maps.ts';
import { KernelWorld, RW } from '../../../test/kernel-world.ts';
import { errnoName } from '../../uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_STACK,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
  PROT_NONE,
  PROT_READ,
  PROT_SEM,
} from '../../uapi/mman.ts';
import { dispatch, syscallByName } from '../syscall/dispatch.ts';

const P = 4096;
const B = 0x200000;
const TASK_SIZE = 0x7ffffffff000;
let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

/** A system call by name: `0`, `ok` for any other value, or the errno's name. */
function call(name: string, ...args: readonly number[]): string {
  const row = syscallByName(name);
  if (row === null) throw new Error(name);
  const result = k.run(dispatch(k.task, row.nr, args));
  if (result >= 0) return result === 0 ? '0' : 'ok';
  const why = k.task.why;
  if (why !== null) expect(why.errno).toBe(-result);
  return errnoName(-result);
}
const AP = MAP_ANONYMOUS | MAP_PRIVATE;
function mmap(
  addr: number,
  length: number,
  prot: number,
  flags: number,
  fd = -1,
  offset = 0,
): string {
  return call('mmap', addr, length, prot, flags, fd, offset);
}

describe('mmap', () => {
  const rows: readonly (readonly [string, () => string])[] = [
    ['EINVAL', () => mmap(0, 0, RW, MAP_ANONYMOUS)],
    ['EINVAL', () => mmap(0, 0, RW, AP | MAP_FIXED, -1, 1)],
    ['EINVAL', () => mmap(0, P, RW, MAP_ANONYMOUS)],
    ['EINVAL', () => mmap(0, P, RW, AP, -1, 1)],
    ['EINVAL', () => mmap(B + 1, P, RW, AP | MAP_FIXED)],
    ['ENOMEM', () => mmap(B + 1, 2 ** 47, RW, AP | MAP_FIXED)],
    ['ENOMEM', () => mmap(0, 2 ** 47, RW, AP)],
    ['ENOMEM', () => mmap(0, -1, RW, AP)],
    ['ENOMEM', () => mmap(0, 2 ** 47, RW, MAP_ANONYMOUS)],
    ['ENOMEM', () => mmap(TASK_SIZE, P, RW, AP | MAP_FIXED)],
    ['ok', () => mmap(TASK_SIZE - P, P, RW, AP | MAP_FIXED_NOREPLACE)],
    ['EBADF', () => mmap(0, P, RW, MAP_PRIVATE, 99)],
    ['EINVAL', () => mmap(0, P, RW, 0, 99, 1)],
    ['EBADF', () => mmap(0, 0, RW, MAP_PRIVATE, 99)],
    ['EINVAL', () => mmap(0, P, RW, MAP_PRIVATE, 99, 1)],
    ['EINVAL', () => mmap(0, P, RW, MAP_ANONYMOUS | MAP_SHARED_VALIDATE)],
    ['EINVAL', () => mmap(0, P, RW, MAP_ANONYMOUS | 0xe)],
    ['EINVAL', () => mmap(0, P, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_GROWSDOWN)],
    ['ok', () => mmap(0, P, RW, AP | MAP_GROWSDOWN)],
    ['ok', () => mmap(0, P, 0x7fffff00 | RW, AP)],
    ['ok', () => mmap(0, P, RW, AP | 0x7f000000)],
    ['ok', () => mmap(0, P, RW, AP, 55)],
    ['ok', () => mmap(0, P, RW, AP, -1, 2 ** 52)],
    ['0', () => mmap(0, P, RW, AP | MAP_FIXED)],
  ];
  test.each(rows)('%s from row %#', (expected, ask) => {
    expect(ask()).toBe(expected);
  });

  test('MAP_FIXED_NOREPLACE over a mapping is EEXIST before anything about the type is', () => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED);
    expect(mmap(B + P, P, RW, AP | MAP_FIXED_NOREPLACE)).toBe('EEXIST');
    expect(mmap(B + P, P, RW, MAP_ANONYMOUS | MAP_FIXED_NOREPLACE)).toBe('EEXIST');
  });

  test('a hint is rounded down and taken when there is room', () => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED);
    expect(k.map(1, RW, B + 8 * P + 5)).toBe(B + 8 * P);
    expect(k.map(1, RW, B + 2 * P)).not.toBe(B + 2 * P);
  });

  test('without a hint mappings grow downward from the mmap base', () => {
    const first = k.map(2);
    expect(k.map(1)).toBe(first - P);
    k.run(dispatch(k.task, 215, [first, P]));
    expect(k.map(1)).toBe(first);
  });

  test('flags become letters of VmFlags', () => {
    const letters: readonly (readonly [number, number, string])[] = [
      [PROT_NONE, 0, 'mr mw me'],
      [PROT_READ, 0, 'rd mr mw me'],
      [RW, 0, 'rd wr mr mw me ac'],
      [7, 0, 'rd wr ex mr mw me ac'],
      [RW, MAP_NORESERVE, 'rd wr mr mw me nr'],
      [RW, MAP_STACK, 'rd wr mr mw me ac nh'],
      [RW, MAP_LOCKED, 'rd wr mr mw me lo ac'],
      [RW, MAP_GROWSDOWN, 'rd wr mr mw me gd ac'],
    ];
    for (const [prot, flags, expected] of letters) {
      mmap(B, 2 * P, prot, AP | MAP_FIXED | flags);
      expect(drawFlags(k.task, B)).toBe(`0-2 ${expected}`);
      call('munmap', B, 2 * P);
    }
  });

  test('MAP_POPULATE and MAP_LOCKED fault pages in, writable ones for writing', () => {
    mmap(B, P, RW, AP | MAP_FIXED | MAP_POPULATE);
    expect(k.slot(B)).toContain('write');
    mmap(B, P, PROT_READ, AP | MAP_FIXED | MAP_POPULATE);
    expect(k.slot(B)).toBe('present young special');
    mmap(B, P, RW, AP | MAP_FIXED | MAP_LOCKED);
    expect(k.slot(B)).toContain('write');
    mmap(B, P, PROT_NONE, AP | MAP_FIXED | MAP_POPULATE);
    expect(k.slot(B)).toBe('none');
  });

  test('one mapping more than max_map_count can be made, then none', () => {
    k.world.sysctl.maxMapCount = 3;
    for (const page of [0, 2, 4, 6]) {
      expect(mmap(B + page * P, P, RW, AP | MAP_FIXED)).toBe('ok');
    }
    expect(mmap(B + 8 * P, P, RW, AP | MAP_FIXED)).toBe('ENOMEM');
  });

  test('below vm.mmap_min_addr only root maps', () => {
    expect(mmap(0, P, RW, AP | MAP_FIXED)).toBe('0');
    k.task.uid = 1000;
    expect(mmap(0, P, RW, AP | MAP_FIXED)).toBe('EPERM');
  });
});

describe('munmap', () => {
  test.each([
    ['EINVAL', B + 1, P],
    ['EINVAL', B, 0],
    ['0', B, P],
    ['EINVAL', B, -1],
    ['EINVAL', B, 2 ** 47],
    ['EINVAL', TASK_SIZE, P],
    ['EINVAL', TASK_SIZE - P, 2 * P],
    ['EINVAL', -P, P],
    ['EINVAL', 2 ** 51, P],
    ['EINVAL', B, TASK_SIZE - B + 1],
    ['0', B, P - 1],
  ])('%s for (0x%x, %i)', (expected, addr, length) => {
    expect(call('munmap', addr, length)).toBe(expected);
  });

  test('a hole at the limit of mappings is ENOMEM, a cut end is not', () => {
    mmap(B, 3 * P, RW, AP | MAP_FIXED);
    k.world.sysctl.maxMapCount = 1;
    expect(call('munmap', B + P, P)).toBe('ENOMEM');
    expect(drawMaps(k.task, B, 4)).toBe('AAA.');
    expect(call('munmap', B + 2 * P, P)).toBe('0');
    expect(call('munmap', B, P)).toBe('0');
    expect(drawMaps(k.task, B, 4)).toBe('.A..');
  });
});

describe('mprotect', () => {
  beforeEach(() => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED);
    call('munmap', B + 2 * P, P);
  });
  test.each([
    ['EINVAL', B + 1, P, RW],
    ['EINVAL', B + 1, 0, RW],
    ['0', B, 0, RW],
    ['0', B, 0, 0x80],
    ['EINVAL', B, P, 0x80],
    ['EINVAL', B, P, PROT_GROWSDOWN | RW],
    ['EINVAL', B, P, PROT_GROWSUP | RW],
    ['EINVAL', B, 0, PROT_GROWSDOWN | PROT_GROWSUP | RW],
    ['EINVAL', B + 1, 0, PROT_GROWSDOWN | PROT_GROWSUP | RW],
    ['ENOMEM', B + 2 * P, P, PROT_READ],
    ['ENOMEM', B + 2 * P, 2 * P, PROT_READ],
    ['ENOMEM', B + 8 * P, P, PROT_READ],
    ['EINVAL', B + 8 * P, P, 0x80],
    ['0', B + 8 * P, 0, PROT_READ],
    ['ENOMEM', B, -1, PROT_READ],
    ['ENOMEM', B, -P, PROT_READ],
    ['ENOMEM', B, -P, 0x80],
    ['ENOMEM', -P, P, PROT_READ],
    ['0', B, P, PROT_SEM],
  ])('%s for (0x%x, %i, 0x%x)', (expected, addr, length, prot) => {
    expect(call('mprotect', addr, length, prot)).toBe(expected);
  });

  test('a hole: what lies before it is changed', () => {
    expect(call('mprotect', B, 4 * P, PROT_READ)).toBe('ENOMEM');
    expect(drawFlags(k.task, B)).toBe('0-2 rd mr mw me | 3-4 rd wr mr mw me ac');
  });

  test('PROT_GROWSDOWN extends the change to the start of a mapping that grows down', () => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED | MAP_GROWSDOWN);
    expect(call('mprotect', B + P, P, PROT_GROWSDOWN | PROT_READ)).toBe('0');
    expect(drawFlags(k.task, B)).toBe('0-2 rd mr mw me gd | 2-4 rd wr mr mw me gd ac');
  });

  test('memory is accounted from the first time it may be written until it may not, if unused', () => {
    mmap(B, 4 * P, PROT_NONE, AP | MAP_FIXED);
    call('mprotect', B, P, RW);
    expect(drawFlags(k.task, B)).toBe('0-1 rd wr mr mw me ac | 1-4 mr mw me');
    call('mprotect', B, P, PROT_NONE);
    expect(drawFlags(k.task, B)).toBe('0-4 mr mw me');
    call('mprotect', B, P, RW);
    k.store(B, 1);
    call('mprotect', B, P, PROT_NONE);
    expect(drawFlags(k.task, B)).toBe('0-1 mr mw me ac | 1-4 mr mw me');
    call('mprotect', B, 4 * P, RW);
    expect(drawFlags(k.task, B)).toBe('0-4 rd wr mr mw me ac');
  });

  test('splitting at the limit of mappings is ENOMEM', () => {
    k.world.sysctl.maxMapCount = 2;
    expect(call('mprotect', B, P, PROT_READ)).toBe('ENOMEM');
    expect(call('mprotect', B, 2 * P, PROT_READ)).toBe('0');
  });
});

describe('madvise', () => {
  // Columns: one page of the kind, on 6.18. Advice that is not modelled yet is left out.
  //                 name              nr   rw   locked    PROT_NONE  read-only
  const matrix: readonly (readonly [string, number, string, string, string, string])[] = [
    ['NORMAL', 0, '0', '0', '0', '0'],
    ['RANDOM', 1, '0', '0', '0', '0'],
    ['SEQUENTIAL', 2, '0', '0', '0', '0'],
    ['WILLNEED', 3, '0', '0', '0', '0'],
    ['DONTNEED', 4, '0', 'EINVAL', '0', '0'],
    ['5', 5, 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL'],
    ['DONTFORK', 10, '0', '0', '0', '0'],
    ['DOFORK', 11, '0', '0', '0', '0'],
    ['MERGEABLE', 12, '0', '0', '0', '0'],
    ['UNMERGEABLE', 13, '0', '0', '0', '0'],
    ['HUGEPAGE', 14, '0', '0', '0', '0'],
    ['NOHUGEPAGE', 15, '0', '0', '0', '0'],
    ['DONTDUMP', 16, '0', '0', '0', '0'],
    ['DODUMP', 17, '0', '0', '0', '0'],
    ['WIPEONFORK', 18, '0', '0', '0', '0'],
    ['KEEPONFORK', 19, '0', '0', '0', '0'],
    ['POPULATE_READ', 22, '0', '0', 'EINVAL', '0'],
    ['POPULATE_WRITE', 23, '0', '0', 'EINVAL', 'EINVAL'],
    ['DONTNEED_LOCKED', 24, '0', '0', '0', '0'],
    ['26', 26, 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL'],
    ['104', 104, 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL'],
    ['-1', -1, 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL'],
  ];
  test.each(matrix)('%s on anonymous memory', (_name, nr, rw, locked, none, readOnly) => {
    const on = (prot: number, flags: number): string => {
      mmap(B, 4 * P, prot, AP | MAP_FIXED | flags);
      return call('madvise', B, P, nr);
    };
    expect(on(RW, 0)).toBe(rw);
    expect(on(RW, MAP_LOCKED)).toBe(locked);
    expect(on(PROT_NONE, 0)).toBe(none);
    expect(on(PROT_READ, 0)).toBe(readOnly);
  });

  test.each(matrix.filter(([, , rw]) => rw === '0'))('%s: arguments and holes', (_name, nr) => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED);
    call('munmap', B + 2 * P, P);
    expect(call('madvise', B + 1, P, nr)).toBe('EINVAL');
    expect(call('madvise', B + 1, 0, nr)).toBe('EINVAL');
    expect(call('madvise', B, 0, nr)).toBe('0');
    expect(call('madvise', B, 1, nr)).toBe('0');
    expect(call('madvise', B, -1, nr)).toBe('EINVAL');
    expect(call('madvise', B, -P, nr)).toBe('EINVAL');
    expect(call('madvise', -P, P, nr)).toBe('EINVAL');
    expect(call('madvise', B, 4 * P, nr)).toBe('ENOMEM');
    expect(call('madvise', B + 2 * P, P, nr)).toBe('ENOMEM');
  });

  test('what lies behind a hole is done too, except by POPULATE', () => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED);
    for (const page of [0, 1, 3]) k.store(B + page * P, 1);
    call('munmap', B + 2 * P, P);
    expect(call('madvise', B, 4 * P, 10)).toBe('ENOMEM');
    expect(drawFlags(k.task, B)).toBe('0-2 rd wr mr mw me dc ac | 3-4 rd wr mr mw me dc ac');
    expect(call('madvise', B, 4 * P, 4)).toBe('ENOMEM');
    for (const page of [0, 1, 3]) expect(k.slot(B + page * P)).toBe('none');
    expect(call('madvise', B, 4 * P, 23)).toBe('ENOMEM');
    expect([0, 1, 3].map((page) => k.slot(B + page * P).slice(0, 7))).toEqual([
      'present',
      'present',
      'none',
    ]);
  });

  test('an error stops the call; what was before it stays done', () => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED);
    mmap(B + P, P, RW, AP | MAP_FIXED | MAP_LOCKED);
    for (const page of [0, 1, 2]) k.store(B + page * P, 1);
    expect(call('madvise', B, 3 * P, 4)).toBe('EINVAL');
    expect(k.slot(B)).toBe('none');
    expect(k.slot(B + 2 * P)).toContain('present');
  });

  test('no room for another mapping is EAGAIN', () => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED);
    k.world.sysctl.maxMapCount = 1;
    expect(call('madvise', B, P, 10)).toBe('EAGAIN');
  });
});

describe('mremap', () => {
  const HIGH = 2 ** 48;
  test.each([
    ['EINVAL', B, P, P, 8, 0],
    ['EINVAL', B + 1, P, P, 0, 0],
    ['EINVAL', B, P, 0, 0, 0],
    ['EINVAL', B, P, HIGH, 0, 0],
    ['ok', B, P, P, 0, HIGH],
    ['EINVAL', B, P, P, 3, HIGH],
    ['EINVAL', B, P, P, 3, B + 9],
    ['EINVAL', B, P, P, 2, B + 8 * P],
    ['EINVAL', B, P, 2 * P, 5, B + 8 * P],
    ['EINVAL', B, 2 * P, 2 * P, 3, B + P],
    ['EFAULT', B + 8 * P, P, P, 0, 0],
    ['EFAULT', B + 8 * P, P, 2 * P, 0, 0],
    ['ok', B, 8 * P, 8 * P, 0, 0],
    ['EFAULT', B, 8 * P, 9 * P, 0, 0],
    ['EFAULT', B, 8 * P, 9 * P, 1, 0],
    ['ok', B, 8 * P, 8 * P, 3, B + 16 * P],
    ['EFAULT', B - P, 2 * P, 2 * P, 3, B + 16 * P],
    ['EFAULT', B + 4 * P, P, P, 3, B + 16 * P],
    ['EFAULT', B + P, 4 * P, 4 * P, 5, B + 16 * P],
    ['EFAULT', B, 8 * P, 5 * P, 3, B + 16 * P],
    ['ok', B, 8 * P, 4 * P, 3, B + 16 * P],
    ['EINVAL', B, -P, P, 3, B + 16 * P],
    ['EINVAL', B, 0, P, 3, B + 16 * P],
    ['EINVAL', B, 0, P, 5, B + 16 * P],
    ['EINVAL', B, P, P, 4, B + 16 * P],
    ['ok', B, P, P, 5, B + 16 * P],
    ['ok', B, P, P, 7, B + 16 * P],
    ['ok', B, P, 2 * P, 1, 0],
    ['EINVAL', B, 0, P, 1, 0],
    ['EINVAL', B, 0, P, 0, 0],
    ['ENOMEM', B, P, 2 * P, 0, 0],
    ['EINVAL', B, P, -P, 0, 0],
    ['ok', B, 8 * P, P, 0, 0],
  ])('%s for (0x%x, %i, %i, %i, 0x%x)', (expected, addr, oldLength, newLength, flags, to) => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED);
    expect(call('mremap', addr, oldLength, newLength, flags, to)).toBe(expected);
  });

  test('shrinking may cross the end of the mapping', () => {
    mmap(B, 4 * P, RW, AP | MAP_FIXED);
    expect(call('mremap', B, 8 * P, P, 0, 0)).toBe('ok');
    expect(drawMaps(k.task, B, 4)).toBe('A...');
  });
});

describe('brk', () => {
  test('grows, shrinks, and says where it is when it cannot', () => {
    const { mm } = k.task;
    if (mm === null) throw new Error('no mm');
    mm.startBrk = B;
    mm.brk = B;
    const brk = (end: number): number => (k.run(dispatch(k.task, 214, [end])) - B) / P;
    expect(brk(0)).toBe(0);
    expect(brk(B + 2 * P)).toBe(2);
    expect(brk(B + 2.5 * P)).toBe(2.5);
    expect(drawMaps(k.task, B, 4)).toBe('AAA.');
    k.store(B + 2 * P, 7);
    expect(brk(B + P)).toBe(1);
    expect(drawMaps(k.task, B, 4)).toBe('A...');
    expect(brk(B + 3 * P)).toBe(3);
    expect(k.load(B + 2 * P)).toBe(0);
    // A page stays free between the heap and what lies above it.
    mmap(B + 5 * P, P, RW, AP | MAP_FIXED);
    expect(brk(B + 5 * P)).toBe(3);
    expect(brk(B + 4 * P)).toBe(4);
    expect(brk(1)).toBe(4);
  });
});

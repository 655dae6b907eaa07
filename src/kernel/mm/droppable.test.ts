// MAP_DROPPABLE, PR_SET_MDWE and process_mrelease(2). Every answer was measured on 6.18.44.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { errnoName } from '../../uapi/errno.ts';
import {
  MADV_PAGEOUT,
  MAP_ANONYMOUS,
  MAP_DROPPABLE,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
} from '../../uapi/mman.ts';
import type { Task } from '../core/task.ts';
import { vmFlagLetters } from '../fs/proc/maps.ts';
import { syscallByName } from '../syscall/dispatch.ts';

const P = 4096;
let k: KernelWorld;

beforeEach(() => {
  k = new KernelWorld({ swapPages: 16 });
});
afterEach(() => {
  k.world.machine.frames.free.most = Number.POSITIVE_INFINITY;
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function call(name: string, args: readonly number[], task: Task = k.task): number | string {
  const row = must(syscallByName(name), name);
  const result = k.run(row.handler(task, args), task);
  return result < 0 ? errnoName(-result) : result;
}
function map(flags: number, prot = 3): number | string {
  return call('mmap', [0, P, prot, flags | MAP_ANONYMOUS, -1, 0]);
}

describe('MAP_DROPPABLE', () => {
  test.each([
    ['MAP_LOCKED', MAP_LOCKED],
    ['MAP_GROWSDOWN', MAP_GROWSDOWN],
    ['MAP_PRIVATE', MAP_PRIVATE],
    ['MAP_SHARED', MAP_SHARED],
  ])('with %s is EINVAL', (_name, flag) => {
    expect(map(MAP_DROPPABLE | flag)).toBe('EINVAL');
  });
  test('is not reserved, wiped on fork, not dumped', () => {
    for (const flags of [MAP_DROPPABLE, MAP_DROPPABLE | MAP_NORESERVE]) {
      const a = Number(map(flags));
      expect(vmFlagLetters(k.vma(a).flags)).toBe('rd wr mr mw me nr wf dd dp');
    }
  });
  test('is passed over by mlock(2)', () => {
    const a = Number(map(MAP_DROPPABLE));
    expect([call('mlock', [a, P]), vmFlagLetters(k.vma(a).flags)]).toEqual([
      0,
      'rd wr mr mw me nr wf dd dp',
    ]);
  });
  test('reads as zeroes after MADV_PAGEOUT, and takes no room on the swap device', () => {
    const a = Number(map(MAP_DROPPABLE));
    k.store(a, 7);
    expect(call('madvise', [a, P, MADV_PAGEOUT])).toBe(0);
    expect([k.slot(a), k.world.swap?.used, k.load(a)]).toEqual(['none', 0, 0]);
  });
  test('goes before anything else when memory is short, written or not', () => {
    const a = Number(map(MAP_DROPPABLE));
    k.store(a, 7);
    k.world.machine.frames.free.most = 1;
    const b = k.map(1);
    expect(k.store(b, 1)).toBe('ok');
    expect([k.slot(a), k.world.swap?.used]).toEqual(['none', 0]);
  });
  test('is empty in a child', () => {
    const a = Number(map(MAP_DROPPABLE));
    k.store(a, 7);
    const child = k.fork();
    expect([k.load(a, child), k.load(a)]).toEqual([0, 7]);
    k.exit(child);
  });
});

describe('PR_SET_MDWE', () => {
  const [SET, GET] = [65, 66];
  const prctl = (...args: number[]): number | string => call('prctl', [...args, 0, 0, 0, 0]);
  test('bits, and that they stay', () => {
    expect([prctl(SET, 0), prctl(SET, 4), prctl(SET, 2), prctl(SET, 1, 1), prctl(GET, 1)]).toEqual([
      0,
      'EINVAL',
      'EINVAL',
      'EINVAL',
      'EINVAL',
    ]);
    expect([prctl(GET), prctl(SET, 1), prctl(GET)]).toEqual([0, 0, 1]);
    expect([prctl(SET, 0), prctl(SET, 3), prctl(SET, 1)]).toEqual(['EPERM', 'EPERM', 0]);
  });
  test('mmap(2): written and executed is EACCES', () => {
    prctl(SET, 1);
    const answers = [7, 6].map((prot) => map(MAP_PRIVATE, prot));
    expect([...answers, map(MAP_SHARED, 7)]).toEqual(['EACCES', 'EACCES', 'EACCES']);
    for (const prot of [5, 3]) expect(map(MAP_PRIVATE, prot)).toBeGreaterThan(0);
  });
  test('mprotect(2): what is not executable does not become so', () => {
    prctl(SET, 1);
    const data = Number(map(MAP_PRIVATE, 3));
    const code = Number(map(MAP_PRIVATE, 5));
    const protect = (a: number, prot: number) => call('mprotect', [a, P, prot]);
    expect([5, 4, 1, 3].map((prot) => protect(data, prot))).toEqual(['EACCES', 'EACCES', 0, 0]);
    expect([7, 4, 5, 6, 1, 5].map((prot) => protect(code, prot))).toEqual([
      'EACCES',
      0,
      0,
      'EACCES',
      0,
      'EACCES',
    ]);
  });
  test.each([
    [1, 1],
    [3, 0],
  ])('a child of one with %d has %d', (bits, inherited) => {
    prctl(SET, bits);
    const child = k.fork();
    expect(call('prctl', [GET, 0, 0, 0, 0], child)).toBe(inherited);
    k.exit(child);
  });
});

test('process_mrelease(2): flags first, then the descriptor, then whether it is being killed', () => {
  const fd = Number(call('pidfd_open', [k.task.tid, 0]));
  const release = (pidfd: number, flags: number) => call('process_mrelease', [pidfd, flags]);
  expect([release(fd, 1), release(-1, 1), release(-1, 0), release(fd, 0)]).toEqual([
    'EINVAL',
    'EINVAL',
    'EBADF',
    'EINVAL',
  ]);
  call('close', [fd]);
});

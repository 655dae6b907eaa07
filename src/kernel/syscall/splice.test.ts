// vmsplice(2), splice(2), tee(2): pipes that hold references. What is expected was measured on 6.18.44, x86-64.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { errnoName } from '../../uapi/errno.ts';
import { MADV_DONTNEED, MADV_GUARD_INSTALL } from '../../uapi/mman.ts';
import { SCRATCH_BASE } from '../core/task.ts';
import { doMadvise } from '../mm/madvise.ts';
import { doMunmap } from '../mm/munmap.ts';
import { dispatch } from './dispatch.ts';

const P = 4096;
const NR = {
  close: 57,
  pipe2: 59,
  read: 63,
  write: 64,
  pread64: 67,
  pwrite64: 68,
  vmsplice: 75,
  splice: 76,
  tee: 77,
};
const MEMFD_CREATE = 279;
const FTRUNCATE = 46;
const NONBLOCK = 2;
const IOV = SCRATCH_BASE + 256;
const OUT = SCRATCH_BASE + 1024;
type Vec = readonly [base: number, length: number];

let k: KernelWorld;
let a: number;
let p: readonly [number, number];
let q: readonly [number, number];
beforeEach(() => {
  k = new KernelWorld();
  k.task.scratch = new Uint8Array(32 * P);
  a = k.map(4);
  p = pipe();
  q = pipe();
});
afterEach(() => {
  for (const fd of [...p, ...q]) k.run(dispatch(k.task, NR.close, [fd]));
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

const view = (): DataView => new DataView(must(k.task.scratch, 'scratch').buffer);
function call(nr: number, ...args: number[]): number | string {
  const result = k.run(dispatch(k.task, nr, args));
  return result < 0 ? errnoName(-result) : result;
}
function pipe(): readonly [number, number] {
  call(NR.pipe2, SCRATCH_BASE, 0);
  return [view().getInt32(0, true), view().getInt32(4, true)];
}
function vmsplice(
  fd: number,
  vecs: readonly Vec[],
  flags = 0,
  count = vecs.length,
): number | string {
  vecs.forEach(([base, length], i) => {
    view().setBigInt64(256 + i * 16, BigInt(base), true);
    view().setBigInt64(256 + i * 16 + 8, BigInt(length), true);
  });
  return call(NR.vmsplice, fd, IOV, count, flags);
}
/** The first byte of the next page in the pipe, which is then gone. */
function nextPage(fd: number): number {
  expect(call(NR.read, fd, OUT, P)).toBe(P);
  return view().getUint8(1024);
}

describe('vmsplice', () => {
  test('refuses flags, what is no pipe, bad vectors, and takes what comes before a bad page', () => {
    expect(vmsplice(p[1], [[a, P]], 0x100)).toBe('EINVAL');
    expect([vmsplice(99, [[a, P]]), vmsplice(99, [[a, P]], 0x100)]).toEqual(['EBADF', 'EINVAL']);
    expect([vmsplice(p[1], [], 0), vmsplice(p[1], [[a, P]], 0, 1025)]).toEqual([0, 'EINVAL']);
    k.run(doMadvise(k.task.mmOrDie, a + P, P, MADV_GUARD_INSTALL));
    expect(vmsplice(p[1], [[a + P, P]])).toBe('EFAULT');
    expect(vmsplice(p[1], [[a, 2 * P]])).toBe(P);
    expect(call(NR.read, p[0], OUT, 8 * P)).toBe(P);
  });

  test('gives the page, not its bytes: own writes show, a copy or an unmapping ends that', () => {
    k.store(a, 1);
    vmsplice(p[1], [[a, P]]);
    k.store(a, 2);
    expect(nextPage(p[0])).toBe(2);
    vmsplice(p[1], [[a, P]]);
    k.run(doMadvise(k.task.mmOrDie, a, P, MADV_DONTNEED));
    k.store(a, 8);
    expect(nextPage(p[0])).toBe(2);
    vmsplice(p[1], [[a, P]]);
    k.run(doMunmap(k.task.mmOrDie, a, P));
    expect(nextPage(p[0])).toBe(8);
  });

  test('of memory never touched gives the zero page, which no write reaches', () => {
    vmsplice(p[1], [[a, P]]);
    k.store(a, 7);
    expect(nextPage(p[0])).toBe(0);
  });

  test('never appends what is written to the pipe to a page that it only refers to', () => {
    k.store(a, 3);
    vmsplice(p[1], [[a, 8]]);
    view().setUint32(0, 0x636261, true);
    call(NR.write, p[1], SCRATCH_BASE, 3);
    expect([k.load(a + 8), call(NR.read, p[0], OUT, 100)]).toEqual([0, 11]);
  });

  test('fills 16 buffers, then has no room; the other end gives to user memory', () => {
    const big = k.map(20);
    expect(vmsplice(p[1], [[big, 20 * P]])).toBe(16 * P);
    expect(vmsplice(p[1], [[a, P]], NONBLOCK)).toBe('EAGAIN');
    expect(vmsplice(p[0], [[OUT, 3 * P]])).toBe(3 * P);
    expect(call(NR.read, p[0], OUT, 20 * P)).toBe(13 * P);
    expect(vmsplice(p[0], [[OUT, P]], NONBLOCK)).toBe('EAGAIN');
    expect(vmsplice(p[1], [[a + 4000, 200]])).toBe(200);
    expect(call(NR.read, p[0], OUT, P)).toBe(200);
  });

  test('without a reader is EPIPE', () => {
    call(NR.close, q[0]);
    expect(vmsplice(q[1], [[a, P]])).toBe('EPIPE');
    expect(call(NR.tee, p[0], q[1], 1, NONBLOCK)).toBe('EAGAIN');
  });
});

describe('tee and splice', () => {
  test('share and move buffers between pipes', () => {
    k.store(a, 11);
    vmsplice(p[1], [[a, P]]);
    expect(call(NR.tee, p[0], q[1], P, 0)).toBe(P);
    k.store(a, 12);
    expect([nextPage(q[0]), nextPage(p[0])]).toEqual([12, 12]);
    vmsplice(p[1], [[a, P]]);
    expect(call(NR.splice, p[0], 0, q[1], 0, 100, 0)).toBe(100);
    expect([call(NR.read, q[0], OUT, P), call(NR.read, p[0], OUT, P)]).toEqual([100, P - 100]);
  });

  test('refuse in this order', () => {
    expect(call(NR.splice, 99, 0, 98, 0, 0, 0x100)).toBe(0);
    expect(call(NR.splice, p[0], 0, q[1], 0, 1, 0x100)).toBe('EINVAL');
    expect(call(NR.splice, 99, 0, q[1], 0, 1, 0)).toBe('EBADF');
    expect(call(NR.splice, p[0], IOV, q[1], 0, 1, 0)).toBe('ESPIPE');
    expect(call(NR.splice, p[1], 0, q[1], 0, 1, 0)).toBe('EBADF');
    expect(call(NR.splice, p[0], 0, p[1], 0, 1, 0)).toBe('EINVAL');
    expect(call(NR.tee, p[0], q[1], 1, 0x100)).toBe('EINVAL');
    expect(call(NR.tee, 99, 98, 0, 0)).toBe(0);
    expect(call(NR.tee, p[0], p[1], 1, 0)).toBe('EINVAL');
    expect(call(NR.tee, p[1], q[1], 1, 0)).toBe('EBADF');
  });

  test('a file of shared memory gives its pages: later writes show, a truncation does not, holes are zeroes', () => {
    view().setUint8(0, 'x'.charCodeAt(0));
    const f = Number(call(MEMFD_CREATE, SCRATCH_BASE, 0));
    const put = (text: string, page: number): unknown => {
      view().setUint8(0, text.charCodeAt(0));
      return call(NR.pwrite64, f, SCRATCH_BASE, 1, page * P);
    };
    call(FTRUNCATE, f, 2 * P);
    put('A', 0);
    put('B', 1);
    expect(call(NR.splice, f, 0, p[1], 0, 2 * P, 0)).toBe(2 * P);
    put('Z', 0);
    expect(String.fromCharCode(nextPage(p[0]))).toBe('Z');
    call(FTRUNCATE, f, 0);
    expect(String.fromCharCode(nextPage(p[0]))).toBe('B');
    call(FTRUNCATE, f, P);
    expect(call(NR.splice, f, 0, p[1], 0, P, 0)).toBe(0);
    view().setBigInt64(128, 0n, true);
    expect(call(NR.splice, f, SCRATCH_BASE + 128, p[1], 0, P, 0)).toBe(P);
    expect(view().getBigInt64(128, true)).toBe(BigInt(P));
    put('Y', 0);
    expect(nextPage(p[0])).toBe(0);
    view().setUint32(0, 0x636261, true);
    call(NR.write, p[1], SCRATCH_BASE, 3);
    view().setBigInt64(128, 3n, true);
    expect(call(NR.splice, p[0], 0, f, SCRATCH_BASE + 128, 100, 0)).toBe(3);
    expect([view().getBigInt64(128, true), call(NR.pread64, f, OUT, 3, 3)]).toEqual([6n, 3]);
    expect(view().getUint32(1024, true) & 0xffffff).toBe(0x636261);
    expect(call(NR.splice, p[0], 0, f, 0, 100, NONBLOCK)).toBe('EAGAIN');
    call(NR.close, f);
  });
});

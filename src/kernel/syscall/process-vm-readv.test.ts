// process_vm_readv(2) and process_vm_writev(2). What is expected was measured on 6.18.44, x86-64, as root.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { errnoName } from '../../uapi/errno.ts';
import { MADV_GUARD_INSTALL, PROT_NONE, PROT_WRITE } from '../../uapi/mman.ts';
import { SCRATCH_BASE, type Task } from '../core/task.ts';
import { doMadvise } from '../mm/madvise.ts';
import { doMprotect } from '../mm/mprotect.ts';
import { doMunmap } from '../mm/munmap.ts';
import { dispatch } from './dispatch.ts';

const P = 4096;
const READV = 270;
const WRITEV = 271;
const KERNEL = -0x800000000000;
type Vec = readonly [base: number, length: number];

let k: KernelWorld;
let a: number;
let b: number;
beforeEach(() => {
  k = new KernelWorld();
  k.task.scratch = new Uint8Array(4096);
  a = k.map(4);
  b = k.map(4);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function call(
  nr: number,
  local: readonly Vec[],
  remote: readonly Vec[],
  {
    pid = k.task.tid,
    flags = 0,
    counts = [local.length, remote.length],
    at = SCRATCH_BASE + 512,
  } = {},
): number | string {
  const scratch = must(k.task.scratch, 'scratch');
  const view = new DataView(scratch.buffer);
  [local, remote].forEach((vecs, side) => {
    vecs.forEach(([base, length], i) => {
      view.setBigInt64(side * 512 + i * 16, BigInt(base), true);
      view.setBigInt64(side * 512 + i * 16 + 8, BigInt(length), true);
    });
  });
  const args = [pid, SCRATCH_BASE, counts[0] ?? 0, at, counts[1] ?? 0, flags];
  const result = k.run(dispatch(k.task, nr, args));
  return result < 0 ? errnoName(-result) : result;
}
const page = (base: number, pages = 1): Vec => [base, pages * P];

describe('arguments', () => {
  test('flags, too long a vector and negative lengths are EINVAL', () => {
    const bad = (local: Vec, remote: Vec, options = {}): unknown =>
      call(READV, [local], [remote], options);
    expect(bad(page(a), page(b), { flags: 1 })).toBe('EINVAL');
    expect(bad(page(a), page(b), { counts: [1025, 1] })).toBe('EINVAL');
    expect(bad(page(a), page(b), { counts: [1, 1025] })).toBe('EINVAL');
    expect([bad([a, -1], page(b)), bad(page(a), [b, -1])]).toEqual(['EINVAL', 'EINVAL']);
  });

  test('an empty side is 0, even for a process that is not there; a bad vector comes before it too', () => {
    expect(call(READV, [], [page(b)], { pid: 999 })).toBe(0);
    expect(call(READV, [page(a)], [], { pid: 999 })).toBe(0);
    expect(call(READV, [page(a)], [page(b)], { pid: 999, at: 16 })).toBe('EFAULT');
    expect(call(READV, [page(a)], [page(b)], { pid: 999 })).toBe('ESRCH');
    expect(call(READV, [page(a)], [page(b)], { pid: 0 })).toBe('ESRCH');
    expect(call(READV, [page(a)], [page(b)], { pid: -1 })).toBe('ESRCH');
  });

  test('a process without memory is ESRCH, one of somebody else EPERM, kernel addresses are EFAULT', () => {
    const child = k.fork();
    child.uid = 0;
    k.task.uid = 1000;
    expect(call(READV, [page(a)], [page(b)], { pid: child.tid })).toBe('EPERM');
    k.task.uid = 0;
    k.exit(child);
    expect(call(READV, [page(a)], [page(b)], { pid: child.tid })).toBe('ESRCH');
    expect(call(READV, [page(KERNEL)], [page(b)])).toBe('EFAULT');
    expect(call(READV, [page(a)], [page(KERNEL)])).toBe('EFAULT');
  });
});

describe('a copy', () => {
  test('goes over pages and stretches of both sides', () => {
    const child = k.fork();
    for (let i = 0; i < 3; i++) k.store(b + i * P, i + 1, child);
    const local: Vec[] = [page(a), page(a + 2 * P, 2)];
    expect(call(READV, local, [page(b, 2), page(b + 2 * P)], { pid: child.tid })).toBe(3 * P);
    expect([0, 2, 3].map((i) => k.load(a + i * P))).toEqual([1, 2, 3]);
    k.store(a, 9);
    expect(call(WRITEV, [page(a)], [page(b + P)], { pid: child.tid })).toBe(P);
    expect([k.load(b + P, child), k.load(b + P)]).toEqual([9, 0]);
    k.exit(child);
  });

  test('is short at the first bad page of either side, and EFAULT when that is the very first', () => {
    k.run(doMunmap(k.task.mmOrDie, a + P, P));
    k.run(doMadvise(k.task.mmOrDie, b + 2 * P, P, MADV_GUARD_INSTALL));
    expect(call(READV, [page(a, 2)], [page(b, 2)])).toBe(P);
    expect(call(READV, [page(a + 2 * P, 2)], [page(b + P, 2)])).toBe(P);
    expect(call(READV, [page(a)], [page(b + 2 * P)])).toBe('EFAULT');
    expect(call(WRITEV, [page(a)], [page(b + 2 * P)])).toBe('EFAULT');
    expect(call(WRITEV, [page(a + P)], [page(b)])).toBe('EFAULT');
    const remote = [page(b), page(b + 2 * P), page(b)];
    expect(call(READV, [page(a), page(a + 2 * P, 2)], remote)).toBe(P);
  });

  test('needs the rights that the other side has: never FOLL_FORCE', () => {
    const protect = (prot: number): number => k.run(doMprotect(k.task.mmOrDie, b, P, prot));
    protect(PROT_NONE);
    expect([READV, WRITEV].map((nr) => call(nr, [page(a)], [page(b)]))).toEqual([
      'EFAULT',
      'EFAULT',
    ]);
    protect(PROT_WRITE);
    expect([READV, WRITEV].map((nr) => call(nr, [page(a)], [page(b)]))).toEqual(['EFAULT', P]);
  });

  test('to a page shared with a child breaks the sharing', () => {
    const child: Task = k.fork();
    k.store(a, 5);
    expect(call(WRITEV, [page(a)], [page(b)])).toBe(P);
    expect([k.load(b), k.load(b, child)]).toEqual([5, 0]);
    k.exit(child);
  });
});

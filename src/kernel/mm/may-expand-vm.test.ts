// RLIMIT_AS, RLIMIT_DATA and the commit limit: where ENOMEM comes. The tables were measured on 6.18.44, but for
// vm.overcommit_memory 2, which is as Documentation/mm/overcommit-accounting.rst has it.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { errnoName } from '../../uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_MAYMOVE,
} from '../../uapi/mman.ts';
import { RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, setRlimit } from '../core/rlimit.ts';
import { syscallByName } from '../syscall/dispatch.ts';
import { commitLimitPages, committedPages } from './may-expand-vm.ts';

const P = 4096;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;
let k: KernelWorld;
let a: number;
let readOnly: number;

beforeEach(() => {
  k = new KernelWorld();
  a = k.map(16);
  readOnly = k.map(4, 1);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function call(name: string, args: readonly number[]): string {
  const result = k.run(must(syscallByName(name), name).handler(k.task, args));
  return result < 0 ? String(errnoName(-result)) : 'ok';
}
function mmap(pages: number, prot: number, flags = ANON, address = 0): string {
  return call('mmap', [address, pages * P, prot, flags, -1, 0]);
}
/** Four pages more than there are now. */
function limit(resource: number, pages: number): void {
  const to = [BigInt((pages + 4) * P), RLIM_INFINITY] as const;
  expect(setRlimit(k.task, k.task.group, resource, to)).toBe(0);
}

test('RLIMIT_AS bounds everything that is mapped, less what a mapping replaces', () => {
  limit(RLIMIT_AS, k.task.mmOrDie.totalVm);
  expect([mmap(8, 3), mmap(8, 0)]).toEqual(['ENOMEM', 'ENOMEM']);
  expect(mmap(8, 3, ANON | MAP_FIXED, a)).toBe('ok');
  expect(mmap(16, 3, ANON | MAP_FIXED, a)).toBe('ok');
  expect(mmap(2, 3)).toBe('ok');
  expect(call('mremap', [a, 16 * P, 24 * P, MREMAP_MAYMOVE])).toBe('ENOMEM');
  const keep = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
  expect(call('mremap', [a, 16 * P, 16 * P, keep, 0])).toBe('ENOMEM');
  expect(mmap(8, 3, ANON | MAP_FIXED, 1)).toBe('EINVAL');
});

test('RLIMIT_DATA bounds what is private and may be written, and no stack', () => {
  limit(RLIMIT_DATA, 16);
  expect(mmap(8, 3)).toBe('ENOMEM');
  expect(mmap(8, 1)).toBe('ok');
  expect(mmap(8, 3, MAP_SHARED | MAP_ANONYMOUS)).toBe('ok');
  const x = k.map(8, 0);
  expect(call('mprotect', [x, 8 * P, 3])).toBe('ENOMEM');
  expect(call('mprotect', [x, 2 * P, 3])).toBe('ok');
  expect(call('mremap', [a, 16 * P, 24 * P, MREMAP_MAYMOVE])).toBe('ENOMEM');
  expect(mmap(8, 3, ANON | MAP_GROWSDOWN)).toBe('ok');
  expect(mmap(8, 3, ANON | MAP_FIXED, a)).toBe('ok');
  expect(mmap(4, 3, ANON | MAP_FIXED, readOnly)).toBe('ok');
});

test('with vm.overcommit_memory 2 no more is promised than CommitLimit', () => {
  k.world.sysctl.overcommitMemory = 2;
  const room = commitLimitPages() - committedPages();
  expect(mmap(room + 1, 3)).toBe('ENOMEM');
  expect(mmap(room + 1, 1)).toBe('ok');
  expect(mmap(room, 3)).toBe('ok');
  expect(call('mprotect', [readOnly, P, 3])).toBe('ENOMEM');
  expect(k.run(must(syscallByName('mmap'), 'mmap').handler(k.task, [0, P, 3, ANON, -1, 0]))).toBe(
    -12,
  );
});

describe('prlimit64(2)', () => {
  function set(resource: number, soft: number, hard: number, pid = 0): string {
    const at = k.map(1);
    for (const [i, value] of [soft, hard].entries()) {
      k.store(at + 8 * i, value >>> 0);
      k.store(at + 8 * i + 4, value < 0 ? 0xffff_ffff : 0);
    }
    return call('prlimit64', [pid, resource, at, 0]);
  }
  test.each([
    ['soft above hard', RLIMIT_AS, 10, 5, 0, 'EINVAL'],
    ['no such limit', 99, 1, 1, 0, 'EINVAL'],
    ['no such process', RLIMIT_AS, 1, 1, 999_999, 'ESRCH'],
    ['more files than nr_open', 7, 1, -1, 0, 'EPERM'],
  ])('%s', (_what, resource, soft, hard, pid, expected) => {
    expect(set(resource, soft, hard, pid)).toBe(expected);
  });
  test('who is not root lowers a hard limit and never raises it', () => {
    k.task.uid = 1000;
    expect(set(RLIMIT_AS, 100 << 20, 100 << 20)).toBe('ok');
    expect(set(RLIMIT_AS, 100 << 20, 200 << 20)).toBe('EPERM');
    expect(set(RLIMIT_AS, 50 << 20, 100 << 20)).toBe('ok');
  });
});

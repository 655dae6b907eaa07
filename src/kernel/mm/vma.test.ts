// Which neighbours become one VMA. Every drawing was measured on Linux 6.18 (x86-64) with the same calls: one letter
// a VMA, one column a page. semantics.md section 3.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { drawFlags, drawMaps } from '../../../test/kernel-maps.ts';
import { KernelWorld, RW } from '../../../test/kernel-world.ts';
import {
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_HUGEPAGE,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_UNMERGEABLE,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
} from '../../uapi/mman.ts';
import type { Task } from '../core/task.ts';
import { doMadvise } from './madvise.ts';
import { doMmap } from './mmap.ts';
import { doMprotect } from './mprotect.ts';
import { doMremap } from './mremap.ts';
import { doMunmap } from './munmap.ts';

const P = 4096;
const B = 0x200000;
let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  for (const { mm } of k.world.tasks) mm?.vmas.validate();
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function map(page: number, pages: number, prot = RW, task: Task = k.task): void {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  const request = { address: B + page * P, length: pages * P, prot, flags };
  expect(k.run(doMmap(task.mmOrDie, request), task)).toBe(B + page * P);
}
function unmap(page: number, pages: number): void {
  expect(k.run(doMunmap(k.task.mmOrDie, B + page * P, pages * P))).toBe(0);
}
function protect(page: number, pages: number, prot: number): void {
  expect(k.run(doMprotect(k.task.mmOrDie, B + page * P, pages * P, prot))).toBe(0);
}
function advise(page: number, pages: number, advice: number): void {
  expect(k.run(doMadvise(k.task.mmOrDie, B + page * P, pages * P, advice))).toBe(0);
}
function touch(page: number, task: Task = k.task): void {
  expect(k.store(B + page * P, page + 1, task)).toBe('ok');
}
function maps(task: Task = k.task): string {
  return drawMaps(task, B, 8);
}

test('a new mapping joins its neighbour, written to or not', () => {
  map(0, 2);
  map(2, 2);
  expect(maps()).toBe('AAAA....');
  unmap(0, 4);
  map(0, 2);
  touch(0);
  map(2, 2);
  expect(maps()).toBe('AAAA....');
  unmap(0, 4);
  map(2, 2);
  touch(2);
  map(0, 2);
  expect(maps()).toBe('AAAA....');
});

test('filling the gap between two written areas joins the left one only', () => {
  map(0, 2);
  touch(0);
  map(4, 2);
  touch(4);
  expect(maps()).toBe('AA..BB..');
  map(2, 2);
  expect(maps()).toBe('AAAABB..');
});

test('filling a gap joins all three when at most one side was written', () => {
  for (const written of [[], [0], [4]]) {
    map(0, 2);
    map(4, 2);
    for (const page of written) touch(page);
    map(2, 2);
    expect(maps()).toBe('AAAAAA..');
    for (const page of written) expect(k.load(B + page * P)).toBe(page + 1);
    unmap(0, 8);
  }
});

test('mprotect splits and back merges again', () => {
  map(0, 6);
  for (const page of [0, 3, 5]) touch(page);
  protect(2, 2, PROT_READ);
  expect(maps()).toBe('AABBCC..');
  protect(2, 2, RW);
  expect(maps()).toBe('AAAAAA..');
  for (const page of [0, 3, 5]) expect(k.load(B + page * P)).toBe(page + 1);
});

test('parts first written while apart stay apart', () => {
  map(0, 6);
  protect(2, 2, PROT_READ);
  touch(0);
  touch(5);
  protect(2, 2, RW);
  expect(maps()).toBe('AAAABB..');
});

test('the changed part of a mapping joins the neighbour it touches', () => {
  map(0, 2);
  map(2, 2, PROT_READ);
  touch(0);
  protect(2, 1, RW);
  expect(maps()).toBe('AAAB....');
  unmap(0, 8);
  map(0, 2, PROT_READ);
  map(2, 2);
  touch(2);
  protect(1, 1, RW);
  expect(maps()).toBe('ABBB....');
});

test('a hole splits and its refill merges, also after writes from before the hole', () => {
  map(0, 6);
  unmap(2, 1);
  expect(maps()).toBe('AA.BBB..');
  map(2, 1);
  expect(maps()).toBe('AAAAAA..');
  touch(0);
  touch(5);
  unmap(2, 1);
  map(2, 1);
  expect(maps()).toBe('AAAAAA..');
});

test('MAP_FIXED over the middle replaces it', () => {
  map(0, 4);
  map(1, 1);
  expect(maps()).toBe('AAAA....');
  map(1, 1, PROT_READ);
  expect(maps()).toBe('ABCC....');
});

test('head and tail can be cut off', () => {
  map(0, 4);
  unmap(0, 1);
  expect(maps()).toBe('.AAA....');
  unmap(3, 1);
  expect(maps()).toBe('.AA.....');
});

test('beside an inherited area a new mapping merges in the parent and not in the child', () => {
  map(0, 2);
  touch(0);
  const child = k.fork();
  map(2, 2, RW, child);
  expect(maps(child)).toBe('AABB....');
  touch(1, child);
  touch(2, child);
  map(4, 1, RW, child);
  expect(maps(child)).toBe('AABBB...');
  map(2, 2);
  expect(maps()).toBe('AAAA....');
});

test('advice splits and its opposite merges again', () => {
  const pairs = [
    [MADV_RANDOM, MADV_NORMAL, 'rr'],
    [MADV_SEQUENTIAL, MADV_NORMAL, 'sr'],
    [MADV_DONTFORK, MADV_DOFORK, 'dc'],
    [MADV_DONTDUMP, MADV_DODUMP, 'dd'],
    [MADV_WIPEONFORK, MADV_KEEPONFORK, 'wf'],
    [MADV_MERGEABLE, MADV_UNMERGEABLE, 'mg'],
  ] as const;
  map(0, 4);
  touch(1);
  for (const [advice, opposite, letters] of pairs) {
    advise(1, 2, advice);
    expect(maps()).toBe('ABBC....');
    expect(drawFlags(k.task, B)).toContain(` ${letters}`);
    advise(1, 2, opposite);
    expect(maps()).toBe('AAAA....');
  }
});

test('NOHUGEPAGE does not undo HUGEPAGE', () => {
  map(0, 4);
  advise(1, 1, MADV_HUGEPAGE);
  expect(drawFlags(k.task, B)).toBe(
    '0-1 rd wr mr mw me ac | 1-2 rd wr mr mw me ac hg | 2-4 rd wr mr mw me ac',
  );
  advise(1, 1, MADV_NOHUGEPAGE);
  expect(drawFlags(k.task, B)).toBe(
    '0-1 rd wr mr mw me ac | 1-2 rd wr mr mw me ac nh | 2-4 rd wr mr mw me ac',
  );
  advise(0, 4, MADV_NOHUGEPAGE);
  expect(drawFlags(k.task, B)).toBe('0-4 rd wr mr mw me ac nh');
});

test('mremap grows up to a neighbour and joins it unless both were written', () => {
  const grow = (): number =>
    k.run(
      doMremap(k.task.mmOrDie, {
        address: B,
        oldLength: 2 * P,
        newLength: 4 * P,
        flags: 0,
        newAddress: 0,
      }),
    );
  map(0, 2);
  map(4, 2);
  expect(grow()).toBe(B);
  expect(maps()).toBe('AAAAAA..');
  unmap(0, 8);
  map(0, 2);
  touch(0);
  map(4, 2);
  touch(4);
  expect(grow()).toBe(B);
  expect(maps()).toBe('AAAABB..');
});

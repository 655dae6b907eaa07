// Huge pages of shared memory. Expectations were measured on 6.18.44, which has 2 MiB where this has 16 KiB.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { A, answer, P } from '../../../test/kernel/kit.ts';
import { MemfdKit } from '../../../test/kernel/memfd-kit.ts';
import { decodePte, type Pfn, ptePfn } from '../../machine/pte.ts';
import {
  MADV_COLLAPSE,
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MAP_PRIVATE,
  MAP_SHARED,
} from '../../uapi/mman.ts';
import { peekPte } from '../check/page-tables.ts';
import { MemSizeStats } from '../fs/proc/smaps.ts';
import { THP_MADVISE } from './thp-settings.ts';

const H = 4 * P;
const PUNCH_KEEP = 3;
let kit: MemfdKit;
let fd: number;
beforeEach(() => {
  kit = new MemfdKit();
  fd = kit.memfd(8);
  kit.mapFile(fd, 0, 8, MAP_SHARED);
});
afterEach(() => {
  expect(kit.census()).toBeNull();
});

function collapse(page: number, pages = 4): string | number {
  return answer(kit.advise(page, pages, MADV_COLLAPSE));
}

/** Bytes that smaps calls ShmemPmdMapped and Rss. */
function huge(page = 0): [number, number] {
  const vma = kit.task.mmOrDie.vmas.find(A + page * P);
  const stats = new MemSizeStats();
  if (vma !== null) stats.add(vma);
  return [stats.shmemHuge, stats.rss];
}

function frame(page: number): Pfn {
  return ptePfn(peekPte(kit.task.mmOrDie, A + page * P));
}

test('does a collapse of one written page bring a huge page with its holes filled, and none of nothing', () => {
  expect(collapse(0)).toBe('EINVAL');
  kit.store(1, 7);
  expect(collapse(0)).toBe(0);
  expect([huge(), kit.load(1), kit.load(2)]).toEqual([[H, H], 7, 0]);
  expect(collapse(0)).toBe(0);
});

test('do other mappings of the file map the huge page whole, a private one until it is written', () => {
  kit.store(0, 1);
  expect(collapse(0)).toBe(0);
  kit.mapFile(fd, 8, 8, MAP_SHARED);
  expect([kit.load(9), huge(8)]).toEqual([0, [H, H]]);
  kit.mapFile(fd, 16, 8, MAP_PRIVATE);
  expect([kit.load(16), huge(16)]).toEqual([1, [H, H]]);
  kit.store(17, 5);
  expect([huge(16), kit.load(17), kit.load(1)]).toEqual([[0, P], 5, 0]);
  expect(collapse(16)).toBe('EINVAL');
});

test('is a huge page of a file unmapped where part of it changes, and mapped again by the next fault', () => {
  kit.store(0, 1);
  expect(collapse(0)).toBe(0);
  expect(kit.advise(0, 1, MADV_DONTNEED)).toBe(0);
  expect(huge()).toEqual([0, 0]);
  expect([kit.load(2), huge()]).toEqual([0, [H, H]]);
  expect(kit.protect(0, 1, 1)).toBe(0);
  expect(huge()[0]).toBe(0);
});

test('does punching a hole split the folio, and keep the rest', () => {
  for (const page of [0, 1, 2, 3]) kit.store(page, page + 1);
  expect(collapse(0)).toBe(0);
  const head = frame(0);
  expect(kit.world.machine.frames.order(head)).toBe(2);
  expect(kit.call('fallocate', fd, PUNCH_KEEP, P, P)).toBe(0);
  expect(kit.world.machine.frames.order(head)).toBe(0);
  expect([0, 1, 2, 3].map((page) => kit.load(page))).toEqual([1, 0, 3, 4]);
});

test('does advised shared memory fault in huge pages where the system says so', () => {
  kit.world.thp = THP_MADVISE;
  kit.store(0, 1);
  expect(huge()).toEqual([0, P]);
  expect(kit.advise(0, 8, MADV_HUGEPAGE)).toBe(0);
  kit.store(5, 2);
  expect(huge()).toEqual([H, H + P]);
  expect(decodePte(peekPte(kit.task.mmOrDie, A + 5 * P)).kind).toBe('present');
});

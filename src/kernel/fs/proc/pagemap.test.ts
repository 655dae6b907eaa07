// pagemap bits, each as measured on 6.18.44.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KernelWorld } from '../../../../test/kernel-world.ts';
import {
  mkMarker,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_UFFD_WP,
  PTE_WRITE,
  ptePfn,
  withFlags,
  withoutFlags,
} from '../../../machine/pte.ts';
import { setPte } from '../../../machine/tables.ts';
import { EINVAL } from '../../../uapi/errno.ts';
import { PROT_NONE } from '../../../uapi/mman.ts';
import { peekPte } from '../../check/page-tables.ts';
import type { Task } from '../../core/task.ts';
import { doMprotect } from '../../mm/mprotect.ts';
import { allocPte, pteSlot } from '../../mm/pgtable.ts';
import { openPagemap, pagemapWords } from './pagemap.ts';

const P = 4096;
const BITS: readonly (readonly [bigint, string])[] = [
  [63n, 'present'],
  [62n, 'swap'],
  [61n, 'file'],
  [58n, 'guard'],
  [57n, 'wp'],
  [56n, 'once'],
  [55n, 'soft-dirty'],
];

let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function word(address: number, task: Task = k.task, showPfn = true): bigint {
  const words = k.run(pagemapWords(task.mmOrDie, address, address + P, showPfn), task);
  return words[0] ?? 0n;
}
/** `present once`, or for entries that are not present the low 55 bits too: `swap wp 3f`. */
function bits(address: number, task: Task = k.task): string {
  const value = word(address, task);
  const names = BITS.filter(([bit]) => ((value >> bit) & 1n) === 1n).map(([, name]) => name);
  if (names.includes('swap')) names.push((value & ((1n << 55n) - 1n)).toString(16));
  return names.join(' ');
}
function plant(address: number, mask: number): void {
  setPte(k.run(allocPte(k.task.mmOrDie, address)), mkMarker(mask));
}

test('untouched, read, written', () => {
  const a = k.map(3);
  k.load(a + P);
  k.store(a + 2 * P, 1);
  expect([bits(a), bits(a + P), bits(a + 2 * P)]).toEqual(['', 'present', 'present once']);
  expect(bits(0x4000)).toBe('');
});

test('the frame number shows only to the privileged', () => {
  const a = k.map(1);
  k.store(a, 1);
  const pfn = ptePfn(peekPte(k.task.mmOrDie, a));
  expect(word(a) & 0xffffn).toBe(BigInt(pfn));
  expect(word(a, k.task, false) & 0xffffn).toBe(0n);
});

test('shared by fork, then alone again: mapped once long before it is exclusive again', () => {
  const a = k.map(2);
  k.store(a, 1);
  const child = k.fork();
  expect([bits(a), bits(a, child)]).toEqual(['present', 'present']);
  k.exit(child);
  expect(bits(a)).toBe('present once');
});

test.each([
  [PTE_MARKER_UFFD_WP, 'swap wp 3f'],
  [PTE_MARKER_POISONED, 'swap 5f'],
  [PTE_MARKER_GUARD, 'swap guard 9f'],
])('marker mask %d shows as "%s"', (mask, shown) => {
  const a = k.map(1);
  plant(a, mask);
  expect(bits(a)).toBe(shown);
});

test('a write-protected page shows the bit, a PROT_NONE page is present all the same', () => {
  const a = k.map(2);
  k.store(a, 1);
  k.store(a + P, 1);
  const mm = k.task.mmOrDie;
  setPte(pteSlot(mm, a), withFlags(withoutFlags(peekPte(mm, a), PTE_WRITE), PTE_UFFD_WP));
  k.world.machine.tlbs[0]?.flushAll();
  expect(k.run(doMprotect(mm, a + P, P, PROT_NONE))).toBe(0);
  expect([bits(a), bits(a + P)]).toEqual(['present wp once', 'present once']);
});

test('the file is read in whole words, at an offset or where it stands', () => {
  const a = k.map(2);
  k.store(a + P, 1);
  const file = openPagemap(k.task.mmOrDie, 0);
  const read = (count: number, offset: number | null): number | number[] => {
    const got = k.run(file.ops.read?.(k.task, file, count, offset) ?? failed());
    return typeof got === 'number'
      ? got
      : [...new BigUint64Array(got.buffer)].map((w) => Number(w >> 56n));
  };
  expect(read(16, (a / P) * 8)).toEqual([0, 0x81]);
  expect(read(8, 4)).toBe(-EINVAL);
  expect(read(7, 0)).toBe(-EINVAL);
  expect(file.ops.seek?.(file, (a / P) * 8 + 8, 0)).toBe((a / P) * 8 + 8);
  expect(read(8, null)).toEqual([0x81]);
  expect(file.offset).toBe((a / P) * 8 + 16);
});

function* failed(): Generator<never, number, number> {
  return -1;
}

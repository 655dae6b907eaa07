// What a slot holds after its page was taken away, and when page tables go. semantics.md section 10.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import {
  mkMarker,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_UFFD_WP,
  PTE_WRITE,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { MADV_DONTNEED } from '../../uapi/mman.ts';
import { override, stackPatches } from '../seam.ts';
import { doMadvise } from './madvise.ts';
import { doMunmap } from './munmap.ts';
import { allocPte, pmdSize, pteSlot } from './pgtable.ts';
import { reclaimsPt } from './zap.ts';

const P = 4096;
let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function dontneed(address: number, pages: number): number {
  return k.run(doMadvise(k.task.mmOrDie, address, pages * P, MADV_DONTNEED));
}
function unmap(address: number, pages: number): number {
  return k.run(doMunmap(k.task.mmOrDie, address, pages * P));
}
function plant(address: number, mask: number): void {
  setPte(k.run(allocPte(k.task.mmOrDie, address)), mkMarker(mask));
}
/** An address with a whole page table's span of mappings behind it. */
function wholeTable(): number {
  const a = k.map(12);
  return Math.ceil(a / pmdSize()) * pmdSize();
}

describe('MADV_DONTNEED', () => {
  test('drops pages; the next read finds zeroes and the frame is free', () => {
    const a = k.map(2);
    k.store(a, 7);
    k.store(a + P, 8);
    expect(k.world.machine.frames.inUse).toBe(2);
    expect(dontneed(a, 1)).toBe(0);
    expect(k.world.machine.frames.inUse).toBe(1);
    expect(k.load(a)).toBe(0);
    expect(k.load(a + P)).toBe(8);
  });

  test('leaves a sharer of the page alone', () => {
    const a = k.map(1);
    k.store(a, 7);
    const child = k.fork();
    dontneed(a, 1);
    expect(k.load(a, child)).toBe(7);
    expect(k.load(a)).toBe(0);
  });

  test('on anonymous memory it forgets write protection and poison and keeps guards', () => {
    const a = k.map(4);
    k.store(a, 1);
    const slot = pteSlot(k.task.mmOrDie, a);
    setPte(slot, withFlags(withoutFlags(getPte(slot), PTE_WRITE), PTE_UFFD_WP));
    plant(a + P, PTE_MARKER_UFFD_WP);
    plant(a + 2 * P, PTE_MARKER_POISONED);
    plant(a + 3 * P, PTE_MARKER_GUARD);
    dontneed(a, 4);
    expect([0, 1, 2, 3].map((i) => k.slot(a + i * P))).toEqual([
      'none',
      'none',
      'none',
      'marker guard',
    ]);
  });

  test('a whole table that it empties is freed, a partly emptied one is not', () => {
    const a = wholeTable();
    const pages = pmdSize() / P;
    for (let i = 0; i < pages; i++) k.store(a + i * P, 1);
    dontneed(a, 1);
    expect(pteSlot(k.task.mmOrDie, a)).toBeGreaterThanOrEqual(0);
    dontneed(a, pages);
    expect(pteSlot(k.task.mmOrDie, a)).toBe(-1);
  });

  test('a guard keeps its table', () => {
    const a = wholeTable();
    plant(a, PTE_MARKER_GUARD);
    dontneed(a, pmdSize() / P);
    expect(k.slot(a)).toBe('marker guard');
  });

  test('before 6.14 tables stayed', () => {
    const overrides = stackPatches([
      {
        name: 'no-pt-reclaim',
        title: '',
        reference: '',
        versions: '<6.14',
        overrides: [override(reclaimsPt, () => () => false)],
      },
    ]);
    if (typeof overrides === 'string') throw new Error(overrides);
    k = new KernelWorld({ overrides });
    const a = wholeTable();
    k.store(a, 1);
    dontneed(a, pmdSize() / P);
    expect(pteSlot(k.task.mmOrDie, a)).toBeGreaterThanOrEqual(0);
  });
});

describe('munmap', () => {
  test('frees pages, markers and tables', () => {
    const a = k.map(9);
    for (let i = 0; i < 5; i++) k.store(a + i * P, 1);
    plant(a + 6 * P, PTE_MARKER_GUARD);
    plant(a + 7 * P, PTE_MARKER_POISONED);
    unmap(a, 9);
    const { frames, tables } = k.world.machine;
    expect(frames.inUse).toBe(0);
    expect(k.load(a)).toBe('SEGV 1');
    // Only the top-level table is left.
    expect(tables.inUse).toBe(1);
  });

  test('a table that a neighbour uses stays until the neighbour goes', () => {
    const a = wholeTable();
    k.store(a, 1);
    k.store(a + P, 2);
    unmap(a, 1);
    expect(k.load(a + P)).toBe(2);
    expect(k.load(a)).toBe('SEGV 1');
    const before = k.world.machine.tables.inUse;
    unmap(a + P, 3);
    expect(k.world.machine.tables.inUse).toBeLessThan(before);
  });

  test('a page shared by fork lives on', () => {
    const a = k.map(1);
    k.store(a, 5);
    const child = k.fork();
    unmap(a, 1);
    expect(k.load(a, child)).toBe(5);
  });
});

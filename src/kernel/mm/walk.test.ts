// What the hart's MMU makes of a huge leaf.
import { beforeEach, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { ZERO_PFN } from '../../machine/frames.ts';
import {
  mkPte,
  type Pfn,
  PTE_HUGE,
  PTE_SPECIAL,
  PTE_WRITE,
  pteDirty,
  pteYoung,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { TLB_R, TLB_W, tlbPfn } from '../../machine/tlb.ts';
import { allocPmd, pmdSize } from './pgtable.ts';
import { flushNow } from './tlb.ts';
import { hartWalk } from './walk.ts';

const P = 4096;
let k: KernelWorld;
let base: number;
let slot: number;
beforeEach(() => {
  k = new KernelWorld();
  base = 16 * pmdSize();
  slot = allocPmd(k.task.mmOrDie, base);
});

function lookup(page: number): number {
  return k.world.machine.tlbs[0]?.lookup(base / P + page) ?? 0;
}

test('does a huge leaf give each of its pages a TLB entry of its own, and a flush of the range drop them', () => {
  const head = k.world.machine.frames.allocFolio(0, 2) as Pfn;
  setPte(slot, mkPte(head, PTE_HUGE | PTE_WRITE));
  const mm = k.task.mmOrDie;
  expect(hartWalk(mm, 0, base + 2 * P + 5, TLB_R)).toBe(true);
  expect([pteYoung(getPte(slot)), pteDirty(getPte(slot))]).toEqual([true, false]);
  expect(hartWalk(mm, 0, base + 3 * P, TLB_W)).toBe(true);
  expect(pteDirty(getPte(slot))).toBe(true);
  expect([0, 1, 2, 3].map((page) => tlbPfn(lookup(page)))).toEqual([0, 0, head + 2, head + 3]);
  expect(lookup(2) & TLB_W).toBe(0);
  flushNow(mm, base, base + pmdSize());
  expect([2, 3].map(lookup)).toEqual([0, 0]);
});

test('is every page of the huge zero page the zero page, and none of them writable', () => {
  setPte(slot, mkPte(ZERO_PFN, PTE_HUGE | PTE_SPECIAL));
  const mm = k.task.mmOrDie;
  expect(hartWalk(mm, 0, base + 3 * P, TLB_R)).toBe(true);
  expect(tlbPfn(lookup(3))).toBe(ZERO_PFN);
  expect(hartWalk(mm, 0, base, TLB_W)).toBe(false);
});

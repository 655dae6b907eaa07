import { beforeEach, expect, test } from 'vitest';
import type { Pfn } from '../pte.ts';
import { TLB_R, TLB_W, TLB_X, tlbPfn } from '../tlb.ts';
import { HART_BYTES, TLB_ENTRIES } from './hart-layout.ts';
import { HartTlb } from './hart-tlb.ts';

let tlb: HartTlb;
let writable: number[];
beforeEach(() => {
  writable = [];
  const buffer = new ArrayBuffer(HART_BYTES + 4096);
  tlb = new HartTlb(
    buffer,
    4096,
    (pfn) => pfn * 4096,
    (pfn) => writable.push(pfn),
  );
});

test('does a filled page answer with its frame and rights, and no other page with them', () => {
  tlb.fill(3, 77 as Pfn, TLB_R | TLB_X);
  expect(tlbPfn(tlb.lookup(3))).toBe(77);
  expect(tlb.lookup(3) & 7).toBe(TLB_R | TLB_X);
  expect(tlb.lookup(3 + TLB_ENTRIES)).toBe(0);
});

test('are pages above 2^32 told apart from their low 32 bits', () => {
  const high = 2 ** 32 + 5;
  tlb.fill(high, 9 as Pfn, TLB_R);
  expect(tlb.lookup(5)).toBe(0);
  expect(tlbPfn(tlb.lookup(high))).toBe(9);
  expect([...tlb.entries()]).toEqual([[high, (9 << 3) | TLB_R]]);
});

test('does a narrow and a wide flush forget exactly the range', () => {
  for (const vpn of [1, 2, 3, 500]) tlb.fill(vpn, (vpn + 10) as Pfn, TLB_R);
  tlb.flush(2, 3);
  expect(tlb.lookup(2)).toBe(0);
  tlb.flush(0, 400);
  expect([tlb.lookup(1), tlb.lookup(3)]).toEqual([0, 0]);
  expect(tlbPfn(tlb.lookup(500))).toBe(510);
  tlb.flushAll();
  expect(tlb.lookup(500)).toBe(0);
});

// An instruction of one page that accesses another retires only when the TLB holds both.
test('does a fetch leave the entry of a page with the same index to loads and stores, and the other way', () => {
  tlb.fill(3 + TLB_ENTRIES, 78 as Pfn, TLB_R | TLB_W);
  tlb.fill(3, 77 as Pfn, TLB_X);
  expect(tlb.lookup(3 + TLB_ENTRIES)).toBe((78 << 3) | TLB_R | TLB_W);
  tlb.fill(3 + 2 * TLB_ENTRIES, 79 as Pfn, TLB_R);
  expect(tlb.lookup(3)).toBe((77 << 3) | TLB_X);
  expect([...tlb.entries()].map(([vpn]) => vpn)).toEqual([3 + 2 * TLB_ENTRIES, 3]);
  tlb.flush(3, 4);
  expect([tlb.lookup(3), tlb.lookup(3 + 2 * TLB_ENTRIES)]).toEqual([0, (79 << 3) | TLB_R]);
});

test('does a page that lies in another frame now keep nothing of the old one', () => {
  tlb.fill(3, 77 as Pfn, TLB_R | TLB_X);
  tlb.fill(3, 78 as Pfn, TLB_X);
  expect(tlb.lookup(3)).toBe((78 << 3) | TLB_X);
});

test('is the engine told of each frame that becomes writable', () => {
  tlb.fill(1, 20 as Pfn, TLB_R);
  tlb.fill(1, 20 as Pfn, TLB_R | TLB_W);
  expect(writable).toEqual([20]);
});

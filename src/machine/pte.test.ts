import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodePte,
  mkHwpoison,
  mkMarker,
  mkMigration,
  mkPte,
  mkSwap,
  mkTable,
  type Pfn,
  PTE_DIRTY,
  PTE_EXEC,
  PTE_HUGE,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_PROTNONE,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  pteHuge,
  pteIsMarker,
  pteIsMigration,
  pteIsSwap,
  pteIsTable,
  pteKind,
  pteMarker,
  pteNone,
  ptePfn,
  ptePresent,
  pteSoftDirty,
  pteTable,
  pteUffdWp,
  pteUffdWpAny,
  pteWrite,
  SWP_EXCLUSIVE,
  swpOffset,
  withFlags,
  withoutFlags,
} from './pte.ts';

const pfn = fc.integer({ min: 1, max: 786_431 }).map((n) => n as Pfn);
const presentFlags = fc
  .subarray([
    PTE_WRITE,
    PTE_DIRTY,
    PTE_YOUNG,
    PTE_SOFT_DIRTY,
    PTE_UFFD_WP,
    PTE_SPECIAL,
    PTE_PROTNONE,
    PTE_EXEC,
    PTE_HUGE,
  ])
  .map((bits) => bits.reduce((all, bit) => all | bit, 0));

describe('does every state keep what was put into it', () => {
  test('present: frame and flags come back, for every frame of 3 GiB', () => {
    fc.assert(
      fc.property(pfn, presentFlags, (frame, flags) => {
        const pte = mkPte(frame, flags);
        expect(pteKind(pte)).toBe('present');
        expect(ptePfn(pte)).toBe(frame);
        expect(pteWrite(pte)).toBe((flags & PTE_WRITE) !== 0);
        expect(pteHuge(pte)).toBe((flags & PTE_HUGE) !== 0);
        expect(pteUffdWp(pte)).toBe((flags & PTE_UFFD_WP) !== 0);
        expect(withoutFlags(withFlags(pte, PTE_WRITE), PTE_WRITE)).toBe(
          mkPte(frame, flags & ~PTE_WRITE),
        );
      }),
    );
  });

  test('swap and migration: offset, uffd-wp and soft-dirty come back, and neither reads as present', () => {
    fc.assert(
      fc.property(pfn, fc.boolean(), fc.boolean(), (value, wp, soft) => {
        const flags = (wp ? PTE_UFFD_WP : 0) | (soft ? PTE_SOFT_DIRTY : 0) | SWP_EXCLUSIVE;
        for (const pte of [mkSwap(value, flags), mkMigration(value, flags)]) {
          expect(ptePresent(pte)).toBe(false);
          expect(pteWrite(pte)).toBe(false);
          expect(pteUffdWpAny(pte)).toBe(wp);
          expect(pteSoftDirty(pte)).toBe(soft);
          expect(swpOffset(pte)).toBe(value);
        }
        expect(pteIsSwap(mkSwap(value, flags))).toBe(true);
        expect(pteIsMigration(mkMigration(value, flags))).toBe(true);
      }),
    );
  });

  test('markers: the mask comes back, and only UFFD_WP counts as write protection', () => {
    for (const mask of [PTE_MARKER_UFFD_WP, PTE_MARKER_POISONED, PTE_MARKER_GUARD]) {
      const pte = mkMarker(mask);
      expect(pteIsMarker(pte)).toBe(true);
      expect(pteMarker(pte)).toBe(mask);
      expect(pteUffdWpAny(pte)).toBe(mask === PTE_MARKER_UFFD_WP);
    }
  });

  test('tables and poisoned pages: the number comes back', () => {
    fc.assert(
      fc.property(pfn, (value) => {
        expect(pteTable(mkTable(value))).toBe(value);
        expect(pteIsTable(mkTable(value))).toBe(true);
        expect(ptePfn(mkHwpoison(value))).toBe(value);
      }),
    );
  });
});

test('are the states disjoint: each word is of exactly one kind, and only 0 is none', () => {
  const frame = 7 as Pfn;
  const kinds = [
    PTE_NONE,
    mkPte(frame, 0),
    mkTable(7),
    mkSwap(7, 0),
    mkMigration(frame, 0),
    mkHwpoison(frame),
    mkMarker(1),
  ].map((pte) => pteKind(pte));
  expect(new Set(kinds).size).toBe(kinds.length);
  expect(pteNone(mkSwap(0, 0))).toBe(false);
});

test('does a dump name what is set', () => {
  expect(decodePte(mkPte(9 as Pfn, PTE_WRITE | PTE_DIRTY))).toEqual({
    kind: 'present',
    pfn: 9,
    flags: 'write dirty',
  });
  expect(decodePte(mkMarker(PTE_MARKER_GUARD))).toEqual({ kind: 'marker', marks: 'guard' });
  expect(decodePte(mkSwap(3, SWP_EXCLUSIVE))).toEqual({
    kind: 'swap',
    offset: 3,
    flags: 'exclusive',
  });
});

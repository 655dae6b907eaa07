// What a change of protection does to each kind of slot. semantics.md sections 4 and 9.9.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld, RW } from '../../../test/kernel-world.ts';
import {
  MIGRATION_WRITE,
  mkMarker,
  mkMigration,
  mkSwap,
  type Pfn,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_UFFD_WP,
  type Pte,
  SWP_EXCLUSIVE,
  withFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { PROT_NONE, PROT_READ } from '../../uapi/mman.ts';
import { mmapReadLock, mmapReadUnlock } from './mmap-lock.ts';
import { changeProtection, doMprotect, type ProtectionChange } from './mprotect.ts';
import { allocPte, pteSlot } from './pgtable.ts';

const P = 4096;
let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function change(address: number, pages: number, what: ProtectionChange): number {
  const { vmas, mmapLock } = k.vma(address).mm;
  expect(mmapLock.free).toBe(true);
  return k.run(
    (function* () {
      const vma = k.vma(address);
      yield* mmapReadLock(vma.mm);
      const changed = yield* changeProtection(vma, address, address + pages * P, what);
      mmapReadUnlock(vma.mm);
      vmas.validate();
      return changed;
    })(),
  );
}
function protect(address: number, pages: number, prot: number): number {
  return k.run(doMprotect(k.task.mmOrDie, address, pages * P, prot));
}
/** Puts a word into a slot, gives it to a function, and empties the slot again. */
function withSlot(address: number, word: Pte, body: () => void): void {
  const slot = k.run(allocPte(k.task.mmOrDie, address));
  setPte(slot, word);
  body();
  setPte(slot, PTE_NONE);
}
function word(address: number): Pte {
  return getPte(pteSlot(k.task.mmOrDie, address));
}

describe('write protection', () => {
  test('a present page loses write permission and gets it back at once', () => {
    const a = k.map(1);
    k.store(a, 1);
    expect(change(a, 1, { uffdWp: true })).toBe(1);
    expect(k.slot(a)).toBe('present dirty young uffd-wp');
    expect(change(a, 1, { uffdWpResolve: true })).toBe(1);
    expect(k.slot(a)).toBe('present write dirty young');
  });

  test('a page shared by fork stays read-only when unprotected', () => {
    const a = k.map(1);
    k.store(a, 1);
    const child = k.fork();
    change(a, 1, { uffdWp: true });
    change(a, 1, { uffdWpResolve: true });
    expect(k.slot(a)).toBe('present dirty young');
    k.exit(child);
  });

  test('the zero page is never writable', () => {
    const a = k.map(1);
    k.load(a);
    change(a, 1, { uffdWp: true });
    expect(k.slot(a)).toBe('present young uffd-wp special');
    change(a, 1, { uffdWpResolve: true });
    expect(k.slot(a)).toBe('present young special');
  });

  test('empty slots get markers only when asked for, in tables made for them', () => {
    const a = k.map(3);
    expect(change(a, 3, { uffdWp: true })).toBe(0);
    expect(pteSlot(k.task.mmOrDie, a)).toBe(-1);
    expect(change(a, 3, { uffdWp: true, markers: true })).toBe(3);
    for (const page of [0, 1, 2]) expect(k.slot(a + page * P)).toBe('marker uffd-wp');
    expect(change(a + P, 1, { uffdWpResolve: true })).toBe(1);
    expect(k.slot(a + P)).toBe('none');
    expect(k.slot(a)).toBe('marker uffd-wp');
  });

  test('no table to be had for markers is ENOMEM', () => {
    const a = k.map(200);
    const limit = k.world.machine.geometry.tablesPerOwner * 4;
    expect(limit).toBeLessThan(200);
    expect(change(a, 200, { uffdWp: true, markers: true })).toBe(-12);
  });

  test('poison and guards are left alone', () => {
    const a = k.map(1);
    for (const mask of [PTE_MARKER_POISONED, PTE_MARKER_GUARD]) {
      withSlot(a, mkMarker(mask), () => {
        change(a, 1, { uffdWp: true, markers: true });
        expect(word(a)).toBe(mkMarker(mask));
        change(a, 1, { uffdWpResolve: true });
        expect(word(a)).toBe(mkMarker(mask));
      });
    }
  });

  test('a protected marker stays what it is, by mprotect too', () => {
    const a = k.map(1);
    withSlot(a, mkMarker(PTE_MARKER_UFFD_WP), () => {
      change(a, 1, { uffdWp: true, markers: true });
      expect(k.slot(a)).toBe('marker uffd-wp');
      protect(a, 1, PROT_READ);
      expect(k.slot(a)).toBe('marker uffd-wp');
    });
  });

  test('swap entries carry the bit and keep what else they say', () => {
    const a = k.map(1);
    const swap = mkSwap(7, SWP_EXCLUSIVE);
    withSlot(a, swap, () => {
      expect(change(a, 1, { uffdWp: true })).toBe(1);
      expect(word(a)).toBe(withFlags(swap, PTE_UFFD_WP));
      expect(change(a, 1, { uffdWpResolve: true })).toBe(1);
      expect(word(a)).toBe(swap);
    });
  });

  test('migration entries carry the bit and lose the promise of write permission', () => {
    const a = k.map(1);
    const moving = mkMigration(5 as Pfn, SWP_EXCLUSIVE);
    withSlot(a, withFlags(moving, MIGRATION_WRITE), () => {
      change(a, 1, { uffdWp: true });
      expect(word(a)).toBe(withFlags(moving, PTE_UFFD_WP));
      change(a, 1, { uffdWpResolve: true });
      expect(word(a)).toBe(moving);
    });
  });

  test('what a TLB remembers is gone when the call returns, and not before', () => {
    const a = k.map(1);
    k.store(a, 1);
    const [tlb] = k.world.machine.tlbs;
    const steps = changeUnder(a);
    expect(tlb?.lookup(a / P)).not.toBe(0);
    k.run(steps);
    expect(tlb?.lookup(a / P)).toBe(0);
  });
});

function* changeUnder(address: number): Generator<never, void, number> {
  change(address, 1, { uffdWp: true });
}

describe('mprotect', () => {
  test('an exclusive page becomes writable again without a fault', () => {
    const a = k.map(1);
    k.store(a, 1);
    protect(a, 1, PROT_READ);
    expect(k.slot(a)).toBe('present dirty young');
    expect(k.store(a, 2)).toBe('SEGV 2');
    protect(a, 1, RW);
    expect(k.slot(a)).toBe('present write dirty young');
  });

  test('PROT_NONE hides a page and keeps it', () => {
    const a = k.map(1);
    k.store(a, 9);
    protect(a, 1, PROT_NONE);
    expect(k.slot(a)).toBe('present dirty young protnone');
    expect(k.load(a)).toBe('SEGV 2');
    protect(a, 1, PROT_READ);
    expect(k.load(a)).toBe(9);
  });

  test('a write-protected page survives PROT_NONE and back', () => {
    const a = k.map(1);
    k.store(a, 1);
    change(a, 1, { uffdWp: true });
    protect(a, 1, PROT_NONE);
    expect(k.slot(a)).toBe('present dirty young uffd-wp protnone');
    protect(a, 1, RW);
    expect(k.slot(a)).toBe('present dirty young uffd-wp');
  });

  test('a page shared by fork stays read-only', () => {
    const a = k.map(1);
    k.store(a, 1);
    const child = k.fork();
    protect(a, 1, PROT_READ);
    protect(a, 1, RW);
    expect(k.slot(a)).toBe('present dirty young');
    k.store(a, 2);
    expect(k.load(a, child)).toBe(1);
  });

  test('execute permission reaches the entries', () => {
    const a = k.map(1, 7);
    k.store(a, 1);
    expect(k.slot(a)).toBe('present write dirty young exec');
    protect(a, 1, RW);
    expect(k.slot(a)).toBe('present write dirty young');
  });
});

// Pages for the kernel's own use: what a walk over user memory may take, and what pins keep from happening.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld, RW } from '../../../test/kernel-world.ts';
import { GUP_PIN_COUNTING_BIAS, PG_DIRTY, ZERO_PFN } from '../../machine/frames.ts';
import { mkMarker, type Pfn, PTE_MARKER_POISONED, ptePfn } from '../../machine/pte.ts';
import { setPte } from '../../machine/tables.ts';
import { EFAULT, EHWPOISON } from '../../uapi/errno.ts';
import {
  MADV_GUARD_INSTALL,
  MADV_PAGEOUT,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../uapi/mman.ts';
import { peekPte } from '../check/page-tables.ts';
import type { Task } from '../core/task.ts';
import { enterWorld } from '../current.ts';
import { readRemoteVm, writeRemoteVm } from './access-remote-vm.ts';
import { getUserPagesUnlocked } from './gup.ts';
import { getUserPagesFast } from './gup-fast.ts';
import {
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  type FollFlags,
  withFoll,
} from './gup-flags.ts';
import { folioMaybeDmaPinned, unpinUserPages, unpinUserPagesDirtyLock } from './gup-pin.ts';
import { doMadvise } from './madvise.ts';
import { migrateAddress } from './migrate.ts';
import { doMmap } from './mmap.ts';
import { doMprotect } from './mprotect.ts';
import { allocPte } from './pgtable.ts';

const P = 4096;
const NO_FLAGS = 0 as FollFlags;
const WRITE_PIN = withFoll(FOLL_PIN, FOLL_WRITE);
let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

const gup = (address: number, pages: number, flags: FollFlags): Pfn[] | number =>
  k.run(getUserPagesUnlocked(k.task.mmOrDie, address, pages, flags));
const fast = (address: number, pages: number, flags: FollFlags): Pfn[] | number =>
  k.run(getUserPagesFast(k.task.mmOrDie, address, pages, flags));
const protect = (address: number, prot: number): number =>
  k.run(doMprotect(k.task.mmOrDie, address, P, prot));
const pfn = (address: number, task: Task = k.task): Pfn => ptePfn(peekPte(task.mmOrDie, address));
function put(pages: Pfn[] | number): number {
  if (typeof pages === 'number') return pages;
  for (const page of pages) k.world.machine.frames.put(page, 0);
  return pages.length;
}
function unpin(pages: Pfn[] | number): void {
  if (typeof pages !== 'number') unpinUserPages(pages);
}

describe('what is there already', () => {
  test('comes with a reference, page by page', () => {
    const a = k.map(2);
    k.store(a, 1);
    k.store(a + P, 2);
    const pages = gup(a, 2, FOLL_GET);
    expect(pages).toEqual([pfn(a), pfn(a + P)]);
    expect(k.world.machine.frames.refcount(pfn(a))).toBe(2);
    expect(put(pages)).toBe(2);
  });

  test('and what is not is faulted in: the zero page for reading, a page of its own for writing', () => {
    const a = k.map(2);
    expect(gup(a, 1, FOLL_PIN)).toEqual([ZERO_PFN]);
    const written = gup(a + P, 1, withFoll(FOLL_GET, FOLL_WRITE));
    expect(written).toEqual([pfn(a + P)]);
    expect(put(written)).toBe(1);
  });

  test('ends before a hole, a guard, or memory without the right; alone these are EFAULT', () => {
    const a = k.map(4);
    k.run(doMadvise(k.task.mmOrDie, a + 2 * P, P, MADV_GUARD_INSTALL));
    expect(put(gup(a, 4, FOLL_GET))).toBe(2);
    expect([gup(a + 2 * P, 1, FOLL_GET), gup(a + 4 * P, 1, FOLL_GET)]).toEqual([-EFAULT, -EFAULT]);
    protect(a, PROT_READ);
    expect(gup(a, 1, withFoll(FOLL_GET, FOLL_WRITE))).toBe(-EFAULT);
    protect(a, PROT_WRITE);
    expect(gup(a, 1, FOLL_GET)).toBe(-EFAULT);
  });
});

describe('FOLL_FORCE', () => {
  const force = (address: number, value: number): number => {
    const bytes = new Uint8Array([value]);
    return k.run(writeRemoteVm(k.task.mmOrDie, address, bytes, FOLL_FORCE));
  };
  const peek = (address: number, flags: FollFlags): number[] => [
    ...k.run(readRemoteVm(k.task.mmOrDie, address, 1, flags)),
  ];

  // 6.18.44: /proc/self/mem writes private memory that is read-only or PROT_NONE, and the program still may not.
  test('writes private memory that may not be written, into a copy, and leaves the entry read-only', () => {
    const a = k.map(1);
    k.store(a, 1);
    const child = k.fork();
    protect(a, PROT_READ);
    expect(force(a, 5)).toBe(1);
    expect([k.load(a), k.load(a, child), k.store(a, 9)]).toEqual([5, 1, 'SEGV 2']);
    k.exit(child);
    expect(force(a, 6)).toBe(1);
    expect(k.load(a)).toBe(6);
  });

  test('reads and writes PROT_NONE, which nobody else does', () => {
    const a = k.map(1);
    k.store(a, 3);
    protect(a, PROT_NONE);
    expect([peek(a, NO_FLAGS), peek(a, FOLL_FORCE)]).toEqual([[], [3]]);
    expect([force(a, 4), peek(a, FOLL_FORCE)]).toEqual([1, [4]]);
  });

  test('never writes shared memory that may not be written', () => {
    const a = k.run(
      doMmap(k.task.mmOrDie, {
        address: 0,
        length: P,
        prot: PROT_READ,
        flags: MAP_SHARED | MAP_ANONYMOUS,
      }),
    );
    expect(force(a, 1)).toBe(0);
  });
});

describe('a pin', () => {
  test('counts for many references, and none on the zero page', () => {
    const a = k.map(2);
    k.store(a, 1);
    const pages = gup(a, 2, FOLL_PIN);
    expect(k.world.machine.frames.refcount(pfn(a))).toBe(1 + GUP_PIN_COUNTING_BIAS);
    expect([folioMaybeDmaPinned(pfn(a)), folioMaybeDmaPinned(ZERO_PFN)]).toEqual([true, false]);
    unpin(pages);
    expect(folioMaybeDmaPinned(pfn(a))).toBe(false);
  });

  test('for reading makes a shared page the own one first, with and without a lock', () => {
    for (const how of [gup, fast]) {
      const a = k.map(1);
      k.store(a, 1);
      const child = k.fork();
      const before = pfn(a);
      const pages = how(a, 1, FOLL_PIN);
      expect(pfn(a)).not.toBe(before);
      expect(pages).toEqual([pfn(a)]);
      k.store(a, 2);
      expect(pages).toEqual([pfn(a)]);
      expect(k.load(a, child)).toBe(1);
      unpin(pages);
      k.exit(child);
    }
  });

  test('for long makes even the zero page an own one; a plain reference takes what is there', () => {
    const a = k.map(1);
    k.load(a);
    expect(put(gup(a, 1, FOLL_GET))).toBe(1);
    const pages = gup(a, 1, withFoll(FOLL_PIN, FOLL_LONGTERM));
    expect([pages, pfn(a) === ZERO_PFN]).toEqual([[pfn(a)], false]);
    unpin(pages);
  });

  test('keeps the page where it is: neither reclaim nor migration takes it', () => {
    const world = new KernelWorld({ swapPages: 8 });
    const b = world.map(1);
    world.store(b, 1);
    const mm = world.task.mmOrDie;
    const pages = world.run(getUserPagesUnlocked(mm, b, 1, WRITE_PIN));
    expect(world.run(doMadvise(mm, b, P, MADV_PAGEOUT))).toBe(0);
    world.run(migrateAddress(mm, b));
    expect([world.slot(b), pages]).toEqual(['present write dirty young', [ptePfn(peekPte(mm, b))]]);
    unpin(pages);
    world.run(migrateAddress(mm, b));
    expect(pages).not.toEqual([ptePfn(peekPte(mm, b))]);
    world.run(doMadvise(mm, b, P, MADV_PAGEOUT));
    expect([world.slot(b), world.leaked()]).toEqual(['swap', null]);
    enterWorld(k.world);
  });

  test('whose holder wrote leaves the page dirty, which no entry says', () => {
    const shared = { address: 0, length: P, prot: RW, flags: MAP_SHARED | MAP_ANONYMOUS };
    const a = k.run(doMmap(k.task.mmOrDie, shared));
    const pages = gup(a, 1, WRITE_PIN);
    const { frames } = k.world.machine;
    frames.clearFlag(pfn(a), PG_DIRTY);
    if (typeof pages !== 'number') k.run(unpinUserPagesDirtyLock(pages, true));
    expect(frames.hasFlag(pfn(a), PG_DIRTY)).toBe(true);
  });

  test('is respected by fork: the parent keeps the page', () => {
    const a = k.map(1);
    k.store(a, 1);
    const pages = fast(a, 1, WRITE_PIN);
    const child = k.fork();
    expect(pages).toEqual([pfn(a)]);
    expect(k.slot(a)).toBe('present write dirty young');
    expect(pfn(a, child)).not.toBe(pfn(a));
    unpin(pages);
    k.exit(child);
  });
});

test('poison is EHWPOISON for those who ask, EFAULT for others', () => {
  const a = k.map(1);
  setPte(k.run(allocPte(k.task.mmOrDie, a)), mkMarker(PTE_MARKER_POISONED));
  expect(gup(a, 1, FOLL_GET)).toBe(-EFAULT);
  expect(gup(a, 1, withFoll(FOLL_GET, FOLL_HWPOISON))).toBe(-EHWPOISON);
});

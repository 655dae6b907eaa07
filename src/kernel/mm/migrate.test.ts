// What is the same after a page has moved, and what is left of a page whose memory failed? Not measured: the machine at
// hand can show neither on purpose; as Documentation/mm/page_migration.rst and hwpoison.rst have it.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { GUP_PIN_COUNTING_BIAS } from '../../machine/frames.ts';
import {
  type Pfn,
  PTE_UFFD_WP,
  PTE_WRITE,
  ptePfn,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { setPte } from '../../machine/tables.ts';
import { errnoName } from '../../uapi/errno.ts';
import { MADV_DONTNEED, MADV_PAGEOUT, MADV_WILLNEED, PROT_READ } from '../../uapi/mman.ts';
import { peekPte } from '../check/page-tables.ts';
import { syscallByName } from '../syscall/dispatch.ts';
import { memoryFailure, poisonAddress, softOfflineAddress } from './memory-failure.ts';
import { folioAt, migrateAddress, migrateFolio } from './migrate.ts';
import { pteSlot } from './pgtable.ts';

const P = 4096;
let k: KernelWorld;
let a: number;

beforeEach(() => {
  k = new KernelWorld({ swapPages: 16 });
  a = k.map(2);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

const frame = (task = k.task): Pfn => ptePfn(peekPte(task.mmOrDie, a));
const move = (): void => k.run(migrateAddress(k.task.mmOrDie, a));
const poison = (): void => k.run(poisonAddress(k.task.mmOrDie, a));
function call(name: string, ...args: number[]): number | string {
  const result = k.run(must(syscallByName(name), name).handler(k.task, args));
  return result < 0 ? errnoName(-result) : result;
}
/** A page of a memfd at `a`. @returns its descriptor */
function shared(): number {
  const name = k.map(1);
  const fd = Number(call('memfd_create', name, 0));
  call('munmap', name, P);
  call('ftruncate', fd, P);
  call('mmap', a, P, 3, 0x11, fd, 0);
  return fd;
}

describe('a page that moves', () => {
  test('has another frame, the same content, and may be written as before', () => {
    k.store(a, 7);
    const [before, slot] = [frame(), k.slot(a)];
    move();
    expect(frame()).not.toBe(before);
    expect(k.slot(a)).toBe(slot);
    expect(k.load(a)).toBe(7);
    expect(k.store(a, 8)).toBe('ok');
  });

  test('stays write-protected for userfaultfd', () => {
    k.store(a, 7);
    const slot = pteSlot(k.task.mmOrDie, a);
    const pte = peekPte(k.task.mmOrDie, a);
    setPte(slot, withFlags(withoutFlags(pte, PTE_WRITE), PTE_UFFD_WP));
    for (const tlb of k.world.machine.tlbs) tlb.flushAll();
    move();
    expect(k.slot(a)).toBe('present dirty young uffd-wp');
  });

  test('moves for everybody who shares it, and is still shared', () => {
    k.store(a, 7);
    const child = k.fork();
    move();
    expect(frame(child)).toBe(frame());
    k.store(a, 8);
    expect(k.load(a, child)).toBe(7);
  });

  test('is found under its new frame in the swap cache', () => {
    k.store(a, 7);
    call('madvise', a, P, MADV_PAGEOUT);
    call('madvise', a, P, MADV_WILLNEED);
    expect(k.load(a)).toBe(7);
    move();
    const [cached] = [...(k.world.swap?.cache.values() ?? [])];
    if (cached !== undefined) expect(cached).toBe(frame());
    expect(k.load(a)).toBe(7);
  });

  test('moves in the page cache with every mapping', () => {
    const fd = shared();
    const b = Number(call('mmap', 0, P, 3, 1, fd, 0));
    k.store(a, 7);
    expect(k.load(b)).toBe(7);
    const before = frame();
    move();
    expect(frame()).not.toBe(before);
    k.store(a, 8);
    expect(k.load(b)).toBe(8);
    call('close', fd);
  });

  test.each([
    ['pinned', GUP_PIN_COUNTING_BIAS, true],
    ['held by somebody', 1, false],
  ])('stays where it is while it is %s', (_what, references, pins) => {
    k.store(a, 7);
    const before = frame();
    if (pins) k.task.mmOrDie.setHasPinned();
    k.world.machine.frames.getMany(before, references);
    const held = k.run(folioAt(k.task.mmOrDie, a));
    expect(k.run(migrateFolio(held as Pfn))).toBe(-11);
    expect(frame()).toBe(before);
    expect(k.store(a, 8)).toBe('ok');
    k.world.machine.frames.putMany(before, references, 0);
  });

  test('to be taken out of use leaves a frame that nobody gets again', () => {
    k.store(a, 7);
    const before = frame();
    k.run(softOfflineAddress(k.task.mmOrDie, a));
    expect(k.load(a)).toBe(7);
    const seen = new Set<number>();
    const more = k.map(8);
    for (let i = 0; i < 8; i++) {
      k.store(more + i * P, i);
      seen.add(ptePfn(peekPte(k.task.mmOrDie, more + i * P)));
    }
    expect(seen.has(before)).toBe(false);
  });
});

describe('memory that has failed', () => {
  test('gives SIGBUS until the page is dropped, in a forked child too', () => {
    k.store(a, 7);
    poison();
    expect(k.slot(a)).toBe('hwpoison');
    expect(k.load(a)).toBe('BUS 2');
    const child = k.fork();
    expect(k.load(a, child)).toBe('BUS 2');
    expect(call('madvise', a, P, MADV_DONTNEED)).toBe(0);
    expect(k.load(a)).toBe(0);
    expect(k.load(a, child)).toBe('BUS 2');
  });

  test('shows as resident in mincore and as swapped in pagemap', () => {
    k.store(a, 7);
    poison();
    const vec = k.map(1);
    k.store(vec, 0);
    expect(call('mincore', a, P, vec)).toBe(0);
    expect(Number(k.load(vec)) & 1).toBe(1);
  });

  test('is failed once', () => {
    k.store(a, 7);
    const pfn = frame();
    poison();
    k.world.machine.frames.get(pfn);
    expect(k.run(memoryFailure(pfn))).toBe(-133);
  });

  test('stays in its file: EIO for read and write, SIGBUS for a new mapping, until the hole is punched', () => {
    const fd = shared();
    const buffer = k.map(1);
    k.store(a, 7);
    poison();
    expect(call('pread64', fd, buffer, 4, 0)).toBe('EIO');
    expect(call('pwrite64', fd, buffer, 4, 0)).toBe('EIO');
    const b = Number(call('mmap', 0, P, 3, 1, fd, 0));
    expect(k.load(b)).toBe('BUS 2');
    expect(call('fallocate', fd, 3, 0, P)).toBe(0);
    expect(k.load(b)).toBe(0);
    expect(k.load(a)).toBe('BUS 2');
    expect(call('mprotect', a, P, PROT_READ)).toBe(0);
    expect(k.load(a)).toBe('BUS 2');
    call('close', fd);
  });
});

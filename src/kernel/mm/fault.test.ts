// What an access comes to, by what the slot holds and what the VMA allows.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KernelWorld, RW, signalName } from '../../../test/kernel-world.ts';
import { ZERO_PFN } from '../../machine/frames.ts';
import {
  mkMarker,
  mkPte,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_WRITE,
  ptePfn,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { setPte } from '../../machine/tables.ts';
import { EFAULT } from '../../uapi/errno.ts';
import { PROT_NONE, PROT_READ, PROT_WRITE } from '../../uapi/mman.ts';
import { peekPte } from '../check/page-tables.ts';
import { SCRATCH_BASE } from '../core/task.ts';
import { faultAddress, USER_WRITE } from './fault.ts';
import { handleMmFault } from './memory.ts';
import { allocPte, pteSlot } from './pgtable.ts';
import { faultInRange } from './populate.ts';
import { copyFromUser, copyFromUserNofault, copyToUser, copyUserPage } from './user-access.ts';
import { FAULT_FLAG_UNSHARE, type FaultFlags } from './vm-fault.ts';
import { VM_UFFD_WP, withFlag } from './vm-flags.ts';

const P = 4096;
let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

/** Puts a word into a slot, as a system call that is not part of this test would. */
function plant(address: number, word: number): void {
  const slot = k.run(allocPte(k.task.mmOrDie, address));
  setPte(slot, word as never);
}

function flush(): void {
  k.world.machine.tlbs[0]?.flushAll();
}

test('a read of untouched memory maps the zero page, a write a page of its own', () => {
  const a = k.map(2);
  expect(k.load(a)).toBe(0);
  expect(k.slot(a)).toBe('present young special');
  expect(ptePfn(peekPte(k.task.mmOrDie, a))).toBe(ZERO_PFN);
  expect(k.store(a + P, 7)).toBe('ok');
  expect(k.slot(a + P)).toBe('present write dirty young');
  expect(k.load(a + P)).toBe(7);
  expect(k.world.machine.frames.inUse).toBe(1);
});

test('a write after a read replaces the zero page', () => {
  const a = k.map(1);
  k.load(a);
  expect(k.store(a, 1)).toBe('ok');
  expect(k.slot(a)).toBe('present write dirty young');
  expect(k.load(a)).toBe(1);
});

test('the right to write enters the TLB only with a write', () => {
  const a = k.map(1);
  k.store(a, 1);
  flush();
  k.load(a);
  const word = k.world.machine.tlbs[0]?.lookup(a / P) ?? 0;
  expect(word & 7).toBe(1);
  k.store(a, 2);
  expect((k.world.machine.tlbs[0]?.lookup(a / P) ?? 0) & 7).toBe(3);
});

test.each([
  ['nothing mapped', 'read', 'SEGV 1'],
  ['nothing mapped', 'write', 'SEGV 1'],
  ['PROT_NONE', 'read', 'SEGV 2'],
  ['PROT_NONE', 'write', 'SEGV 2'],
  ['read-only', 'write', 'SEGV 2'],
  ['read-only', 'read', 'ok'],
  // Measured on 6.18: x86 has no write-only pages.
  ['write-only', 'read', 'ok'],
] as const)('%s, %s: %s', (what, access, outcome) => {
  const prots: Record<string, number> = {
    PROT_NONE,
    'read-only': PROT_READ,
    'write-only': PROT_WRITE,
  };
  const prot = prots[what];
  const a = prot === undefined ? 0x7000 : k.map(1, prot);
  const got = access === 'read' ? k.load(a) : k.store(a, 1);
  expect(got === 0 ? 'ok' : got).toBe(outcome);
});

test.each([
  // Measured on 6.18.44, which is built without MEMORY_FAILURE.
  [PTE_MARKER_POISONED, 'BUS 2'],
  [PTE_MARKER_GUARD, 'SEGV 1'],
  [PTE_MARKER_POISONED | PTE_MARKER_UFFD_WP, 'BUS 2'],
])('marker %d answers reads and writes with %s, and stays', (mask, outcome) => {
  const a = k.map(1);
  plant(a, mkMarker(mask));
  expect(k.load(a)).toBe(outcome);
  expect(k.store(a, 1)).toBe(outcome);
  expect(k.slot(a)).toMatch(/^marker/);
});

test('PROT_NONE wins over a guard marker', () => {
  const a = k.map(1, PROT_NONE);
  plant(a, mkMarker(PTE_MARKER_GUARD));
  expect(k.load(a)).toBe('SEGV 2');
});

test('a write-protect marker without registration is forgotten by the first fault', () => {
  const a = k.map(1);
  plant(a, mkMarker(PTE_MARKER_UFFD_WP));
  expect(k.store(a, 5)).toBe('ok');
  expect(k.slot(a)).toBe('present write dirty young');
});

test('a read over a write-protect marker makes a protected zero page', () => {
  const a = k.map(1);
  k.vma(a).flags = withFlag(k.vma(a).flags, VM_UFFD_WP);
  plant(a, mkMarker(PTE_MARKER_UFFD_WP));
  expect(k.load(a)).toBe(0);
  expect(k.slot(a)).toBe('present young uffd-wp special');
});

test('a write whose registration lost write protection leaves both bits (measured on 6.18)', () => {
  const a = k.map(1);
  k.store(a, 1);
  const slot = pteSlot(k.task.mmOrDie, a);
  setPte(slot, withFlags(withoutFlags(peekPte(k.task.mmOrDie, a), PTE_WRITE), PTE_UFFD_WP));
  flush();
  expect(k.store(a, 2)).toBe('ok');
  expect(k.slot(a)).toBe('present write dirty young uffd-wp');
});

test('an unshare of an exclusive page changes nothing; of the zero page it makes a page of zeroes', () => {
  const a = k.map(2);
  k.load(a);
  k.store(a + P, 1);
  const before = peekPte(k.task.mmOrDie, a + P);
  for (const address of [a, a + P]) {
    k.run(handleMmFault(k.vma(a), k.task, address, FAULT_FLAG_UNSHARE as FaultFlags));
  }
  expect([k.slot(a), k.load(a)]).toEqual(['present young', 0]);
  expect(peekPte(k.task.mmOrDie, a + P)).toBe(before);
});

test('a spurious write fault leaves the entry and forgets the TLB entry', () => {
  const a = k.map(1);
  k.store(a, 1);
  const before = peekPte(k.task.mmOrDie, a);
  expect(signalName(k.run(faultAddress(k.task, a, USER_WRITE)))).toBe('ok');
  expect(peekPte(k.task.mmOrDie, a)).toBe(before);
  expect(k.world.machine.tlbs[0]?.lookup(a / P)).toBe(0);
});

test('running out of frames kills whoever asked', () => {
  const a = k.map(40);
  const outcomes = new Set<string>();
  for (let i = 0; i < 40; i++) outcomes.add(k.store(a + i * P, 1));
  expect([...outcomes]).toEqual(['ok', 'KILL 0']);
});

test('kernel copies fault pages in and give EFAULT where the program would get a signal', () => {
  const a = k.map(2);
  const bytes = Uint8Array.of(1, 2, 3, 4);
  expect(k.run(copyToUser(k.task, a + P - 2, bytes))).toBe(0);
  expect(k.run(copyFromUser(k.task, a + P - 2, 4))).toEqual(bytes);
  expect(k.run(copyToUser(k.task, a + 2 * P - 2, bytes))).toBe(-EFAULT);
  expect(k.run(copyFromUser(k.task, 0x1000, 1))).toBe(-EFAULT);
  expect(k.run(copyFromUser(k.task, 0x7ffffffff000, 1))).toBe(-EFAULT);
});

test('a copy without faults takes what is there and nothing else', () => {
  const a = k.map(1);
  expect(k.run(copyFromUserNofault(k.task, a, 4))).toBe(-EFAULT);
  k.store(a, 0x01020304);
  expect(k.run(copyFromUserNofault(k.task, a, 4))).toEqual(Uint8Array.of(4, 3, 2, 1));
});

test('a page is copied from an unaligned source too', () => {
  const a = k.map(2);
  k.store(a + P - 4, 0x11111111);
  k.store(a + P, 0x22222222);
  const { frames } = k.world.machine;
  const pfn = frames.alloc(0);
  if (pfn === 0) throw new Error('no frame');
  expect(k.run(copyUserPage(k.task, a + P - 4, pfn, false))).toBe(0);
  expect([...frames.read(pfn, 0, 8)]).toEqual([0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22]);
  expect(k.run(copyUserPage(k.task, 0x1000, pfn, true))).toBe(-EFAULT);
  frames.put(pfn, 0);
});

test('the scratch window is memory that never faults', () => {
  k.task.scratch = new Uint8Array(64);
  expect(k.store(SCRATCH_BASE + 8, 0x12345678)).toBe('ok');
  expect(k.load(SCRATCH_BASE + 8)).toBe(0x12345678);
  expect(k.store(SCRATCH_BASE + 62, 1)).toBe('SEGV 1');
});

test('populate stops at a hole and keeps what it has done', () => {
  const a = k.map(2, RW, 0x10000);
  k.map(1, RW, 0x13000);
  const mm = k.task.mmOrDie;
  expect(k.run(faultInRange(mm, a, 0x14000, true))).toBe(-12);
  expect([k.slot(a), k.slot(a + P), k.slot(0x13000)]).toEqual([
    'present write dirty young',
    'present write dirty young',
    'none',
  ]);
});

test('populate reads map the zero page, populate writes replace it; signals become errors', () => {
  const mm = k.task.mmOrDie;
  const a = k.map(3);
  expect(k.run(faultInRange(mm, a, a + P, false))).toBe(0);
  expect(k.slot(a)).toBe('present young special');
  expect(k.run(faultInRange(mm, a, a + P, true))).toBe(0);
  expect(k.slot(a)).toBe('present write dirty young');
  plant(a + P, mkMarker(PTE_MARKER_GUARD));
  plant(a + 2 * P, mkMarker(PTE_MARKER_POISONED));
  expect(k.run(faultInRange(mm, a + P, a + 2 * P, false))).toBe(-14);
  expect(k.run(faultInRange(mm, a + 2 * P, a + 3 * P, false))).toBe(-133);
  const ro = k.map(1, PROT_READ);
  expect(k.run(faultInRange(mm, ro, ro + P, true))).toBe(-22);
});

test('a protected or special entry that is planted wrongly is noticed', () => {
  const a = k.map(1);
  plant(a, mkPte(ZERO_PFN, PTE_SPECIAL | PTE_WRITE));
  expect(k.wrong()).toMatch(/zero page is writable/);
  plant(a, 0);
});

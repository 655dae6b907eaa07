// What a child inherits, and what copy-on-write makes of it.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { GUP_PIN_COUNTING_BIAS, PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
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
} from '../../machine/pte.ts';
import { setPte } from '../../machine/tables.ts';
import { peekPte } from '../check/page-tables.ts';
import { forkTask } from '../core/create.ts';
import type { Task } from '../core/task.ts';
import { anonVmaPrepare } from './anon-vma.ts';
import { handleMmFault } from './memory.ts';
import { doMmap } from './mmap.ts';
import { mmapWriteLock, mmapWriteUnlock } from './mmap-lock.ts';
import { allocPte, pteSlot } from './pgtable.ts';
import { rmapPlaces } from './rmap.ts';
import { FAULT_FLAG_UNSHARE, type FaultFlags } from './vm-fault.ts';
import { VM_DONTCOPY, VM_LOCKED, VM_UFFD_WP, VM_WIPEONFORK, withFlag } from './vm-flags.ts';
import { vmaModify } from './vma.ts';

const P = 4096;
let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

const exclusive = (a: number, task: Task = k.task): boolean =>
  k.world.machine.frames.hasFlag(ptePfn(peekPte(task.mmOrDie, a)), PG_ANON_EXCLUSIVE);
const pfn = (a: number, task: Task = k.task): number => ptePfn(peekPte(task.mmOrDie, a));
function plant(address: number, word: number): void {
  setPte(k.run(allocPte(k.task.mmOrDie, address)), word as never);
}

test('both sides are read-only and exclusive to neither; each write after that is its own', () => {
  const a = k.map(1);
  k.store(a, 1);
  const child = k.fork();
  expect(k.slot(a)).toBe('present dirty young');
  expect(k.slot(a, child)).toBe('present dirty');
  expect(exclusive(a)).toBe(false);
  expect(k.store(a, 2, child)).toBe('ok');
  expect(k.load(a)).toBe(1);
  expect(k.load(a, child)).toBe(2);
  expect(exclusive(a, child)).toBe(true);
  expect(k.store(a, 3)).toBe('ok');
  expect(k.load(a, child)).toBe(2);
});

test('after the sharer exits, time does not make the page exclusive again; a write does', () => {
  const a = k.map(1);
  k.store(a, 1);
  const frame = pfn(a);
  const child = k.fork();
  k.exit(child);
  expect(exclusive(a)).toBe(false);
  k.load(a);
  expect(exclusive(a)).toBe(false);
  k.store(a, 2);
  expect(exclusive(a)).toBe(true);
  expect(pfn(a)).toBe(frame);
});

test('the sharer that is left alone reuses the page, and its anon_vma owns it', () => {
  const a = k.map(1);
  k.store(a, 1);
  const frame = pfn(a);
  const child = k.fork();
  k.store(a, 2);
  expect(pfn(a)).not.toBe(frame);
  k.store(a, 3, child);
  expect(pfn(a, child)).toBe(frame);
  const own = k.vma(a, child).anonVma;
  expect(k.world.machine.frames.mapping[frame]).toBe(own?.id);
});

test('an extra reference makes a write copy', () => {
  const a = k.map(1);
  k.store(a, 1);
  const frame = ptePfn(peekPte(k.task.mmOrDie, a));
  k.exit(k.fork());
  k.world.machine.frames.get(frame);
  k.store(a, 2);
  expect(pfn(a)).not.toBe(frame);
  k.world.machine.frames.put(frame, 0);
});

test('an unshare copies a shared page and leaves it read-only, protection and all', () => {
  const a = k.map(1);
  k.store(a, 1);
  const child = k.fork();
  setPte(pteSlot(k.task.mmOrDie, a), withFlags(peekPte(k.task.mmOrDie, a), PTE_UFFD_WP));
  const frame = pfn(a);
  const flags = FAULT_FLAG_UNSHARE as FaultFlags;
  k.run(handleMmFault(k.vma(a), k.task, a, flags));
  expect(pfn(a)).not.toBe(frame);
  expect(k.slot(a)).toBe('present young uffd-wp');
  expect(exclusive(a)).toBe(true);
  k.exit(child);
});

test("a page that may be pinned for DMA is copied for the child at once and stays the parent's", () => {
  const a = k.map(1);
  k.store(a, 9);
  const frame = ptePfn(peekPte(k.task.mmOrDie, a));
  const { frames } = k.world.machine;
  k.task.mmOrDie.setHasPinned();
  for (let i = 0; i < GUP_PIN_COUNTING_BIAS; i++) frames.get(frame);
  const child = k.fork();
  expect(k.slot(a)).toBe('present write dirty young');
  expect(exclusive(a)).toBe(true);
  expect(pfn(a, child)).not.toBe(frame);
  expect(k.load(a, child)).toBe(9);
  for (let i = 0; i < GUP_PIN_COUNTING_BIAS; i++) frames.put(frame, 0);
});

test("the parent's TLB loses the right to write", () => {
  const a = k.map(1);
  k.store(a, 1);
  const child = k.fork();
  k.store(a, 2);
  expect(k.load(a, child)).toBe(1);
});

test('DONTFORK is absent, WIPEONFORK is empty and stays so, mlock is not inherited', () => {
  const [gone, wiped, locked] = [k.map(1), k.map(1), k.map(1)];
  for (const a of [gone, wiped, locked]) k.store(a, 1);
  k.run(markFlags(gone, VM_DONTCOPY));
  k.run(markFlags(wiped, VM_WIPEONFORK));
  k.run(markFlags(locked, VM_LOCKED));
  const child = k.fork();
  expect(k.load(gone, child)).toBe('SEGV 1');
  expect(k.load(wiped, child)).toBe(0);
  expect(k.load(wiped)).toBe(1);
  expect(k.vma(wiped, child).flags & VM_WIPEONFORK).not.toBe(0);
  expect(k.vma(locked, child).flags & VM_LOCKED).toBe(0);
});

function* markFlags(address: number, flag: typeof VM_LOCKED): ReturnType<typeof vmaModify> {
  const mm = k.task.mmOrDie;
  yield* mmapWriteLock(mm);
  const vma = k.vma(address);
  const flags = withFlag(vma.flags, flag);
  const result = yield* vmaModify(vma, address, address + P, { flags });
  mmapWriteUnlock(mm);
  return result;
}

test.each([
  [PTE_MARKER_POISONED, 'marker poison'],
  [PTE_MARKER_GUARD, 'marker guard'],
  [PTE_MARKER_UFFD_WP, 'none'],
  [PTE_MARKER_UFFD_WP | PTE_MARKER_POISONED, 'marker poison'],
])('marker mask %d is inherited as "%s" by a child that is not registered', (mask, inherited) => {
  const a = k.map(1);
  k.run(anonVmaPrepare(k.vma(a)));
  plant(a, mkMarker(mask));
  const child = k.fork();
  expect(k.slot(a, child)).toBe(inherited);
});

test('without an anon_vma and without write protection no table is copied (6.18: so are its markers lost)', () => {
  const a = k.map(1);
  plant(a, mkMarker(PTE_MARKER_POISONED));
  const child = k.fork();
  expect(k.slot(a, child)).toBe('none');
});

test('the zero page is inherited when tables are copied at all', () => {
  const a = k.map(2);
  k.load(a);
  const first = k.fork();
  expect(k.slot(a, first)).toBe('none');
  k.store(a + P, 1);
  const second = k.fork(k.task, 2);
  expect(k.slot(a, second)).toBe('present special');
});

test('the uffd-wp bit is cleared in a child that is not registered and kept in the parent', () => {
  const a = k.map(1);
  k.store(a, 1);
  const word = withFlags(withoutFlags(peekPte(k.task.mmOrDie, a), PTE_WRITE), PTE_UFFD_WP);
  setPte(pteSlot(k.task.mmOrDie, a), word);
  k.world.machine.tlbs[0]?.flushAll();
  const child = k.fork();
  expect(k.slot(a, child)).toBe('present dirty');
  expect(k.slot(a)).toBe('present dirty young uffd-wp');
});

test("the uffd-wp bit and the marker are copied when the child's VMA stays registered", () => {
  const a = k.map(2);
  k.vma(a).flags = withFlag(k.vma(a).flags, VM_UFFD_WP);
  k.store(a, 1);
  const word = withFlags(withoutFlags(peekPte(k.task.mmOrDie, a), PTE_WRITE), PTE_UFFD_WP);
  setPte(pteSlot(k.task.mmOrDie, a), word);
  plant(a + P, mkMarker(PTE_MARKER_UFFD_WP));
  k.world.machine.tlbs[0]?.flushAll();
  const child = k.fork();
  expect(k.slot(a, child)).toBe('present dirty uffd-wp');
  expect(k.slot(a + P, child)).toBe('marker uffd-wp');
});

test('from a shared folio the walk reaches parent, child and grandchild', () => {
  const a = k.map(1);
  k.store(a, 1);
  const child = k.fork();
  const grandchild = k.fork(child, 2);
  const frame = ptePfn(peekPte(k.task.mmOrDie, a));
  const places = rmapPlaces(frame).map(({ vma, address }) => [vma.mm.id, address]);
  expect(places).toEqual([k.task, child, grandchild].map((t) => [t.mmOrDie.id, a]));
});

test('a chain of forks whose parents exit does not grow: anon_vmas are taken over', () => {
  const a = k.map(1);
  k.store(a, 1);
  let last = k.task;
  for (let i = 0; i < 20; i++) {
    const next = k.fork(last, (i % 7) + 1);
    k.store(a, i, next);
    k.exit(last);
    last = next;
  }
  expect(k.vma(a, last).anonVmaChain.length).toBeLessThanOrEqual(3);
  expect(k.world.anonVmas.size).toBeLessThanOrEqual(3);
});

test('adjacent areas that could merge but for protection share an anon_vma', () => {
  const a = k.map(1, 3, 0x20000);
  k.store(a, 1);
  const b = k.map(1, 2, 0x21000);
  k.store(b, 1);
  expect(k.vma(b).anonVma).toBe(k.vma(a).anonVma);
  const far = k.map(1, 3, 0x30000);
  k.store(far, 1);
  expect(k.vma(far).anonVma).not.toBe(k.vma(a).anonVma);
});

test('in a child a new area beside an inherited one gets an anon_vma of its own', () => {
  const a = k.map(1, 3, 0x20000);
  k.store(a, 1);
  const child = k.fork();
  const mm = child.mmOrDie;
  const flags = 0x22;
  k.run(doMmap(mm, { address: 0x21000, length: P, prot: 2, flags: flags | 0x10 }), child);
  k.store(0x21000, 1, child);
  expect(k.vma(0x21000, child).anonVma).not.toBe(k.vma(a, child).anonVma);
});

test('a fork that runs out of memory takes the child apart and leaves the parent whole', () => {
  const a = k.map(1);
  k.store(a, 1);
  let made = 0;
  const before = k.world.mms.size;
  // The parent allocates the child's tables from its own list.
  for (;;) {
    const child = k.run(forkTask(k.task, { name: 'c', hart: 1, owner: 1 }));
    if (typeof child === 'number') {
      expect(child).toBe(-12);
      break;
    }
    made++;
  }
  expect(k.world.mms.size).toBe(before + made);
  expect(k.store(a, 2)).toBe('ok');
});

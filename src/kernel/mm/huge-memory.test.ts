// Transparent huge pages of anonymous memory, call by call. Expectations marked 6.18 were measured on 6.18.44.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KernelWorld, RW } from '../../../test/kernel-world.ts';
import { PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import { ptePfn, swpOffset } from '../../machine/pte.ts';
import { EINVAL } from '../../uapi/errno.ts';
import {
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_PAGEOUT,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
} from '../../uapi/mman.ts';
import { forEachPte, peekPte } from '../check/page-tables.ts';
import type { Task } from '../core/task.ts';
import { MemSizeStats } from '../fs/proc/smaps.ts';
import { UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import { doMadvise } from './madvise.ts';
import { doMprotect } from './mprotect.ts';
import { doMremap } from './mremap.ts';
import { doMunmap } from './munmap.ts';
import { pmdSize } from './pgtable.ts';
import { THP_MADVISE } from './thp-settings.ts';
import { movePages } from './userfaultfd-move.ts';
import { VM_UFFD_MISSING, withFlag } from './vm-flags.ts';

const P = 4096;
const H = 4 * P;
let k: KernelWorld;
let a: number;
beforeEach(() => {
  k = new KernelWorld();
  k.world.thp = THP_MADVISE;
  expect(pmdSize()).toBe(H);
  a = k.map(8, RW, 0x40000);
  expect(advise(MADV_HUGEPAGE, 0, 8)).toBe(0);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function advise(advice: number, page: number, pages: number): number {
  return k.run(doMadvise(k.task.mmOrDie, a + page * P, pages * P, advice));
}

/** Bytes that smaps calls AnonHugePages. */
function huge(task: Task = k.task, at = a): number {
  const stats = new MemSizeStats();
  stats.add(k.vma(at, task));
  return stats.anonHuge;
}

function frame(address: number, task: Task = k.task): number {
  return ptePfn(peekPte(task.mmOrDie, address));
}

test('does a write to advised memory bring an aligned huge page, and a read the huge zero page', () => {
  expect(k.store(a + P, 5)).toBe('ok');
  expect(huge()).toBe(H);
  expect([k.load(a + P), k.load(a + 2 * P)]).toEqual([5, 0]);
  expect(frame(a + 3 * P) - frame(a)).toBe(3);
  expect(k.load(a + H)).toBe(0);
  expect(k.slot(a + H + P)).toBe('present young special');
  expect(huge()).toBe(H);
  expect(k.store(a + H + P, 7)).toBe('ok');
  expect([huge(), k.load(a + H), k.load(a + H + P)]).toEqual([2 * H, 0, 7]);
});

test('is memory that is not advised, too short or misaligned mapped page by page', () => {
  const b = k.map(4, RW, 0x80000);
  k.store(b, 1);
  expect(huge(k.task, b)).toBe(0);
  k.world.thp = { ...THP_MADVISE, enabled: 'always' };
  const c = k.map(6, RW, 0xa0000 + P);
  k.store(c, 1);
  k.store(c + 4 * P, 1);
  expect(huge(k.task, c)).toBe(0);
  expect(advise(MADV_NOHUGEPAGE, 0, 8)).toBe(0);
  k.store(a, 1);
  expect(huge()).toBe(0);
});

test('do a process that wants none and memory that has run out get pages one by one', () => {
  k.task.mmOrDie.thpDisable = 'all';
  k.store(a, 1);
  expect(huge()).toBe(0);
  k.task.mmOrDie.thpDisable = 'unadvised';
  k.store(a + H, 1);
  expect(huge()).toBe(H);
});

test('does a table that is there, empty or not, keep huge pages away, until its span is dropped whole', () => {
  expect(advise(MADV_GUARD_INSTALL, 1, 1)).toBe(0);
  expect(advise(MADV_GUARD_REMOVE, 1, 1)).toBe(0);
  k.store(a, 1);
  expect(huge()).toBe(0);
  expect(advise(MADV_DONTNEED, 0, 4)).toBe(0);
  k.store(a, 1);
  expect(huge()).toBe(H);
});

test('does MADV_DONTNEED of all take the huge page away, and of part split its mapping only', () => {
  k.store(a, 1);
  const head = frame(a);
  expect(advise(MADV_DONTNEED, 1, 1)).toBe(0);
  expect(huge()).toBe(0);
  expect([k.slot(a), k.slot(a + P)]).toEqual(['present write dirty young', 'none']);
  expect(k.world.machine.frames.order(head as never)).toBe(2);
  expect(k.world.machine.frames.inUse).toBe(4);
  expect(advise(MADV_DONTNEED, 0, 4)).toBe(0);
  expect(k.world.machine.frames.inUse).toBe(0);
  k.store(a + H, 1);
  expect(advise(MADV_DONTNEED, 4, 4)).toBe(0);
  expect(k.world.machine.frames.inUse).toBe(0);
});

test('does mprotect keep a whole huge page and split one of which it names part', () => {
  const mm = k.task.mmOrDie;
  k.store(a, 1);
  expect(k.run(doMprotect(mm, a, H, PROT_READ))).toBe(0);
  expect(huge()).toBe(H);
  expect(k.store(a, 2)).toBe('SEGV 2');
  expect(k.run(doMprotect(mm, a, H, RW))).toBe(0);
  expect([huge(), k.slot(a)]).toEqual([H, 'present write dirty young']);
  expect(k.run(doMprotect(mm, a + P, P, PROT_READ))).toBe(0);
  expect([huge(), huge(k.task, a + P), huge(k.task, a + 2 * P)]).toEqual([0, 0, 0]);
  expect([k.load(a), k.slot(a + P), k.slot(a + 2 * P)]).toEqual([
    1,
    'present dirty young',
    'present write dirty young',
  ]);
});

test('does fork share a huge page, and the first write split the writer’s mapping and copy one page', () => {
  k.store(a, 1);
  k.store(a + P, 2);
  const child = k.fork();
  expect([huge(), huge(child)]).toEqual([H, H]);
  expect(k.world.machine.frames.hasFlag(frame(a) as never, PG_ANON_EXCLUSIVE)).toBe(false);
  expect(k.store(a + P, 9)).toBe('ok');
  expect([huge(), huge(child)]).toEqual([0, H]);
  expect([k.load(a + P), k.load(a), k.load(a + P, child)]).toEqual([9, 1, 2]);
  expect(frame(a) === frame(a, child)).toBe(true);
});

test('is a huge page written in place once the other process has gone', () => {
  k.store(a, 1);
  const head = frame(a);
  const child = k.fork();
  k.exit(child);
  expect(k.store(a + P, 2)).toBe('ok');
  expect([huge(), frame(a)]).toEqual([H, head]);
});

test('does mremap move a huge page whole between aligned places, and split it otherwise', () => {
  const mm = k.task.mmOrDie;
  const move = (from: number, to: number, pages: number): number =>
    k.run(
      doMremap(mm, {
        address: from,
        oldLength: pages * P,
        newLength: pages * P,
        flags: MREMAP_MAYMOVE | MREMAP_FIXED,
        newAddress: to,
      }),
    );
  k.store(a, 1);
  const head = frame(a);
  const b = 0xc0000;
  expect(move(a, b, 4)).toBe(b);
  expect([huge(k.task, b), frame(b), k.load(b)]).toEqual([H, head, 1]);
  const c = 0xe0000 + P;
  expect(move(b, c, 4)).toBe(c);
  expect([huge(k.task, c), k.load(c)]).toEqual([0, 1]);
});

test('does munmap of part leave the rest, and do guards take a huge page’s place', () => {
  k.store(a, 1);
  expect(k.run(doMunmap(k.task.mmOrDie, a, 2 * P))).toBe(0);
  expect(k.load(a + 2 * P)).toBe(0);
  k.store(a + H, 3);
  expect(advise(MADV_GUARD_INSTALL, 5, 1)).toBe(0);
  expect([k.load(a + H), k.load(a + H + P)]).toEqual([3, 'SEGV 1']);
  expect(advise(MADV_GUARD_INSTALL, 4, 4)).toBe(0);
  expect(k.load(a + H)).toBe('SEGV 1');
});

test('does GUARD_REMOVE leave a huge page whole', () => {
  k.store(a, 1);
  expect(advise(MADV_GUARD_REMOVE, 1, 1)).toBe(0);
  expect(huge()).toBe(H);
});

test('does advice about part of a huge page split its folio, about all of it leave it whole', () => {
  k.store(a, 1);
  expect(advise(MADV_COLD, 0, 4)).toBe(0);
  expect([huge(), k.slot(a)]).toEqual([H, 'present write dirty']);
  expect(advise(MADV_FREE, 0, 4)).toBe(0);
  expect([huge(), k.slot(a)]).toEqual([H, 'present write']);
  expect(k.load(a)).toBe(1);
  expect(advise(MADV_FREE, 0, 1)).toBe(0);
  expect(huge()).toBe(0);
  expect(k.world.machine.frames.order(frame(a) as never)).toBe(0);
  expect(k.load(a)).toBe(1);
});

test('does UFFDIO_MOVE move a whole huge page as one, and split it for part', () => {
  const kit = k.task;
  const uffd = new UserfaultfdCtx(kit.mmOrDie, 0);
  uffd.features = 0;
  const dst = k.map(8, RW, 0xc0000);
  k.vma(dst).uffd = uffd;
  k.vma(dst).flags = withFlag(k.vma(dst).flags, VM_UFFD_MISSING);
  const move = (to: number, from: number, pages: number): unknown =>
    k.run(
      movePages(kit, {
        ctx: uffd,
        srcMm: kit.mmOrDie,
        dst: to,
        src: from,
        len: pages * P,
        mode: 0,
      }),
    );
  k.store(a, 1);
  k.store(a + P, 2);
  const head = frame(a);
  expect(move(dst, a, 4)).toBe(H);
  expect([huge(kit, dst), huge(), frame(dst), k.load(dst + P)]).toEqual([H, 0, head, 2]);
  k.store(a + H, 3);
  // 6.18.44: the folio is split, and its empty pages become the zero page.
  expect(move(dst + H, a + H, 2)).toBe(2 * P);
  expect(['present write dirty young', 'present young special']).toEqual([
    k.slot(dst + H),
    k.slot(dst + H + P),
  ]);
  expect([k.slot(a + H), k.slot(a + H + 2 * P)]).toEqual(['none', 'present special']);
  k.vma(dst).uffd = null;
});

test('does MADV_COLLAPSE make a huge page of what is there', () => {
  expect(advise(MADV_NOHUGEPAGE, 0, 8)).toBe(0);
  k.store(a, 1);
  expect(advise(MADV_COLLAPSE, 0, 4)).toBe(-EINVAL);
  const b = k.map(8, RW, 0xc0000);
  const collapse = (at: number, pages = 4): number =>
    k.run(doMadvise(k.task.mmOrDie, at, pages * P, MADV_COLLAPSE));
  // 6.18.44: nothing there, or only the zero page: EINVAL.
  expect(collapse(b)).toBe(-EINVAL);
  k.load(b);
  expect(collapse(b)).toBe(-EINVAL);
  k.store(b + P, 5);
  expect([collapse(b, 1), huge(k.task, b)]).toEqual([0, 0]);
  expect([collapse(b), huge(k.task, b), k.load(b + P), k.load(b)]).toEqual([0, H, 5, 0]);
  expect(collapse(b)).toBe(0);
  // The second span has no table: the first stays collapsed.
  expect([collapse(b, 8), huge(k.task, b)]).toEqual([-EINVAL, H]);
});

test('are pages shared with a child copied by a collapse, and a guard in its way', () => {
  const b = k.map(8, RW, 0xc0000);
  k.store(b, 1);
  const child = k.fork();
  expect(k.run(doMadvise(k.task.mmOrDie, b, H, MADV_COLLAPSE))).toBe(0);
  expect([huge(k.task, b), k.load(b), k.load(b, child)]).toEqual([H, 1, 1]);
  k.store(b + H, 2);
  expect(k.run(doMadvise(k.task.mmOrDie, b + H + P, P, MADV_GUARD_INSTALL))).toBe(0);
  expect(k.run(doMadvise(k.task.mmOrDie, b + H, H, MADV_COLLAPSE))).toBe(-EINVAL);
  expect(k.load(b + H)).toBe(2);
});

test('do pages of a huge page go to consecutive slots of the swap device', () => {
  const swapped = new KernelWorld({ swapPages: 8 });
  swapped.world.thp = THP_MADVISE;
  const at = swapped.map(4, RW, 0x40000);
  const mm = swapped.task.mmOrDie;
  swapped.run(doMadvise(mm, at, H, MADV_HUGEPAGE));
  swapped.store(at, 1);
  expect(swapped.run(doMadvise(mm, at, H, MADV_PAGEOUT))).toBe(0);
  const slots = [0, 1, 2, 3].map((i) => swpOffset(peekPte(mm, at + i * P)));
  expect(slots).toEqual([1, 2, 3, 4]);
  expect([swapped.load(at), swapped.load(at + P)]).toEqual([1, 0]);
  expect([swapped.wrong(), swapped.leaked()]).toEqual([null, null]);
});

test('does every page of a huge page count as an entry for whoever looks', () => {
  k.store(a, 1);
  let entries = 0;
  forEachPte(k.task.mmOrDie, () => entries++);
  expect(entries).toBe(4);
});

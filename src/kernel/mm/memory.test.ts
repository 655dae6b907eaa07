// The fault path under every schedule, whole and with each of its re-validations taken away.
import { expect, test } from 'vitest';
import { exploreKernel, type Found } from '../../../test/explore-kernel.ts';
import { type KernelWorld, RW } from '../../../test/kernel-world.ts';
import { machine } from '../../machine/current.ts';
import type { Steps } from '../../sched/op.ts';
import { forkTask } from '../core/create.ts';
import type { Task } from '../core/task.ts';
import type { AnyFunction } from '../seam.ts';
import { type Overrides, override, type Seam, stackPatches } from '../seam.ts';
import { mmput } from './exit-mmap.ts';
import { slotSameAfterCopy, slotSameBeforeWp } from './memory.ts';
import {
  lockVmaUnderRcu,
  mmapReadLock,
  mmapReadUnlock,
  vmaLookup,
  vmaStillThere,
} from './mmap-lock.ts';
import { doMunmap } from './munmap.ts';
import { userLoad, userStore } from './user-access.ts';
import { slotSameOnInstall } from './vmf.ts';
import { zapPageRange } from './zap.ts';

const P = 4096;

function* store(task: Task, address: number, value: number): Steps<void> {
  yield* userStore(task, address, 1, value);
}

function without<F extends AnyFunction>(seam: Seam<F>): Overrides {
  const yes = ((): boolean => true) as AnyFunction as F;
  const table = stackPatches([
    {
      name: 'removed',
      title: `${seam.seamName} removed`,
      reference: '',
      versions: 'none',
      overrides: [override(seam, () => yes)],
    },
  ]);
  if (table === null || typeof table === 'string') throw new Error(String(table));
  return table;
}

function clean(found: Found): void {
  expect([...found.errors]).toEqual([]);
  expect(found.exhausted).toBe(true);
}

/** Two threads write different bytes of one untouched page. */
function firstTouch(k: KernelWorld) {
  const a = k.map(1);
  return {
    threads: [(t: Task) => store(t, a, 1), (t: Task) => store(t, a + 1, 2)],
    outcome: () => `${k.load(a)} frames=${machine.frames.inUse}`,
  };
}

test('two threads that touch a page first make one page, lose no write and no frame', () => {
  const found = exploreKernel(firstTouch);
  clean(found);
  expect([...found.outcomes.keys()]).toEqual([`${0x0201} frames=1`]);
});

test('source-DPOR sees the same outcomes as every interleaving of two reads', () => {
  const reads = (k: KernelWorld) => {
    const a = k.map(1);
    const seen: string[] = ['', ''];
    const load = (i: number) =>
      function* (t: Task): Steps<void> {
        const value = yield* userLoad(t, a, 1);
        seen[i] = String(value);
      };
    return { threads: [load(0), load(1)], outcome: () => seen.join(' ') };
  };
  const dpor = exploreKernel(reads);
  clean(dpor);
  expect([...dpor.outcomes.keys()]).toEqual(['0 0']);
});

test('without per-VMA locks (before 6.4) the outcomes are the same, under mmap_lock', () => {
  const overrides = stackPatches([
    {
      name: 'no-vma-locks',
      title: 'faults take mmap_lock',
      reference: '',
      versions: '<6.4',
      overrides: [
        override(
          lockVmaUnderRcu,
          () =>
            function* () {
              return null;
            },
        ),
      ],
    },
  ]);
  if (typeof overrides === 'string') throw new Error(overrides);
  const found = exploreKernel(firstTouch, { overrides });
  clean(found);
  expect([...found.outcomes.keys()]).toEqual([`${0x0201} frames=1`]);
});

/** A write to the zero page against a thread that writes another byte. */
function writeAfterRead(k: KernelWorld) {
  const a = k.map(1);
  k.load(a);
  return {
    threads: [(t: Task) => store(t, a, 1), (t: Task) => store(t, a + 1, 2)],
    outcome: () => String(k.load(a)),
  };
}

test('two threads that write over the zero page share one copy', () => {
  const found = exploreKernel(writeAfterRead);
  clean(found);
  expect([...found.outcomes.keys()]).toEqual([String(0x0201)]);
});

/** A write against the zapping of the page. */
function writeAgainstZap(k: KernelWorld) {
  const a = k.map(1);
  k.store(a, 7);
  const mm = k.task.mmOrDie;
  return {
    threads: [
      (t: Task) => store(t, a + 1, 1),
      function* (): Steps<void> {
        yield* mmapReadLock(mm);
        const vma = vmaLookup(mm, a);
        if (vma !== null) yield* zapPageRange(vma, a, a + P, { dropMarker: false });
        mmapReadUnlock(mm);
      },
    ],
    outcome: () => String(k.load(a)),
  };
}

test('a write against a zap leaves zero, or the write alone', () => {
  const found = exploreKernel(writeAgainstZap);
  clean(found);
  expect([...found.outcomes.keys()].sort()).toEqual(['0', String(0x0100)]);
});

/** A write against MADV_DONTNEED of a whole table, which frees the table too. */
function writeAgainstReclaim(touched: boolean) {
  return (k: KernelWorld) => {
    const a = k.map(4, RW, 0x20000);
    if (touched) k.store(a, 7);
    else k.load(a + P);
    const mm = k.task.mmOrDie;
    return {
      threads: [
        (t: Task) => store(t, a + 1, 1),
        function* (): Steps<void> {
          yield* mmapReadLock(mm);
          const vma = vmaLookup(mm, a);
          const details = { dropMarker: false, reclaimPt: true };
          if (vma !== null) yield* zapPageRange(vma, a, a + 4 * P, details);
          mmapReadUnlock(mm);
        },
      ],
      outcome: () => String(k.load(a)),
    };
  };
}

test.each([true, false])('a table freed under a fault is noticed (page touched: %s)', (touched) => {
  const found = exploreKernel(writeAgainstReclaim(touched));
  clean(found);
  expect([...found.outcomes.keys()].sort()).toEqual(['0', String(0x0100)]);
});

/** A write against munmap of the page, with a neighbour that stays. */
function writeAgainstMunmap(k: KernelWorld) {
  const a = k.map(2);
  const mm = k.task.mmOrDie;
  let end = '';
  return {
    threads: [
      function* (t: Task): Steps<void> {
        const signal = yield* userStore(t, a, 1, 1);
        end = signal === null ? 'stored' : `${signal.signal} ${signal.code}`;
      },
      function* (): Steps<void> {
        yield* doMunmap(mm, a, P);
      },
    ],
    outcome: () => `${end}, then ${k.load(a)}`,
  };
}

test('a write against munmap is stored or raises SIGSEGV; the page is gone either way', () => {
  const found = exploreKernel(writeAgainstMunmap);
  clean(found);
  expect([...found.outcomes.keys()].sort()).toEqual(['SEGV 1, then SEGV 1', 'stored, then SEGV 1']);
});

/** fork in one thread, a write in another. */
function forkAgainstWrite(k: KernelWorld) {
  const a = k.map(1);
  k.store(a, 1);
  let child: Task | null = null;
  return {
    threads: [
      function* (t: Task): Steps<void> {
        const made = yield* forkTask(t, { name: 'child', hart: 3, owner: 3 });
        if (typeof made !== 'number') child = made;
      },
      (t: Task) => store(t, a, 2),
    ],
    outcome: () => `parent ${k.load(a)} child ${child === null ? '-' : k.load(a, child)}`,
  };
}

test('fork against a write: the child sees the old or the new value, the parent the new one', () => {
  const found = exploreKernel(forkAgainstWrite);
  clean(found);
  expect([...found.outcomes.keys()].sort()).toEqual(['parent 2 child 1', 'parent 2 child 2']);
});

/** Parent and child write a page that they share. */
function bothSharersWrite(k: KernelWorld) {
  const a = k.map(1);
  k.store(a, 1);
  const child = k.fork(k.task, 4);
  return {
    threads: [(t: Task) => store(t, a, 2), () => store(child, a, 3)],
    outcome: () => `parent ${k.load(a)} child ${k.load(a, child)}`,
  };
}

test('both sharers write: each keeps its own value, and no frame is left over', () => {
  const found = exploreKernel(bothSharersWrite);
  clean(found);
  expect([...found.outcomes.keys()]).toEqual(['parent 2 child 3']);
});

/** One sharer writes while the other exits. */
function writeAgainstExit(k: KernelWorld) {
  const a = k.map(1);
  k.store(a, 1);
  const child = k.fork(k.task, 4);
  return {
    threads: [
      (t: Task) => store(t, a, 2),
      function* (): Steps<void> {
        yield* mmput(child.mmOrDie);
        child.mm = null;
      },
    ],
    outcome: () => `${k.load(a)} frames=${machine.frames.inUse}`,
  };
}

test('a write while the sharer exits reuses the page or copies it, and leaks neither', () => {
  const found = exploreKernel(writeAgainstExit);
  clean(found);
  expect([...found.outcomes.keys()]).toEqual(['2 frames=1']);
});

/** Two threads of the parent write a page shared with a child that does nothing. */
function twoWritersOfShared(k: KernelWorld) {
  const a = k.map(1);
  k.store(a, 1);
  k.fork(k.task, 4);
  return {
    threads: [(t: Task) => store(t, a, 2), (t: Task) => store(t, a + 1, 3)],
    outcome: () => String(k.load(a)),
  };
}

test('two writers of a shared page end up on one copy', () => {
  const found = exploreKernel(twoWritersOfShared);
  clean(found);
  expect([...found.outcomes.keys()]).toEqual([String(0x0302)]);
});

test.each([
  ['a write against a zap', writeAgainstZap],
  ['fork against a write', forkAgainstWrite],
  ['both sharers', bothSharersWrite],
  ['two writers of a shared page', twoWritersOfShared],
] as const)('%s: every interleaving tried one by one ends as DPOR says', (_name, scene) => {
  const options = { maxExecutions: 800 };
  const dfs = exploreKernel(scene as never, { ...options, strategy: 'dfs' });
  const dpor = exploreKernel(scene as never, options);
  expect([...dfs.errors]).toEqual([]);
  for (const outcome of dfs.outcomes.keys()) expect([...dpor.outcomes.keys()]).toContain(outcome);
});

/** Shows in a check, a lost write, or a hang. */
function caught(scene: (k: KernelWorld) => ReturnType<typeof firstTouch>, overrides: Overrides) {
  const whole = exploreKernel(scene);
  const broken = exploreKernel(scene, { overrides });
  const known = new Set(whole.outcomes.keys());
  return broken.errors.size > 0 || [...broken.outcomes.keys()].some((o) => !known.has(o));
}

test.each([
  [slotSameOnInstall.seamName, firstTouch, without(slotSameOnInstall)],
  [slotSameBeforeWp.seamName, twoWritersOfShared, without(slotSameBeforeWp)],
  [slotSameAfterCopy.seamName, twoWritersOfShared, without(slotSameAfterCopy)],
  [vmaStillThere.seamName, writeAgainstMunmap, without(vmaStillThere)],
] as const)('without %s something breaks', (_name, scene, overrides) => {
  expect(caught(scene as never, overrides)).toBe(true);
});

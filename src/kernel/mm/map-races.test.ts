// The memory calls and faults of several threads on the same few pages, under random schedules, with every invariant
// looked at after every step. A seed that fails is printed by the assertion.
import { expect, test } from 'vitest';
import { KernelWorld, RW } from '../../../test/kernel-world.ts';
import { Prng } from '../../base/prng.ts';
import type { Steps } from '../../sched/op.ts';
import type { Oracle } from '../../sched/sched.ts';
import { MADV_DONTNEED, PROT_READ } from '../../uapi/mman.ts';
import { runStepChecks } from '../check/table.ts';
import { createThread } from '../core/create.ts';
import type { Task } from '../core/task.ts';
import { enterWorld } from '../current.ts';
import { type Override, type Overrides, override, stackPatches } from '../seam.ts';
import { doMadvise } from './madvise.ts';
import { doMmap } from './mmap.ts';
import { vmaStillThere } from './mmap-lock.ts';
import { doMprotect } from './mprotect.ts';
import { doMunmap } from './munmap.ts';
import { flushTlbRange } from './tlb.ts';
import { userLoad, userStore } from './user-access.ts';
import { tableStillEmpty } from './zap.ts';

const P = 4096;
const B = 0x200000;
const PAGES = 8;
const FIXED = 0x32;

/** One random call or access, on a random part of the pages. */
function* act(task: Task, prng: Prng): Steps<void> {
  const mm = task.mmOrDie;
  const page = prng.below(PAGES);
  const count = 1 + prng.below(PAGES - page);
  const [address, length] = [B + page * P, count * P];
  switch (prng.below(8)) {
    case 0:
      yield* doMunmap(mm, address, length);
      return;
    case 1:
    case 2:
      yield* doMmap(mm, { address, length, prot: RW, flags: FIXED });
      return;
    case 3:
      yield* doMprotect(mm, address, length, PROT_READ);
      return;
    case 4:
      yield* doMprotect(mm, address, length, RW);
      return;
    case 5:
      yield* doMadvise(mm, address, length, MADV_DONTNEED);
      return;
    case 6:
      yield* userLoad(task, address, 4);
      return;
    default:
      yield* userStore(task, address, 4, page);
  }
}

function* life(task: Task, prng: Prng, acts: number): Steps<void> {
  for (let i = 0; i < acts; i++) yield* act(task, prng);
}

function runOnce(seed: number, overrides: Overrides | null = null): number {
  const k = new KernelWorld({ exploring: true, overrides });
  const { sched } = k.world;
  k.map(PAGES, RW, B);
  for (let i = 0; i < 3; i++) {
    const task = createThread(k.task, { name: `t${i}`, hart: i, owner: i });
    task.thread = sched.spawn(task.name, life(task, new Prng(seed * 3 + i), 6));
    k.world.taskOfThread.set(task.thread.id, task);
  }
  sched.spawn('rcu', k.world.rcu.actor(), true);
  const prng = new Prng(seed);
  const oracle: Oracle = {
    pick: (_sched, enabled) => enabled[prng.below(enabled.length)] ?? null,
    choose: (_sched, _thread, op) => prng.below(op.choices),
    stepped: () => undefined,
  };
  sched.afterStep = () => {
    const broken = runStepChecks(k.world);
    if (broken !== null) throw new Error(`seed ${seed}: ${broken.name}: ${broken.wrong}`);
  };
  enterWorld(k.world);
  expect(sched.execute(oracle, 20_000), `seed ${seed}`).toBe('done');
  const { steps } = sched;
  sched.afterStep = null;
  expect(k.wrong(), `seed ${seed}`).toBeNull();
  expect(k.leaked(), `seed ${seed}`).toBeNull();
  return steps;
}

test('no schedule of maps, unmaps, protections and accesses breaks an invariant', () => {
  let steps = 0;
  for (let seed = 1; seed <= 300; seed++) steps += runOnce(seed);
  expect(steps).toBeGreaterThan(10_000);
});

/** The sentence of the first seed in which something breaks, or null. */
function brokenBy(over: Override): string | null {
  const overrides = stackPatches([
    { name: 'mutation', title: '', reference: '', versions: '', overrides: [over] },
  ]);
  if (typeof overrides === 'string') throw new Error(overrides);
  for (let seed = 1; seed <= 2000; seed++) {
    try {
      runOnce(seed, overrides);
    } catch (error) {
      return String(error);
    }
  }
  return null;
}

test('freeing an emptied table without looking again loses the page of a fault', () => {
  expect(brokenBy(override(tableStillEmpty, () => () => true))).toMatch(
    /page table \d+ freed with entry/,
  );
});

test('without the second look at the VMA, a fault lands in what another thread unmapped', () => {
  expect(brokenBy(override(vmaStillThere, () => () => true))).toMatch(
    /rmap: frame|entries-in-vmas/,
  );
});

test("without the flush, a hart reaches pages that are somebody else's", () => {
  const never = override(flushTlbRange, () => function* (): Steps<void> {});
  expect(brokenBy(never)).toMatch(/tlb: hart \d reaches free frame|still maps/);
});

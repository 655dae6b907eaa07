/**
 * What mmap, mprotect and munmap cost as the number of mappings grows: it should hardly grow at all. And what fork, and
 * munmap of the whole range, cost a mapping, in a thread that holds the locks of them all.
 *
 * `npm run build`, then `node dist/bench/mmap.js` in the repository.
 * Prints microseconds a call (processor time of this process), with so many mappings of one page in place.
 */
import { createProcess } from '../src/kernel/core/create.ts';
import { enterWorld } from '../src/kernel/current.ts';
import { mmput } from '../src/kernel/mm/exit-mmap.ts';
import { dupMm } from '../src/kernel/mm/fork.ts';
import { doMmap } from '../src/kernel/mm/mmap.ts';
import { doMprotect } from '../src/kernel/mm/mprotect.ts';
import { doMunmap } from '../src/kernel/mm/munmap.ts';
import { World } from '../src/kernel/world.ts';
import { PAGE_SIZE as P, REAL_GEOMETRY } from '../src/machine/geometry.ts';
import type { Steps } from '../src/sched/op.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE } from '../src/uapi/mman.ts';

const B = 0x10000000;
const CALLS = 20_000;
const AP = MAP_PRIVATE | MAP_ANONYMOUS;

const world = new World({
  geometry: { ...REAL_GEOMETRY, frames: 1024 },
  harts: 1,
  exploring: false,
  overrides: null,
});
enterWorld(world);
const task = createProcess(world, { name: 'bench', hart: 0, owner: 0 });
world.setupTask = task;
world.sysctl.maxMapCount = 10_000_000;
const mm = task.mmOrDie;

function run(steps: Steps<number>): number {
  const result = world.sched.runAlone(steps);
  if (result < 0) throw new Error(`errno ${-result}`);
  return result;
}

/** Microseconds a round of `round`, which makes `calls` calls. */
function measure(calls: number, round: (i: number) => void): string {
  const began = process.cpuUsage();
  for (let i = 0; i < CALLS; i++) round(i);
  const used = process.cpuUsage(began);
  return ((used.user + used.system) / CALLS / calls).toFixed(2).padStart(10);
}

/** Runs steps in a thread, as programs do: only there are locks checked. Microseconds a mapping. */
function inThread(steps: () => Steps<unknown>): string {
  const count = mm.mapCount;
  const began = process.cpuUsage();
  const thread = world.sched.spawn('bench', steps);
  world.taskOfThread.set(thread.id, task);
  world.sched.execute({ pick: () => thread, choose: () => 0, stepped: () => undefined }, 1e9);
  const used = process.cpuUsage(began);
  return ((used.user + used.system) / count).toFixed(2).padStart(10);
}

console.log(
  '  mappings   mmap+munmap  placed    split+merge   (us a call)  fork  munmap  (us a mapping)',
);
let mapped = 0;
for (const target of [10, 1000, 30_000, 100_000, 1_000_000]) {
  for (; mapped < target; mapped++) {
    run(doMmap(mm, { address: B + 2 * mapped * P, length: P, prot: 3, flags: AP | MAP_FIXED }));
  }
  const spot = (i: number): number => B + 2 * ((i * 7919) % mapped) * P + P;
  const fixed = measure(2, (i) => {
    const address = spot(i);
    run(doMmap(mm, { address, length: P, prot: 1, flags: AP | MAP_FIXED }));
    run(doMunmap(mm, address, P));
  });
  const placed = measure(2, () => {
    const address = run(doMmap(mm, { address: 0, length: 3 * P, prot: 1, flags: AP }));
    run(doMunmap(mm, address, 3 * P));
  });
  const big = run(doMmap(mm, { address: 0, length: 3 * P, prot: 3, flags: AP }));
  const protect = measure(2, () => {
    run(doMprotect(mm, big + P, P, 1));
    run(doMprotect(mm, big + P, P, 3));
  });
  run(doMunmap(mm, big, 3 * P));
  const row = `${String(mm.mapCount).padStart(10)} ${fixed}  ${placed}  ${protect}`;
  if (target > 100_000) {
    console.log(row);
    continue;
  }
  const fork = inThread(function* () {
    const child = yield* dupMm(mm);
    if (typeof child === 'number') throw new Error(`errno ${-child}`);
    yield* mmput(child);
  });
  const unmap = inThread(() => doMunmap(mm, B, 2 * mapped * P));
  mapped = 0;
  console.log(`${row} ${fork}  ${unmap}`);
}

/**
 * What memory costs: the price of a first-touch fault as more and more pages are resident (it should stay flat), bytes of
 * metadata a frame (at most 64), and what this process grows by when a guest maps 1 TiB and touches a page in each GiB
 * (less than 50 MiB, beyond a kernel that does nothing).
 *
 * `npm run build`, then `node --expose-gc dist/bench/memory.js` in the repository. Prints microseconds a fault (processor time of
 * this process) and their ratio to the first row; sizes in MiB.
 */
import { createProcess } from '../src/kernel/core/create.ts';
import { enterWorld } from '../src/kernel/current.ts';
import { doMmap } from '../src/kernel/mm/mmap.ts';
import { userStore } from '../src/kernel/mm/user-access.ts';
import { World } from '../src/kernel/world.ts';
import { metaBytes } from '../src/machine/frames.ts';
import { PAGE_SIZE, REAL_GEOMETRY } from '../src/machine/geometry.ts';
import type { Steps } from '../src/sched/op.ts';
import { MAP_ANONYMOUS, MAP_NORESERVE, MAP_PRIVATE } from '../src/uapi/mman.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const RESIDENT = [1000, 10_000, 50_000, 100_000, 250_000, 500_000];
/** Faults that are measured at each size, a stretch at a time; the fastest counts. */
const STRETCH = 1000;
const STRETCHES = 7;

/** A kernel with one process, and how to touch pages of a mapping in it. */
function machineWith(frames: number): {
  map: (bytes: number) => number;
  touch: (at: number, step: number, n: number) => void;
} {
  const geometry = { ...REAL_GEOMETRY, frames };
  const world = new World({ geometry, harts: 1, exploring: false, overrides: null });
  enterWorld(world);
  const task = createProcess(world, { name: 'bench', hart: 0, owner: 0 });
  world.setupTask = task;
  const run = <T>(steps: Steps<T>): T => world.sched.runAlone(steps);
  const map = (length: number): number => {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const at = run(doMmap(task.mmOrDie, { address: 0, length, prot: 3, flags }));
    if (at < 0) throw new Error(`mmap: errno ${-at}`);
    return at;
  };
  function* stores(at: number, step: number, n: number): Steps<void> {
    for (let i = 0; i < n; i++) {
      if ((yield* userStore(task, at + i * step, 1, 1)) !== null) throw new Error('a store failed');
    }
  }
  return { map, touch: (at, step, n) => run(stores(at, step, n)) };
}

function cpuMicroseconds(body: () => void): number {
  const began = process.cpuUsage();
  body();
  const used = process.cpuUsage(began);
  return used.user + used.system;
}

function faultCurve(): void {
  // Code is compiled before anything is measured.
  const before = machineWith(50_000);
  before.touch(before.map(GIB), PAGE_SIZE, 40_000);
  const frames = 700_000;
  const { map, touch } = machineWith(frames);
  const area = map(frames * PAGE_SIZE);
  let resident = 0;
  const more = (n: number): void => {
    touch(area + resident * PAGE_SIZE, PAGE_SIZE, n);
    resident += n;
  };
  more(RESIDENT[0] ?? 0);
  let first = 0;
  console.log('  resident pages   us a fault   of the first');
  for (const target of RESIDENT) {
    if (target > resident) more(target - resident);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < STRETCHES; i++) {
      best = Math.min(best, cpuMicroseconds(() => more(STRETCH)) / STRETCH);
    }
    first ||= best;
    const cells = [String(target).padStart(16), best.toFixed(2).padStart(12)];
    console.log(`${cells.join(' ')} ${(best / first).toFixed(2).padStart(14)}`);
  }
}

/** What this process has in memory, once garbage is gone. */
function residentBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss;
}

function tebibyte(): void {
  const { map, touch } = machineWith(REAL_GEOMETRY.frames);
  // Code is compiled, and buffers are there, before anything is measured.
  touch(map(GIB), PAGE_SIZE, 1);
  const before = residentBytes();
  touch(map(1024 * GIB), GIB, 1024);
  const grown = residentBytes() - before;
  console.log(
    `\n1 TiB mapped, a page touched in each GiB: ${(grown / MIB).toFixed(1)} MiB beyond an idle kernel`,
  );
}

tebibyte();
console.log(`metadata: ${metaBytes(REAL_GEOMETRY) / REAL_GEOMETRY.frames} bytes a frame\n`);
faultCurve();

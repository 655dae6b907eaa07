/**
 * How fast a page fault is when nobody explores: first-touch writes to private anonymous memory through the library,
 * against the real kernel of this machine (bench/fault.c, built with gcc), in one run, because only ratios from one run
 * can be compared. Prints faults per second of both and their ratio.
 *
 * Build with `npx tsc -p tsconfig.test.json --noEmit false --outDir DIR`, run `node DIR/bench/fault.js` in the repository.
 * Arguments: pages a round (default 65536), rounds (default 5; the median counts).
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProcess } from '../src/kernel/core/create.ts';
import type { Task } from '../src/kernel/core/task.ts';
import { enterWorld } from '../src/kernel/current.ts';
import { doMmap } from '../src/kernel/mm/mmap.ts';
import { doMunmap } from '../src/kernel/mm/munmap.ts';
import { userStore } from '../src/kernel/mm/user-access.ts';
import { World } from '../src/kernel/world.ts';
import { PAGE_SIZE, REAL_GEOMETRY } from '../src/machine/geometry.ts';
import type { Steps } from '../src/sched/op.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../src/uapi/mman.ts';

const pages = Number(process.argv[2] ?? 65_536);
const rounds = Number(process.argv[3] ?? 5);

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Seconds per fault, a figure for each round. */
function native(): number[] {
  const dir = mkdtempSync(join(tmpdir(), 'faultline-'));
  try {
    const program = join(dir, 'fault');
    execFileSync('gcc', ['-O2', '-Wall', '-o', program, 'bench/fault.c']);
    const out = execFileSync(program, [String(pages), String(rounds)], { encoding: 'utf8' });
    return out.trim().split('\n').map(Number);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function* touchAll(task: Task, start: number): Steps<number> {
  let bad = 0;
  for (let i = 0; i < pages; i++) {
    if ((yield* userStore(task, start + i * PAGE_SIZE, 1, 1)) !== null) bad++;
  }
  return bad;
}

function ours(): number[] {
  const world = new World({ geometry: REAL_GEOMETRY, harts: 1, exploring: false, overrides: null });
  enterWorld(world);
  const task = createProcess(world, { name: 'bench', hart: 0, owner: 0 });
  const mm = task.mmOrDie;
  const length = pages * PAGE_SIZE;
  const [prot, flags] = [PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS];
  const seconds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = world.sched.runAlone(doMmap(mm, { address: 0, length, prot, flags }));
    if (start < 0) throw new Error(`mmap: ${start}`);
    const began = performance.now();
    const bad = world.sched.runAlone(touchAll(task, start));
    seconds.push((performance.now() - began) / 1000 / pages);
    if (bad > 0) throw new Error(`${bad} stores failed`);
    world.sched.runAlone(doMunmap(mm, start, length));
  }
  return seconds;
}

const [real, model] = [median(native()), median(ours())];
const rate = (seconds: number): string => `${Math.round(1 / seconds).toLocaleString('en')}/s`;
console.log(`first-touch write faults, ${pages} pages, median of ${rounds} rounds`);
console.log(`this machine's kernel   ${rate(real)}`);
console.log(`faultline               ${rate(model)}`);
console.log(`ratio                   ${(real / model).toFixed(3)}`);

/**
 * How fast a page fault is when nobody explores: first-touch writes to private anonymous memory through the library,
 * against the real kernel of this machine (bench/fault.c, built with gcc), in one run, because only ratios from one run
 * can be compared. Prints faults per second of both and their ratio.
 *
 * `npm run build`, then `node dist/bench/fault.js` in the repository.
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

/** Builds the C program; what comes back runs one round of it: seconds per fault. */
function native(dir: string): () => number {
  const program = join(dir, 'fault');
  execFileSync('gcc', ['-O2', '-Wall', '-o', program, 'bench/fault.c']);
  return () => Number(execFileSync(program, [String(pages), '1'], { encoding: 'utf8' }));
}

function* touchAll(task: Task, start: number): Steps<number> {
  let bad = 0;
  for (let i = 0; i < pages; i++) {
    if ((yield* userStore(task, start + i * PAGE_SIZE, 1, 1)) !== null) bad++;
  }
  return bad;
}

/** One process that lives through all rounds; what comes back runs one: seconds per fault. */
function ours(): () => number {
  const world = new World({ geometry: REAL_GEOMETRY, harts: 1, exploring: false, overrides: null });
  enterWorld(world);
  const task = createProcess(world, { name: 'bench', hart: 0, owner: 0 });
  const mm = task.mmOrDie;
  const length = pages * PAGE_SIZE;
  const [prot, flags] = [PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS];
  return () => {
    const start = world.sched.runAlone(doMmap(mm, { address: 0, length, prot, flags }));
    if (start < 0) throw new Error(`mmap: ${start}`);
    const began = performance.now();
    const bad = world.sched.runAlone(touchAll(task, start));
    const seconds = (performance.now() - began) / 1000 / pages;
    if (bad > 0) throw new Error(`${bad} stores failed`);
    world.sched.runAlone(doMunmap(mm, start, length));
    return seconds;
  };
}

const dir = mkdtempSync(join(tmpdir(), 'faultline-'));
const [real, model]: [number[], number[]] = [[], []];
try {
  // Round by round, so that what else the machine does slows both.
  const [runReal, runModel] = [native(dir), ours()];
  for (let round = 0; round < rounds; round++) {
    real.push(runReal());
    model.push(runModel());
  }
} finally {
  rmSync(dir, { recursive: true });
}
const rate = (seconds: number): string => `${Math.round(1 / seconds).toLocaleString('en')}/s`;
const ratio = median(real.map((seconds, round) => seconds / (model[round] ?? Number.NaN)));
console.log(`first-touch write faults, ${pages} pages, median of ${rounds} rounds`);
console.log(`this machine's kernel   ${rate(median(real))}`);
console.log(`faultline               ${rate(median(model))}`);
console.log(`ratio                   ${ratio.toFixed(3)}`);

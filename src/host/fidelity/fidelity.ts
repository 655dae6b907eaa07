/**
 * Differential runs: random programs performed in Faultline and on the kernel that runs, compared operation by
 * operation (docs/fidelity.md). What differs five times out of five is a divergence; what does not repeat is unstable.
 */
import { at } from '../../base/assert.ts';
import { Prng } from '../../base/prng.ts';
import { compare, type Divergence } from './compare.ts';
import type { Family } from './families.ts';
import { type GenerateOptions, randomProgram } from './generate.ts';
import { type LiveKernel, UNFINISHED } from './live.ts';
import { performInModel } from './model.ts';
import type { Program, Transcript } from './operations.ts';
import { shrink } from './shrink.ts';
import { within } from './within.ts';

/** Fresh processes in which a divergence must show every time. */
const REPEATS = 5;
/** Programs the executor gets at once. */
const BATCH = 64;
/** A thousand times what the model needs for a program. */
const MODEL_MS = 20_000;

export interface FidelityOptions {
  readonly programs: number;
  readonly operations: number;
  readonly seed: number;
  readonly families: readonly Family[];
  readonly without?: ReadonlySet<string>;
  /** Stop after so many divergences. */
  readonly limit: number;
  /** Told after each batch how many programs are done. */
  readonly progress?: (done: number) => void;
}

/** A divergence with the program that shows it, shrunk. */
export interface Found {
  /** `--seed` that draws the program first. */
  readonly seed: number;
  readonly program: Program;
  readonly divergence: Divergence;
}

export interface FidelityReport {
  readonly programs: number;
  readonly operations: number;
  /** Programs compared only up to a call that the model does not have (ENOSYS). */
  readonly cut: readonly Found[];
  /** Divergences of the same operations and kind as one that is listed. */
  readonly again: number;
  readonly divergences: readonly Found[];
  readonly unstable: readonly Found[];
  /** Programs that the machine was too busy to perform: neither the same nor different. */
  readonly unfinished: number;
  /** Programs with an operation that never ends, on both sides. */
  readonly stopped: number;
}

export function runFidelity(kernel: LiveKernel, options: FidelityOptions): FidelityReport {
  const { programs, operations, seed, families } = options;
  const generate: GenerateOptions = {
    operations,
    families,
    without: options.without ?? new Set<string>(),
  };
  const divergences: Found[] = [];
  const shapes = new Set<string>();
  const unstable: Found[] = [];
  const cut: Found[] = [];
  let [done, performed, again, unfinished, stopped] = [0, 0, 0, 0, 0];
  while (done < programs && divergences.length < options.limit) {
    const first = seed + done;
    const batch = Array.from({ length: Math.min(BATCH, programs - done) }, (_, i) =>
      randomProgram(new Prng(first + i), generate),
    );
    for (const [i, live] of kernel.perform(batch).entries()) {
      const program = at(batch, i);
      performed += program.length;
      if (live.at(-1) === UNFINISHED) {
        unfinished++;
        continue;
      }
      const divergence = compare(live, modelOf(program));
      if (divergence === null) {
        if (live.at(-1)?.startsWith('stops') === true) stopped++;
        continue;
      }
      if (divergence.unmodelled) cut.push({ seed: first + i, program, divergence });
      else if (!repeats(kernel, program)) unstable.push({ seed: first + i, program, divergence });
      else if (divergences.length < options.limit) {
        const found = shrunk(kernel, first + i, program);
        const shape = `${found.program.map(({ op }) => op)} ${found.divergence.what}`;
        if (!shapes.has(shape)) divergences.push(found);
        else again++;
        shapes.add(shape);
      }
    }
    done += batch.length;
    options.progress?.(done);
  }
  return {
    programs: done,
    operations: performed,
    cut,
    again,
    divergences,
    unstable,
    unfinished,
    stopped,
  };
}

/** What the model says; a line that no kernel says when it does not end. */
export function modelOf(program: Program): Transcript {
  return within(MODEL_MS, () => performInModel(program)) ?? ['the model does not end'];
}

/** Whether a program differs from the model in every one of so many fresh processes. */
function repeats(kernel: LiveKernel, program: Program): boolean {
  const model = modelOf(program);
  const runs = kernel.perform(new Array<Program>(REPEATS).fill(program));
  return runs.every((live) => live.at(-1) !== UNFINISHED && differs(compare(live, model)));
}

function shrunk(kernel: LiveKernel, seed: number, program: Program): Found {
  const smallest = shrink(program, (candidates) => {
    const lives = kernel.perform(candidates);
    return candidates.map((candidate, i) => differs(compare(at(lives, i), modelOf(candidate))));
  });
  const [live] = kernel.perform([smallest]);
  const divergence = compare(live ?? [], modelOf(smallest));
  return divergence === null
    ? { seed, program, divergence: noLonger(program) }
    : { seed, program: smallest, divergence };
}

function differs(divergence: Divergence | null): boolean {
  return divergence !== null && !divergence.unmodelled;
}

function noLonger(program: Program): Divergence {
  const nothing = '(did not show again while shrinking)';
  return {
    operation: program.length,
    what: 'end',
    live: nothing,
    model: nothing,
    unmodelled: false,
  };
}

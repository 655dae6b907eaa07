/** Where two transcripts of a program part. */
import type { Program, Transcript } from './operations.ts';
import { describe } from './operations.ts';

export interface Divergence {
  /** The operation after which they differ; the program's length for final states. */
  readonly operation: number;
  /** What differs: `result`, `files`, `mappings`, `pagemap`, `data`, `integrity`, `end`. */
  readonly what: string;
  readonly live: string;
  readonly model: string;
  /** The model does not have this call yet: not a divergence, but the end of what can be compared. */
  readonly unmodelled: boolean;
}

const NOT_MODELLED: ReadonlySet<string> = new Set(['= -38', 'H -38']);

const KINDS: Readonly<Record<string, string>> = {
  '=': 'result',
  H: 'helper',
  V: 'mappings',
  P: 'pagemap',
  F: 'data',
  D: 'files',
  i: 'integrity',
};

/** The first difference, or null. */
export function compare(live: Transcript, model: Transcript): Divergence | null {
  let operation = -1;
  for (let i = 0; i < Math.max(live.length, model.length); i++) {
    const theirs = live[i] ?? '(nothing)';
    const ours = model[i] ?? '(nothing)';
    if (theirs.startsWith('=') || ours.startsWith('=') || theirs.startsWith('F')) operation++;
    if (theirs !== ours) {
      const letter = ours.startsWith('i') ? 'i' : (theirs[0] ?? '');
      const unmodelled = NOT_MODELLED.has(ours);
      return { operation, what: KINDS[letter] ?? 'end', live: theirs, model: ours, unmodelled };
    }
  }
  return null;
}

/** A divergence in a few lines. */
export function explain(program: Program, divergence: Divergence): string {
  const { operation, what, live, model } = divergence;
  const where = program[operation];
  return [
    ...program.map((op, i) => `${i === operation ? '>' : ' '} ${describe(op)}`),
    `${what}${where === undefined ? ' at the end' : ''}:`,
    `  kernel: ${live}`,
    `  model:  ${model}`,
  ].join('\n');
}

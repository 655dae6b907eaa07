/** What the verbs of the language have in common: their operands, looked at with messages that name the usage. */
import type { Operand, Pos } from './ast.ts';
import type { Call } from './calls.ts';
import { didYouMean, LitmusError } from './error.ts';
import { evalOf, type Range, rangeOf } from './operands.ts';
import type { Scope, Strand } from './scope.ts';
import type { RunState } from './state.ts';

export interface VerbContext {
  readonly scope: Scope;
  readonly strand: Strand;
  readonly operands: readonly Operand[];
  readonly pos: Pos;
}

export interface Verb {
  /** One line for error messages and the manual. */
  readonly usage: string;
  readonly compile: (c: VerbContext) => Call;
}

/** The operand at an index, or the verb's usage as an error. */
export function want(c: VerbContext, index: number, what: string, usage: string): Operand {
  const operand = c.operands[index];
  if (operand !== undefined) return operand;
  throw new LitmusError(`${nameIn(usage)} wants ${what}`, c.pos, usage);
}

/** Pages of the process that looks at them. */
export function ownRange(c: VerbContext, operand: Operand): Range {
  const { kind } = operand;
  const name = kind === 'place' ? operand.region : kind === 'word' ? operand.name : '';
  const region = c.scope.regions.get(name);
  if (region !== undefined && region.process !== c.strand.process) {
    const where = region.process === null ? 'the main process' : `process ${region.process}`;
    const hint = 'a thread sees the memory of its own process';
    throw new LitmusError(`${name} is mapped in ${where}`, operand.pos, hint);
  }
  return rangeOf(c.scope, c.strand, operand);
}

export function atMost(c: VerbContext, count: number, usage: string): void {
  const extra = c.operands[count];
  if (extra === undefined) return;
  throw new LitmusError(`${nameIn(usage)} takes no more arguments`, extra.pos, usage);
}

/** The verb in `e = read U` and in `store A[0] 1`. */
function nameIn(usage: string): string {
  return usage.replace(/^\w+ = /, '').replace(/ .*/, '');
}

/** An operand that gives something its name. */
export function nameOf(c: VerbContext, index: number, usage: string): Operand & { kind: 'word' } {
  const operand = want(c, index, 'a name', usage);
  if (operand.kind === 'word') return operand;
  throw new LitmusError('a name is wanted here', operand.pos, usage);
}

/** Reads `word…` from `index` on as bits. */
export function modes(
  c: VerbContext,
  index: number,
  names: Readonly<Record<string, number>>,
): number {
  let bits = 0;
  for (const operand of c.operands.slice(index)) {
    const name = operand.kind === 'word' ? operand.name : '';
    const bit = names[name];
    if (bit === undefined) {
      throw new LitmusError(
        name === '' ? 'a mode is wanted here' : `there is no mode ${name} here`,
        operand.pos,
        didYouMean(name, Object.keys(names)),
      );
    }
    bits |= bit;
  }
  return bits;
}

export function numberOf(c: VerbContext, operand: Operand): (run: RunState) => number {
  const value = evalOf(c.scope, c.strand, operand);
  return (run) => {
    const v = value(run);
    return typeof v === 'number' ? v : 0;
  };
}

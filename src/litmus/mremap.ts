/** `mremap A to B [dontunmap]`, `mremap A 4 pages [maymove]`, or with the arguments of mremap(2). */
import { MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE } from '../uapi/mman.ts';
import type { Operand, Pos } from './ast.ts';
import { type Call, compileSyscall, resultOf, rowOf } from './calls.ts';
import { LitmusError } from './error.ts';
import { liftingCall } from './lifting.ts';
import { type Range, rangeOf } from './operands.ts';
import { PAGE, type Scope, type Strand } from './scope.ts';

interface MremapContext {
  readonly scope: Scope;
  readonly strand: Strand;
  readonly operands: readonly Operand[];
  readonly pos: Pos;
}

export const MREMAP_USAGE = 'mremap A to B [dontunmap], or mremap A 4 pages [maymove]';

/** Compiles a call whose result is 0 or the name of an error. */
export function compileMremap(c: MremapContext): Call {
  const [what, second, third] = c.operands;
  if (what === undefined || second === undefined) {
    throw new LitmusError('mremap wants pages and what becomes of them', c.pos, MREMAP_USAGE);
  }
  const source = rangeOf(c.scope, c.strand, what);
  if (second.kind === 'word' && second.name === 'to') {
    if (third === undefined) throw new LitmusError('mremap wants a place', c.pos, MREMAP_USAGE);
    return moving(c, source, rangeOf(c.scope, c.strand, third));
  }
  const pages = third?.kind === 'word' && ['page', 'pages'].includes(third.name);
  if (second.kind === 'number' && pages) return resizing(c, source, second.value * PAGE);
  return compileSyscall(c.scope, c.strand, 'mremap', c.operands, c.pos);
}

function moving(c: MremapContext, source: Range, place: Range): Call {
  const keeps = option(c, 3, 'dontunmap') ? MREMAP_DONTUNMAP : 0;
  const flags = MREMAP_MAYMOVE | MREMAP_FIXED | keeps;
  const { handler } = rowOf('mremap');
  const target: Range = { start: place.start, length: source.length };
  return liftingCall([target], function* (run, task) {
    const [from, length] = [source.start(run), source.length(run)];
    const result = yield* handler(task, [from, length, length, flags, place.start(run)]);
    return result > 0 ? 0 : resultOf(result);
  });
}

function resizing(c: MremapContext, source: Range, size: number): Call {
  const flags = option(c, 3, 'maymove') ? MREMAP_MAYMOVE : 0;
  const { handler } = rowOf('mremap');
  return function* (run, task) {
    const args = [source.start(run), source.length(run), size, flags, 0];
    const result = yield* handler(task, args);
    return result > 0 ? 0 : resultOf(result);
  };
}

/** Whether the operand at an index is there; it can only be the given word. */
function option(c: MremapContext, index: number, word: string): boolean {
  const operand = c.operands[index];
  if (operand === undefined) return false;
  if (operand.kind === 'word' && operand.name === word) return true;
  throw new LitmusError(`only ${word} can follow here`, operand.pos, MREMAP_USAGE);
}

/** `m = mincore A[0]`: 1 when the page is in memory. */
import type { Operand, Pos } from './ast.ts';
import { type Call, resultOf, rowOf } from './calls.ts';
import { LitmusError } from './error.ts';
import { rangeOf } from './operands.ts';
import { PAGE, type Scope, type Strand } from './scope.ts';
import { MESSAGE_AT, messageBytes } from './scratch.ts';

export const MINCORE_USAGE = 'm = mincore A[0]';

export function compileMincore(c: {
  readonly scope: Scope;
  readonly strand: Strand;
  readonly operands: readonly Operand[];
  readonly pos: Pos;
}): Call {
  const [page, extra] = c.operands;
  if (page === undefined || extra !== undefined) {
    throw new LitmusError('mincore wants a page', (extra ?? c).pos, MINCORE_USAGE);
  }
  const { start } = rangeOf(c.scope, c.strand, page);
  const { handler } = rowOf('mincore');
  return function* (run, task) {
    const result = yield* handler(task, [start(run), PAGE, MESSAGE_AT]);
    return result < 0 ? resultOf(result) : messageBytes(task)[0];
  };
}

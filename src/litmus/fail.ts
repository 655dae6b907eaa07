/** `fail alloc 1`: at most one allocation fails, at any point of a schedule. */
import { must } from '../base/assert.ts';
import { access } from '../sched/access.ts';
import { WRITE } from '../sched/cell.ts';
import type { Steps } from '../sched/op.ts';
import type { LitmusTest, Statement } from './ast.ts';
import { LitmusError } from './error.ts';
import type { RunState } from './state.ts';

const FAIL_USAGE = 'fail alloc 1';
const MOST = 3;

export function isFail(s: Statement): boolean {
  return s.kind === 'call' && s.verb === 'fail';
}

/** How many allocations may fail. @throws LitmusError */
export function failuresOf(test: LitmusTest): number {
  let failures = 0;
  for (const s of test.setup) {
    if (s.kind !== 'call' || s.verb !== 'fail') continue;
    const [what, count, extra] = s.operands;
    if (what?.kind !== 'word' || what.name !== 'alloc' || extra !== undefined) {
      throw new LitmusError('only allocations can be made to fail', s.pos, FAIL_USAGE);
    }
    if (count?.kind !== 'number' || count.value < 1 || count.value > MOST) {
      throw new LitmusError(`1 to ${MOST} allocations can be made to fail`, s.pos, FAIL_USAGE);
    }
    failures += count.value;
  }
  return failures;
}

/** Lets the memory run short: each actor does so once, and the next allocation of anybody fails. */
export function spawnFailures(run: RunState, failures: number): void {
  for (let i = 0; i < failures; i++) {
    run.world.sched.spawn(`no memory ${i + 1}`, () => runShort(run), true);
  }
}

function* runShort(run: RunState): Steps<void> {
  const shortage = must(run.world.machine.shortage, 'shortage');
  yield* access('run short of memory', shortage.cell, WRITE);
  shortage.arm();
}

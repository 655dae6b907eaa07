/** Calls that make promises about pages, or can take them back, tell the watchers while they run. */
import type { Operand, Statement } from './ast.ts';
import type { Call } from './calls.ts';
import { looksLikePlace, type Range, rangeOf } from './operands.ts';
import { arms, type Effect, LIFTS_ALL, lifts, type Span, watched } from './promise.ts';
import { PAGE, type Region, type Scope, type Strand } from './scope.ts';

const LIFTING: ReadonlySet<string> = new Set(['madvise', 'munmap', 'mmap', 'mremap', 'brk']);

/** Wraps a system call that may lift protection; `close` of a userfaultfd may lift all there is. */
export function withLifting(
  scope: Scope,
  strand: Strand,
  s: Statement & { readonly kind: 'call' },
  call: Call,
): Call {
  if (s.verb === 'close') {
    return liftingCall([...scope.regions.values()].map(wholeOf), call, lifts('wp'));
  }
  const [first] = s.operands;
  if (!LIFTING.has(s.verb) || first === undefined || !looksLikePlace(scope, first)) return call;
  const effect = s.verb === 'madvise' ? effectOfAdvice(s.operands.slice(1)) : LIFTS_ALL;
  return liftingCall([rangeOf(scope, strand, first)], call, effect);
}

/** Guards survive every advice but their own removal; poison is dropped with its page. */
export function effectOfAdvice(operands: readonly Operand[]): Effect {
  const words = operands.map((o) => (o.kind === 'word' ? o.name.replace(/^MADV_/, '') : ''));
  if (words.includes('GUARD_INSTALL')) return arms('guard', 'wp', 'poison');
  return words.includes('GUARD_REMOVE') ? lifts('guard') : lifts('wp', 'poison');
}

/** A call during which nothing in the ranges counts as promised that it may take back. */
export function liftingCall(
  ranges: readonly Range[],
  call: Call,
  effect: Effect = LIFTS_ALL,
): Call {
  return function* (run, task) {
    if (run.promises.length === 0) return yield* call(run, task);
    const spans = ranges.map(({ start, length }): Span => [start(run), length(run)]);
    return yield* watched(run, task, spans, effect, call(run, task), (value) => value === 0);
  };
}

function wholeOf(region: Region): Range {
  return { start: () => region.start, length: () => region.pages * PAGE };
}

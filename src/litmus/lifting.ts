/** Calls that can take write protection away tell the watcher of `promise wp` while they run. */
import type { Statement } from './ast.ts';
import type { Call } from './calls.ts';
import { looksLikePlace, type Range, rangeOf } from './operands.ts';
import { PAGE, type Region, type Scope, type Strand } from './scope.ts';

const LIFTING: ReadonlySet<string> = new Set(['madvise', 'munmap', 'mmap', 'mremap', 'brk']);

/** Wraps a system call that may lift protection; `close` of a userfaultfd may lift all there is. */
export function withLifting(
  scope: Scope,
  strand: Strand,
  s: Statement & { readonly kind: 'call' },
  call: Call,
): Call {
  if (s.verb === 'close') return liftingCall([...scope.regions.values()].map(wholeOf), call);
  const [first] = s.operands;
  if (!LIFTING.has(s.verb) || first === undefined || !looksLikePlace(scope, first)) return call;
  return liftingCall([rangeOf(scope, strand, first)], call);
}

/** A call during which nothing in the ranges counts as protected. */
export function liftingCall(ranges: readonly Range[], call: Call): Call {
  return function* (run, task) {
    const { wp } = run;
    if (wp === null) return yield* call(run, task);
    for (const { start, length } of ranges) wp.liftBegins(task, start(run), length(run));
    const value = yield* call(run, task);
    for (const { start, length } of ranges) wp.liftEnds(task, start(run), length(run));
    return value;
  };
}

function wholeOf(region: Region): Range {
  return { start: () => region.start, length: () => region.pages * PAGE };
}

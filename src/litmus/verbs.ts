/**
 * The verbs of the language that are more than a system call's name: memory accesses, userfaultfd operations with
 * their structs (verbs-userfaultfd.ts), looks at page state, waiting for a thread. Each entry compiles one call.
 */
import { doExit } from '../kernel/core/exit.ts';
import { PIDFD_SELF_THREAD } from '../kernel/fs/pidfd.ts';
import { pagemapScan } from '../kernel/fs/proc/pagemap-scan.ts';
import { userLoad, userStore } from '../kernel/mm/user-access.ts';
import { until } from '../sched/access.ts';
import { READ } from '../sched/cell.ts';
import {
  PAGE_IS_NAMES,
  PM_SCAN_CATEGORIES,
  PM_SCAN_CHECK_WPASYNC,
  PM_SCAN_WP_MATCHING,
} from '../uapi/pagemap-scan.ts';
import { decodeUffdMsg } from '../uapi/userfaultfd.ts';
import { type Call, resultOf, rowOf } from './calls.ts';
import { didYouMean, LitmusError } from './error.ts';
import { effectOfAdvice } from './lifting.ts';
import { compileMincore, MINCORE_USAGE } from './mincore.ts';
import { compileMremap, MREMAP_USAGE } from './mremap.ts';
import { fdOf, flagsOf, rangeOf } from './operands.ts';
import { type Span, watched } from './promise.ts';
import { PAGE } from './scope.ts';
import {
  MESSAGE_AT,
  messageBytes,
  POLLFD_AT,
  polled,
  putPollFd,
  putStruct,
  regionsAt,
  SOURCE_AT,
  STRUCT_AT,
  TIMESPEC_AT,
} from './scratch.ts';

import { atMost, modes, numberOf, ownRange, type Verb, type VerbContext, want } from './verb.ts';

import { compileFileRead, FILE_VERBS, namesFile } from './verbs-file.ts';
import { GUP_VERBS } from './verbs-gup.ts';
import { compileGuestLoad, compileGuestStore, isVcpu, KVM_VERBS } from './verbs-kvm.ts';
import { compilePipeRead, namesPipe, PIPE_VERBS } from './verbs-pipe.ts';
import { PRIVILEGE_VERBS } from './verbs-privileges.ts';

import { SOCKET_VERBS } from './verbs-socket.ts';
import { TRACKING_VERBS } from './verbs-tracking.ts';
import { USERFAULTFD_VERBS } from './verbs-userfaultfd.ts';
import { WATCH_VERBS } from './verbs-watch.ts';

const MESSAGE_BYTES = 32;
/** Beyond the categories, among the words after a range. */
const WP_MATCHING = 1 << 16;
const CHECK_WPASYNC = 1 << 17;
const POLLIN = 1;
const POLL_NAMES: readonly (readonly [number, string])[] = [
  [1, 'in'],
  [4, 'out'],
  [8, 'err'],
  [16, 'hup'],
];

const USAGE = {
  load: 'load A[0]',
  store: 'store A[0] 1',
  process_madvise: 'process_madvise A[0] GUARD_INSTALL',
  read: 'e = read U',
  poll: 'p = poll U',
  exit: 'exit',
  pagemap_scan: 's = pagemap_scan A written [wp] [check] [max N]',
  wait: 'wait THREAD',
} as const;

export const VERBS: Readonly<Record<string, Verb>> = {
  load: { usage: USAGE.load, compile: compileLoad },
  store: { usage: USAGE.store, compile: compileStore },
  ...USERFAULTFD_VERBS,
  process_madvise: {
    usage: USAGE.process_madvise,
    compile: compileProcessMadvise,
  },
  ...FILE_VERBS,
  ...KVM_VERBS,
  ...GUP_VERBS,
  ...PIPE_VERBS,
  ...SOCKET_VERBS,
  read: {
    usage: USAGE.read,
    compile: (c) =>
      namesFile(c) ? compileFileRead(c) : namesPipe(c) ? compilePipeRead(c) : compileRead(c),
  },
  poll: { usage: USAGE.poll, compile: compilePoll },
  ...TRACKING_VERBS,
  ...PRIVILEGE_VERBS,
  ...WATCH_VERBS,
  pagemap_scan: { usage: USAGE.pagemap_scan, compile: compilePagemapScan },
  mincore: { usage: MINCORE_USAGE, compile: compileMincore },
  mremap: { usage: MREMAP_USAGE, compile: compileMremap },
  wait: { usage: USAGE.wait, compile: compileWait },
  exit: { usage: USAGE.exit, compile: compileExit },
};

function compileLoad(c: VerbContext): Call {
  if (isVcpu(c)) return compileGuestLoad(c, USAGE.load);
  const { start } = ownRange(c, want(c, 0, 'a page', USAGE.load));
  atMost(c, 1, USAGE.load);
  return function* (run, task) {
    const address = start(run);
    const got = yield* userLoad(task, address, 4);
    if (typeof got !== 'number') return got.signal;
    for (const p of run.promises) p.accessed(task, address, 'read', got | 0);
    return got | 0;
  };
}

function compileStore(c: VerbContext): Call {
  if (isVcpu(c)) return compileGuestStore(c, USAGE.store);
  const { start } = ownRange(c, want(c, 0, 'a page', USAGE.store));
  const value = numberOf(c, want(c, 1, 'a value', USAGE.store));
  atMost(c, 2, USAGE.store);
  return function* (run, task) {
    const address = start(run);
    const signal = yield* userStore(task, address, 4, value(run));
    if (signal !== null) return signal.signal;
    for (const p of run.promises) p.accessed(task, address, 'wrote', value(run) | 0);
    return 0;
  };
}

/** On the caller itself, one range: its result is 0 for all of it. */
function compileProcessMadvise(c: VerbContext): Call {
  const range = rangeOf(c.scope, c.strand, want(c, 0, 'pages', USAGE.process_madvise));
  const word = want(c, 1, 'advice', USAGE.process_madvise);
  atMost(c, 2, USAGE.process_madvise);
  const { handler, params } = rowOf('process_madvise');
  const advice = flagsOf(params[3]?.names ?? {}, word, 'advice of process_madvise');
  const effect = effectOfAdvice([word]);
  return function* (run, task) {
    const span: Span = [range.start(run), range.length(run)];
    putStruct(task, span);
    const steps = handler(task, [PIDFD_SELF_THREAD, STRUCT_AT, 1, advice, 0]);
    const done = yield* watched(run, task, [span], effect, steps, (result) => result === span[1]);
    return done === span[1] ? 0 : resultOf(done);
  };
}

function compileRead(c: VerbContext): Call {
  const fd = fdOf(c.scope, c.strand, want(c, 0, 'a userfaultfd', USAGE.read));
  atMost(c, 1, USAGE.read);
  const { handler } = rowOf('read');
  return function* (run, task) {
    const got = yield* handler(task, [fd(run), MESSAGE_AT, MESSAGE_BYTES]);
    if (got !== MESSAGE_BYTES) return resultOf(got);
    return decodeUffdMsg(messageBytes(task)) ?? undefined;
  };
}

function compilePoll(c: VerbContext): Call {
  const fd = fdOf(c.scope, c.strand, want(c, 0, 'a userfaultfd', USAGE.poll));
  atMost(c, 1, USAGE.poll);
  const { handler } = rowOf('ppoll');
  return function* (run, task) {
    putPollFd(task, fd(run), POLLIN);
    const ready = yield* handler(task, [POLLFD_AT, 1, TIMESPEC_AT, 0, 0]);
    if (ready < 0) return resultOf(ready);
    const bits = polled(task);
    const names = POLL_NAMES.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name);
    return names.length === 0 ? 'none' : names.join('+');
  };
}

/**
 * One PAGEMAP_SCAN over the caller's own pages: those that are of all the categories named.
 * The result is the set of their numbers within the range, `p0+p2`, or `none`.
 */
function compilePagemapScan(c: VerbContext): Call {
  const range = rangeOf(c.scope, c.strand, want(c, 0, 'pages', USAGE.pagemap_scan));
  want(c, 1, 'a category', USAGE.pagemap_scan);
  const at = c.operands.findIndex((o) => o.kind === 'word' && o.name === 'max');
  const max = at < 0 ? null : numberOf(c, want(c, at + 1, 'a number', USAGE.pagemap_scan));
  if (at >= 0) atMost(c, at + 2, USAGE.pagemap_scan);
  const head = at < 0 ? c : { ...c, operands: c.operands.slice(0, at) };
  const bits = modes(head, 1, { ...PAGE_IS_NAMES, wp: WP_MATCHING, check: CHECK_WPASYNC });
  const mask = bits & PM_SCAN_CATEGORIES;
  const flags =
    ((bits & WP_MATCHING) !== 0 ? PM_SCAN_WP_MATCHING : 0) |
    ((bits & CHECK_WPASYNC) !== 0 ? PM_SCAN_CHECK_WPASYNC : 0);
  return function* (run, task) {
    const start = range.start(run);
    const end = start + range.length(run);
    const limit = max?.(run) ?? 0;
    putStruct(task, [96, flags, start, end, 0, SOURCE_AT, 64, limit, 0, mask, 0, mask]);
    const { mm } = task;
    const found = mm === null ? 0 : yield* pagemapScan(task, mm, STRUCT_AT);
    if (found < 0) return resultOf(found);
    const pages = regionsAt(task, found).flatMap((r) =>
      Array.from(
        { length: (r.end - r.start) / PAGE },
        (_, i) => `p${(r.start - start) / PAGE + i}`,
      ),
    );
    return pages.length === 0 ? 'none' : pages.join('+');
  };
}

function compileExit(c: VerbContext): Call {
  atMost(c, 0, USAGE.exit);
  if (c.strand.kind !== 'child') {
    throw new LitmusError('only a forked child can exit', c.pos, 'a thread just ends');
  }
  return function* (_run, task) {
    yield* doExit(task);
    return 0;
  };
}

function compileWait(c: VerbContext): Call {
  const operand = want(c, 0, 'the name of a thread', USAGE.wait);
  const name = operand.kind === 'word' ? operand.name : '';
  atMost(c, 1, USAGE.wait);
  const strand = c.scope.strandNamed(name);
  if (strand === undefined || strand.kind === 'setup' || strand.kind === 'finally') {
    const names = c.scope.strands.filter((s) => s.kind === 'thread').map((s) => s.name);
    throw new LitmusError(`no thread is called ${name}`, operand.pos, didYouMean(name, names));
  }
  if (strand === c.strand || strand.kind === 'child') {
    const why = strand === c.strand ? 'a thread cannot wait for itself' : 'a child is no thread';
    throw new LitmusError(why, operand.pos, 'name another thread');
  }
  const { index } = strand;
  return function* (run) {
    const thread = run.threads[index];
    if (thread === undefined) return 0;
    const { sched } = run.world;
    const cell = sched.threadCell(thread);
    yield* until('wait', cell, READ, () => thread.done, `thread ${name} to end`);
    return 0;
  };
}

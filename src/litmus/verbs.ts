/**
 * The verbs of the language that are more than a system call's name: memory accesses, userfaultfd operations with
 * their structs (verbs-userfaultfd.ts), looks at page state, waiting for a thread. Each entry compiles one call.
 */
import { doExit } from '../kernel/core/exit.ts';
import { PIDFD_SELF_THREAD } from '../kernel/fs/pidfd.ts';
import { pteSlot } from '../kernel/mm/pgtable.ts';
import { userLoad, userStore } from '../kernel/mm/user-access.ts';
import { getPte } from '../machine/tables.ts';
import { pause, until } from '../sched/access.ts';
import { READ } from '../sched/cell.ts';
import { decodeUffdMsg } from '../uapi/userfaultfd.ts';
import { type Call, resultOf, rowOf } from './calls.ts';
import { didYouMean, LitmusError } from './error.ts';
import { effectOfAdvice } from './lifting.ts';
import { fdOf, flagsOf, rangeOf } from './operands.ts';
import { pageFlags } from './page-state.ts';
import { type Span, watched } from './promise.ts';
import {
  MESSAGE_AT,
  messageBytes,
  POLLFD_AT,
  polled,
  putPollFd,
  putStruct,
  STRUCT_AT,
  TIMESPEC_AT,
} from './scratch.ts';
import { atMost, numberOf, type Verb, type VerbContext, want } from './verb.ts';
import { USERFAULTFD_VERBS } from './verbs-userfaultfd.ts';

const MESSAGE_BYTES = 32;
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
  pagemap: 'p = pagemap A[0]',
  exit: 'exit',
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
  read: { usage: USAGE.read, compile: compileRead },
  poll: { usage: USAGE.poll, compile: compilePoll },
  pagemap: { usage: USAGE.pagemap, compile: compilePagemap },
  wait: { usage: USAGE.wait, compile: compileWait },
  exit: { usage: USAGE.exit, compile: compileExit },
};

function compileLoad(c: VerbContext): Call {
  const { start } = rangeOf(c.scope, c.strand, want(c, 0, 'a page', USAGE.load));
  atMost(c, 1, USAGE.load);
  return function* (run, task) {
    const address = start(run);
    const got = yield* userLoad(task, address, 4);
    if (typeof got !== 'number') return got.signal;
    for (const p of run.promises) p.accessed(task, address, 'read');
    return got | 0;
  };
}

function compileStore(c: VerbContext): Call {
  const { start } = rangeOf(c.scope, c.strand, want(c, 0, 'a page', USAGE.store));
  const value = numberOf(c, want(c, 1, 'a value', USAGE.store));
  atMost(c, 2, USAGE.store);
  return function* (run, task) {
    const address = start(run);
    const signal = yield* userStore(task, address, 4, value(run));
    if (signal !== null) return signal.signal;
    for (const p of run.promises) p.accessed(task, address, 'wrote');
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

function compilePagemap(c: VerbContext): Call {
  const { start } = rangeOf(c.scope, c.strand, want(c, 0, 'a page', USAGE.pagemap));
  atMost(c, 1, USAGE.pagemap);
  return function* (run, task) {
    yield* pause('pagemap');
    if (task.mm === null) return 'none';
    const slot = pteSlot(task.mm, start(run));
    return pageFlags(slot < 0 ? null : getPte(slot));
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

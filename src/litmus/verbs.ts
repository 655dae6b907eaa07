/**
 * The verbs of the language that are more than a system call's name: memory accesses, userfaultfd operations with
 * their structs, looks at page state, waiting for a thread. Each entry compiles one call.
 */
import { doExit } from '../kernel/core/exit.ts';
import type { Task } from '../kernel/core/task.ts';
import { pteSlot } from '../kernel/mm/pgtable.ts';
import { userLoad, userStore } from '../kernel/mm/user-access.ts';
import type { Handler } from '../kernel/syscall/row.ts';
import { getPte } from '../machine/tables.ts';
import { pause, until } from '../sched/access.ts';
import { READ } from '../sched/cell.ts';
import type { Steps } from '../sched/op.ts';
import {
  decodeUffdMsg,
  UFFD_API,
  UFFD_FEATURE_NAMES,
  UFFD_USER_MODE_ONLY,
  UFFDIO_API,
  UFFDIO_COPY,
  UFFDIO_COPY_MODE_DONTWAKE,
  UFFDIO_COPY_MODE_WP,
  UFFDIO_REGISTER,
  UFFDIO_REGISTER_MODE_MISSING,
  UFFDIO_REGISTER_MODE_WP,
  UFFDIO_UNREGISTER,
  UFFDIO_WAKE,
  UFFDIO_WRITEPROTECT,
  UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
  UFFDIO_WRITEPROTECT_MODE_WP,
  UFFDIO_ZEROPAGE,
  UFFDIO_ZEROPAGE_MODE_DONTWAKE,
} from '../uapi/userfaultfd.ts';
import type { Operand, Pos } from './ast.ts';
import { type Call, resultOf, rowOf } from './calls.ts';
import { didYouMean, LitmusError, notYet } from './error.ts';
import { evalOf, fdOf, looksLikePlace, type Range, rangeOf } from './operands.ts';
import { pageFlags } from './page-state.ts';
import { PAGE, type Scope, type Strand } from './scope.ts';
import {
  MESSAGE_AT,
  messageBytes,
  POLLFD_AT,
  polled,
  putPollFd,
  putSource,
  putStruct,
  SOURCE_AT,
  STRUCT_AT,
  TIMESPEC_AT,
} from './scratch.ts';
import type { RunState } from './state.ts';
import type { Value } from './values.ts';

export interface VerbContext {
  readonly scope: Scope;
  readonly strand: Strand;
  readonly operands: readonly Operand[];
  readonly pos: Pos;
}

interface Verb {
  /** One line for error messages and the manual. */
  readonly usage: string;
  readonly compile: (c: VerbContext) => Call;
}

const O_NONBLOCK = 0o4000;
const MESSAGE_BYTES = 32;
const POLLIN = 1;
const POLL_NAMES: readonly (readonly [number, string])[] = [
  [1, 'in'],
  [4, 'out'],
  [8, 'err'],
  [16, 'hup'],
];

export const VERBS: Readonly<Record<string, Verb>> = {
  load: { usage: 'load A[0]', compile: compileLoad },
  store: { usage: 'store A[0] 1', compile: compileStore },
  uffd: { usage: 'uffd U [nonblock] [user_mode_only] [features NAME…]', compile: compileUffd },
  register: { usage: 'register U A missing wp', compile: compileRegister },
  unregister: {
    usage: 'unregister U A',
    compile: (c) => rangeIoctl(c, UFFDIO_UNREGISTER, {}, 'lifts'),
  },
  wake: { usage: 'wake U A[0]', compile: (c) => rangeIoctl(c, UFFDIO_WAKE, {}, 'nothing') },
  writeprotect: {
    usage: 'writeprotect U A[0]',
    compile: (c) => modeIoctl(c, UFFDIO_WRITEPROTECT, UFFDIO_WRITEPROTECT_MODE_WP, {}, 'arms'),
  },
  unprotect: {
    usage: 'unprotect U A[0] [dontwake]',
    compile: (c) =>
      modeIoctl(
        c,
        UFFDIO_WRITEPROTECT,
        0,
        { dontwake: UFFDIO_WRITEPROTECT_MODE_DONTWAKE },
        'lifts',
      ),
  },
  zeropage: {
    usage: 'zeropage U A[0] [dontwake]',
    compile: (c) =>
      modeIoctl(c, UFFDIO_ZEROPAGE, 0, { dontwake: UFFDIO_ZEROPAGE_MODE_DONTWAKE }, 'lifts'),
  },
  copy: { usage: 'copy U A[0] from 42 [wp] [dontwake]', compile: compileCopy },
  read: { usage: 'e = read U', compile: compileRead },
  poll: { usage: 'p = poll U', compile: compilePoll },
  pagemap: { usage: 'p = pagemap A[0]', compile: compilePagemap },
  wait: { usage: 'wait THREAD', compile: compileWait },
  exit: { usage: 'exit', compile: compileExit },
};

/** The operand at an index, or the verb's usage as an error. */
function want(c: VerbContext, index: number, what: string, verb: string): Operand {
  const operand = c.operands[index];
  if (operand !== undefined) return operand;
  throw new LitmusError(`${verb} wants ${what}`, c.pos, VERBS[verb]?.usage ?? '');
}

function atMost(c: VerbContext, count: number, verb: string): void {
  const extra = c.operands[count];
  if (extra === undefined) return;
  throw new LitmusError(`${verb} takes no more arguments`, extra.pos, VERBS[verb]?.usage ?? '');
}

/** Reads `word…` from `index` on as bits. */
function modes(c: VerbContext, index: number, names: Readonly<Record<string, number>>): number {
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

function compileLoad(c: VerbContext): Call {
  const { start } = rangeOf(c.scope, c.strand, want(c, 0, 'a page', 'load'));
  atMost(c, 1, 'load');
  return function* (run, task) {
    const got = yield* userLoad(task, start(run), 4);
    return typeof got === 'number' ? got | 0 : got.signal;
  };
}

function compileStore(c: VerbContext): Call {
  const { start } = rangeOf(c.scope, c.strand, want(c, 0, 'a page', 'store'));
  const value = numberOf(c, want(c, 1, 'a value', 'store'));
  atMost(c, 2, 'store');
  return function* (run, task) {
    const address = start(run);
    const signal = yield* userStore(task, address, 4, value(run));
    if (signal !== null) return signal.signal;
    run.wp?.stored(task, address);
    return 0;
  };
}

function numberOf(c: VerbContext, operand: Operand): (run: RunState) => number {
  const value = evalOf(c.scope, c.strand, operand);
  return (run) => {
    const v = value(run);
    return typeof v === 'number' ? v : 0;
  };
}

function compileUffd(c: VerbContext): Call {
  const name = want(c, 0, 'a name', 'uffd');
  if (name.kind !== 'word') throw new LitmusError('uffd wants a name', name.pos, 'uffd U');
  if (c.strand.kind !== 'setup') {
    throw new LitmusError('a userfaultfd is opened in the set-up', c.pos, 'move it above');
  }
  const slot = c.scope.addFile(name.name, name.pos);
  const at = c.operands.findIndex((o) => o.kind === 'word' && o.name === 'features');
  const end = at < 0 ? c.operands.length : at;
  const head = { ...c, operands: c.operands.slice(0, end) };
  const flags = modes(head, 1, { nonblock: O_NONBLOCK, user_mode_only: UFFD_USER_MODE_ONLY });
  const features = at < 0 ? 0 : featureBits(c, at + 1);
  const open = rowOf('userfaultfd').handler;
  const ioctl = rowOf('ioctl').handler;
  return function* (run, task) {
    const fd = yield* open(task, [flags]);
    if (fd < 0) return resultOf(fd);
    run.fds[slot] = fd;
    putStruct(task, [UFFD_API, features, 0]);
    return resultOf(yield* ioctl(task, [fd, UFFDIO_API, STRUCT_AT]));
  };
}

function featureBits(c: VerbContext, index: number): number {
  let bits = 0;
  for (const operand of c.operands.slice(index)) {
    const name = operand.kind === 'word' ? operand.name : '';
    const bit = UFFD_FEATURE_NAMES[name.toLowerCase()];
    if (bit === undefined) {
      throw new LitmusError(
        `userfaultfd has no feature ${name}`,
        operand.pos,
        didYouMean(name, Object.keys(UFFD_FEATURE_NAMES)),
      );
    }
    if (name.toLowerCase() === 'wp_async') throw notYet('WP_ASYNC', operand.pos);
    bits |= bit;
  }
  return bits;
}

function compileRegister(c: VerbContext): Call {
  for (const o of c.operands) {
    if (o.kind === 'word' && o.name === 'minor') throw notYet('minor faults', o.pos);
  }
  return modeIoctl(
    c,
    UFFDIO_REGISTER,
    0,
    { missing: UFFDIO_REGISTER_MODE_MISSING, wp: UFFDIO_REGISTER_MODE_WP },
    'lifts',
  );
}

/** What a call does to the promise that write-protected pages report writes. */
type Effect = 'arms' | 'lifts' | 'nothing';

/** An ioctl over {start, len}. */
function rangeIoctl(
  c: VerbContext,
  command: number,
  names: Readonly<Record<string, number>>,
  effect: Effect,
): Call {
  const { fd, range } = fdAndRange(c);
  modes(c, 2, names);
  const ioctl = rowOf('ioctl').handler;
  return function* (run, task) {
    const start = range.start(run);
    const length = range.length(run);
    putStruct(task, [start, length]);
    return yield* watched(run, task, start, length, effect, ioctl, [fd(run), command, STRUCT_AT]);
  };
}

/** An ioctl over {start, len, mode, out}. */
function modeIoctl(
  c: VerbContext,
  command: number,
  fixed: number,
  names: Readonly<Record<string, number>>,
  effect: Effect,
): Call {
  const { fd, range } = fdAndRange(c);
  const mode = fixed | modes(c, 2, names);
  const ioctl = rowOf('ioctl').handler;
  return function* (run, task) {
    const start = range.start(run);
    const length = range.length(run);
    putStruct(task, [start, length, mode, 0]);
    return yield* watched(run, task, start, length, effect, ioctl, [fd(run), command, STRUCT_AT]);
  };
}

function fdAndRange(c: VerbContext): { fd: (run: RunState) => number; range: Range } {
  const [file, place] = c.operands;
  if (file === undefined || place === undefined) {
    throw new LitmusError('a userfaultfd and pages are wanted here', c.pos, 'U A[0]');
  }
  return { fd: fdOf(c.scope, c.strand, file), range: rangeOf(c.scope, c.strand, place) };
}

function* watched(
  run: RunState,
  task: Task,
  start: number,
  length: number,
  effect: Effect,
  handler: Handler,
  args: readonly number[],
): Steps<Value> {
  const { wp } = run;
  if (wp === null) return resultOf(yield* handler(task, args));
  if (effect === 'lifts') wp.liftBegins(task, start, length);
  const result = yield* handler(task, args);
  if (effect === 'lifts') wp.liftEnds(task, start, length);
  if (effect === 'arms' && result === 0) wp.protectedRange(task, start, length);
  return resultOf(result);
}

function compileCopy(c: VerbContext): Call {
  const { fd, range } = fdAndRange(c);
  const from = want(c, 2, '`from`', 'copy');
  if (from.kind !== 'word' || from.name !== 'from') {
    throw new LitmusError('copy wants `from`', from.pos, VERBS['copy']?.usage ?? '');
  }
  const source = want(c, 3, 'a value or a page', 'copy');
  const mode = modes(c, 4, { dontwake: UFFDIO_COPY_MODE_DONTWAKE, wp: UFFDIO_COPY_MODE_WP });
  const page = looksLikePlace(c.scope, source) ? rangeOf(c.scope, c.strand, source).start : null;
  const word = page === null ? numberOf(c, source) : null;
  const ioctl = rowOf('ioctl').handler;
  return function* (run, task) {
    const start = range.start(run);
    const length = range.length(run);
    let src = SOURCE_AT;
    if (page !== null) src = page(run);
    else putSource(task, length / PAGE, word?.(run) ?? 0);
    putStruct(task, [start, src, length, mode, 0]);
    return yield* watched(run, task, start, length, 'lifts', ioctl, [
      fd(run),
      UFFDIO_COPY,
      STRUCT_AT,
    ]);
  };
}

function compileRead(c: VerbContext): Call {
  const fd = fdOf(c.scope, c.strand, want(c, 0, 'a userfaultfd', 'read'));
  atMost(c, 1, 'read');
  const { handler } = rowOf('read');
  return function* (run, task) {
    const got = yield* handler(task, [fd(run), MESSAGE_AT, MESSAGE_BYTES]);
    if (got !== MESSAGE_BYTES) return resultOf(got);
    return decodeUffdMsg(messageBytes(task)) ?? undefined;
  };
}

function compilePoll(c: VerbContext): Call {
  const fd = fdOf(c.scope, c.strand, want(c, 0, 'a userfaultfd', 'poll'));
  atMost(c, 1, 'poll');
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
  const { start } = rangeOf(c.scope, c.strand, want(c, 0, 'a page', 'pagemap'));
  atMost(c, 1, 'pagemap');
  return function* (run, task) {
    yield* pause('pagemap');
    if (task.mm === null) return 'none';
    const slot = pteSlot(task.mm, start(run));
    return pageFlags(slot < 0 ? null : getPte(slot));
  };
}

function compileExit(c: VerbContext): Call {
  atMost(c, 0, 'exit');
  if (c.strand.kind !== 'child') {
    throw new LitmusError('only a forked child can exit', c.pos, 'a thread just ends');
  }
  return function* (_run, task) {
    yield* doExit(task);
    return 0;
  };
}

function compileWait(c: VerbContext): Call {
  const operand = want(c, 0, 'the name of a thread', 'wait');
  const name = operand.kind === 'word' ? operand.name : '';
  atMost(c, 1, 'wait');
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

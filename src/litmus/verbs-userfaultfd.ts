/** The verbs of userfaultfd: its descriptor, and its ioctls with their structs. */
import type { Task } from '../kernel/core/task.ts';
import { hasUserfaultfdDevice, newUserfaultfd } from '../kernel/fs/userfaultfd-dev.ts';
import type { Handler } from '../kernel/syscall/row.ts';
import type { Steps } from '../sched/op.ts';
import {
  UFFD_API,
  UFFD_FEATURE_NAMES,
  UFFD_USER_MODE_ONLY,
  UFFDIO_API,
  UFFDIO_CONTINUE,
  UFFDIO_CONTINUE_MODE_DONTWAKE,
  UFFDIO_CONTINUE_MODE_WP,
  UFFDIO_COPY,
  UFFDIO_COPY_MODE_DONTWAKE,
  UFFDIO_COPY_MODE_WP,
  UFFDIO_MOVE,
  UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
  UFFDIO_MOVE_MODE_DONTWAKE,
  UFFDIO_POISON,
  UFFDIO_POISON_MODE_DONTWAKE,
  UFFDIO_REGISTER,
  UFFDIO_REGISTER_MODE_MINOR,
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
import { type Call, resultOf, rowOf } from './calls.ts';
import { didYouMean, LitmusError } from './error.ts';
import { fdOf, looksLikePlace, type Range, rangeOf } from './operands.ts';
import { arms, type Effect, lifts, NO_EFFECT, type Span, watched } from './promise.ts';
import { PAGE } from './scope.ts';
import { putSource, putStruct, SOURCE_AT, STRUCT_AT } from './scratch.ts';
import type { RunState } from './state.ts';
import type { Value } from './values.ts';
import { modes, numberOf, type Verb, type VerbContext, want } from './verb.ts';

const O_NONBLOCK = 0o4000;
/** Beyond the flags: by way of /dev/userfaultfd, which somebody else has opened. */
const FROM_DEVICE = 1 << 30;
const MOVE_USAGE = 'move U B[0] from A[0] [dontwake] [holes]';
const COPY_USAGE = 'copy U A[0] from 42 [wp] [dontwake]';

export const USERFAULTFD_VERBS: Readonly<Record<string, Verb>> = {
  uffd: {
    usage: 'uffd U [nonblock] [user_mode_only] [dev] [features NAME…]',
    compile: compileUffd,
  },
  register: { usage: 'register U A missing wp', compile: compileRegister },
  unregister: {
    usage: 'unregister U A',
    compile: (c) => rangeIoctl(c, UFFDIO_UNREGISTER, {}, lifts('wp')),
  },
  wake: { usage: 'wake U A[0]', compile: (c) => rangeIoctl(c, UFFDIO_WAKE, {}, NO_EFFECT) },
  writeprotect: {
    usage: 'writeprotect U A[0]',
    compile: (c) => modeIoctl(c, UFFDIO_WRITEPROTECT, UFFDIO_WRITEPROTECT_MODE_WP, {}, arms('wp')),
  },
  unprotect: {
    usage: 'unprotect U A[0] [dontwake]',
    compile: (c) =>
      modeIoctl(
        c,
        UFFDIO_WRITEPROTECT,
        0,
        { dontwake: UFFDIO_WRITEPROTECT_MODE_DONTWAKE },
        lifts('wp'),
      ),
  },
  zeropage: {
    usage: 'zeropage U A[0] [dontwake]',
    compile: (c) =>
      modeIoctl(
        c,
        UFFDIO_ZEROPAGE,
        0,
        { dontwake: UFFDIO_ZEROPAGE_MODE_DONTWAKE },
        lifts('wp', 'poison'),
      ),
  },
  poison: {
    usage: 'poison U A[0] [dontwake]',
    compile: (c) =>
      modeIoctl(c, UFFDIO_POISON, 0, { dontwake: UFFDIO_POISON_MODE_DONTWAKE }, arms('poison')),
  },
  continue: {
    usage: 'continue U A[0] [wp] [dontwake]',
    compile: (c) =>
      modeIoctl(
        c,
        UFFDIO_CONTINUE,
        0,
        { wp: UFFDIO_CONTINUE_MODE_WP, dontwake: UFFDIO_CONTINUE_MODE_DONTWAKE },
        lifts('wp', 'poison', 'guard'),
      ),
  },
  copy: { usage: COPY_USAGE, compile: compileCopy },
  move: { usage: MOVE_USAGE, compile: compileMove },
};

function compileUffd(c: VerbContext): Call {
  const name = want(c, 0, 'a name', 'uffd U');
  if (name.kind !== 'word') throw new LitmusError('uffd wants a name', name.pos, 'uffd U');
  if (c.strand.kind !== 'setup') {
    throw new LitmusError('a userfaultfd is opened in the set-up', c.pos, 'move it above');
  }
  const slot = c.scope.addFile(name.name, name.pos);
  const at = c.operands.findIndex((o) => o.kind === 'word' && o.name === 'features');
  const end = at < 0 ? c.operands.length : at;
  const head = { ...c, operands: c.operands.slice(0, end) };
  const asked = modes(head, 1, {
    nonblock: O_NONBLOCK,
    user_mode_only: UFFD_USER_MODE_ONLY,
    dev: FROM_DEVICE,
  });
  const flags = asked & ~FROM_DEVICE;
  const features = at < 0 ? 0 : featureBits(c, at + 1);
  const open = rowOf('userfaultfd').handler;
  const ioctl = rowOf('ioctl').handler;
  return function* (run, task) {
    const device = (asked & FROM_DEVICE) !== 0 && hasUserfaultfdDevice();
    const fd = device ? newUserfaultfd(task, flags) : yield* open(task, [flags]);
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
    bits |= bit;
  }
  return bits;
}

function compileRegister(c: VerbContext): Call {
  return modeIoctl(
    c,
    UFFDIO_REGISTER,
    0,
    {
      missing: UFFDIO_REGISTER_MODE_MISSING,
      wp: UFFDIO_REGISTER_MODE_WP,
      minor: UFFDIO_REGISTER_MODE_MINOR,
    },
    lifts('wp'),
  );
}

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
    const args = [fd(run), command, STRUCT_AT];
    return yield* watchedIoctl(run, task, [start, length], effect, ioctl, args);
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
    const args = [fd(run), command, STRUCT_AT];
    return yield* watchedIoctl(run, task, [start, length], effect, ioctl, args);
  };
}

function fdAndRange(c: VerbContext): { fd: (run: RunState) => number; range: Range } {
  const [file, place] = c.operands;
  if (file === undefined || place === undefined) {
    throw new LitmusError('a userfaultfd and pages are wanted here', c.pos, 'U A[0]');
  }
  return { fd: fdOf(c.scope, c.strand, file), range: rangeOf(c.scope, c.strand, place) };
}

/** Performs an ioctl while the watchers know of it. */
function* watchedIoctl(
  run: RunState,
  task: Task,
  span: Span,
  effect: Effect,
  handler: Handler,
  args: readonly number[],
): Steps<Value> {
  const steps = handler(task, args);
  return resultOf(yield* watched(run, task, [span], effect, steps, (result) => result === 0));
}

/** A page that is brought replaces a poisoned one, and is protected only if asked for. It should spare guards. */
const COPIES: Effect = lifts('wp', 'poison');

function compileCopy(c: VerbContext): Call {
  const { fd, range } = fdAndRange(c);
  const from = want(c, 2, '`from`', COPY_USAGE);
  if (from.kind !== 'word' || from.name !== 'from') {
    throw new LitmusError('copy wants `from`', from.pos, COPY_USAGE);
  }
  const source = want(c, 3, 'a value or a page', COPY_USAGE);
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
    const args = [fd(run), UFFDIO_COPY, STRUCT_AT];
    return yield* watchedIoctl(run, task, [start, length], COPIES, ioctl, args);
  };
}

/** What was promised of the pages that go is over; where they arrive there was nothing. */
function compileMove(c: VerbContext): Call {
  const { fd, range } = fdAndRange(c);
  const from = want(c, 2, '`from`', MOVE_USAGE);
  if (from.kind !== 'word' || from.name !== 'from') {
    throw new LitmusError('move wants `from`', from.pos, MOVE_USAGE);
  }
  const source = rangeOf(c.scope, c.strand, want(c, 3, 'pages', MOVE_USAGE)).start;
  const mode = modes(c, 4, {
    dontwake: UFFDIO_MOVE_MODE_DONTWAKE,
    holes: UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
  });
  const ioctl = rowOf('ioctl').handler;
  return function* (run, task) {
    const [start, src, length] = [range.start(run), source(run), range.length(run)];
    putStruct(task, [start, src, length, mode, 0]);
    const spans: readonly Span[] = [
      [start, length],
      [src, length],
    ];
    const steps = ioctl(task, [fd(run), UFFDIO_MOVE, STRUCT_AT]);
    return resultOf(yield* watched(run, task, spans, lifts('wp'), steps, () => true));
  };
}

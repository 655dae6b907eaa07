/**
 * The ioctls of a userfaultfd: copy the struct in, validate in the kernel's order, perform, write the out-field.
 * @linux fs/userfaultfd.c userfaultfd_ioctl; semantics.md sections 9.2 to 9.9
 */
import type { Steps } from '../../sched/op.ts';
import {
  type StructLayout,
  UFFDIO_API,
  UFFDIO_API_STRUCT,
  UFFDIO_CONTINUE,
  UFFDIO_CONTINUE_MODE_DONTWAKE,
  UFFDIO_CONTINUE_MODE_WP,
  UFFDIO_CONTINUE_STRUCT,
  UFFDIO_COPY,
  UFFDIO_COPY_MODE_DONTWAKE,
  UFFDIO_COPY_MODE_WP,
  UFFDIO_COPY_STRUCT,
  UFFDIO_MOVE,
  UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
  UFFDIO_MOVE_MODE_DONTWAKE,
  UFFDIO_MOVE_STRUCT,
  UFFDIO_POISON,
  UFFDIO_POISON_MODE_DONTWAKE,
  UFFDIO_POISON_STRUCT,
  UFFDIO_RANGE_STRUCT,
  UFFDIO_REGISTER,
  UFFDIO_REGISTER_MODE_MINOR,
  UFFDIO_REGISTER_MODE_MISSING,
  UFFDIO_REGISTER_MODE_WP,
  UFFDIO_REGISTER_STRUCT,
  UFFDIO_UNREGISTER,
  UFFDIO_WAKE,
  UFFDIO_WRITEPROTECT,
  UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
  UFFDIO_WRITEPROTECT_MODE_WP,
  UFFDIO_WRITEPROTECT_STRUCT,
  UFFDIO_ZEROPAGE,
  UFFDIO_ZEROPAGE_MODE_DONTWAKE,
  UFFDIO_ZEROPAGE_STRUCT,
} from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { fail } from '../errno-row.ts';
import type { Vaddr } from '../mm/mm-types.ts';
import { mwriteprotectRange } from '../mm/userfaultfd.ts';
import { type Seam, seam } from '../seam.ts';
import { wakeUserfault } from './userfaultfd.ts';
import { uffdApi } from './userfaultfd-api.ts';
import {
  copyStruct,
  dropMm,
  holdMm,
  type IoctlHandler,
  lookAtCounter,
} from './userfaultfd-args.ts';
import type { UserfaultfdCtx } from './userfaultfd-ctx.ts';
import { IOCTL_ERRNOS, WAKE_ERRNOS, WRITEPROTECT_ERRNOS } from './userfaultfd-errnos.ts';
import { uffdContinue, uffdCopy, uffdPoison, uffdZeropage } from './userfaultfd-fill.ts';
import { uffdMove } from './userfaultfd-move.ts';
import {
  REGISTER_ERRNOS,
  UNREGISTER_ERRNOS,
  uffdRegister,
  uffdUnregister,
  validRange,
} from './userfaultfd-register.ts';

/** One ioctl: what the dispatcher, litmus, --strace and the coverage page read. */
export interface UffdIoctlRow {
  readonly cmd: number;
  readonly name: string;
  readonly struct: StructLayout<string>;
  /** Names of the mode bits. */
  readonly modes: Readonly<Record<string, number>>;
  /** Null: not modelled yet. */
  readonly handler: IoctlHandler | null;
  readonly gap: string;
}

/** Whether this kernel version has the ioctl; profiles take away what came later. */
export const knownIoctl: Seam<(cmd: number) => boolean> = seam(
  'userfaultfd.knownIoctl',
  (_cmd: number): boolean => true,
);

/** ioctl(2) on a userfaultfd. @param cmd unsigned 32 bits @returns 0 or a negative errno */
export function* uffdIoctl(
  task: Task,
  ctx: UserfaultfdCtx,
  cmd: number,
  arg: Vaddr,
): Steps<number> {
  if (cmd !== UFFDIO_API && !ctx.initialized) return fail(IOCTL_ERRNOS.noHandshake);
  const row = UFFD_IOCTLS.find((r) => r.cmd === cmd);
  if (row === undefined || row.handler === null || !knownIoctl(cmd)) {
    return fail(IOCTL_ERRNOS.unknown);
  }
  return yield* row.handler(task, ctx, arg);
}

function* register(task: Task, ctx: UserfaultfdCtx, arg: Vaddr): Steps<number> {
  const asked = yield* copyStruct(task, arg, UFFDIO_REGISTER_STRUCT, 8);
  if (asked === null) return fail(REGISTER_ERRNOS.fault);
  return yield* uffdRegister(task, ctx, arg, asked);
}

function* unregister(task: Task, ctx: UserfaultfdCtx, arg: Vaddr): Steps<number> {
  const asked = yield* copyStruct(task, arg, UFFDIO_RANGE_STRUCT, 0);
  if (asked === null) return fail(UNREGISTER_ERRNOS.fault);
  return yield* uffdUnregister(ctx, asked);
}

function* wake(task: Task, ctx: UserfaultfdCtx, arg: Vaddr): Steps<number> {
  const asked = yield* copyStruct(task, arg, UFFDIO_RANGE_STRUCT, 0);
  if (asked === null) return fail(WAKE_ERRNOS.fault);
  if (!validRange(asked.start, asked.len)) return fail(WAKE_ERRNOS.badRange);
  yield* wakeUserfault(ctx, asked.start, asked.len);
  return 0;
}

/** The look at the counter before anything else. */
export const wpEarlyNotChanging: Seam<(ctx: UserfaultfdCtx) => boolean> = seam(
  'userfaultfd.wpNotChanging',
  (ctx: UserfaultfdCtx): boolean => !ctx.isMmapChanging(),
  'WP: chk counter before any lock: answers EAGAIN at once; the chk under map_changing-R decides',
);

/** @linux userfaultfd_writeprotect */
function* writeprotect(task: Task, ctx: UserfaultfdCtx, arg: Vaddr): Steps<number> {
  const errnos = WRITEPROTECT_ERRNOS;
  yield* lookAtCounter(ctx);
  if (!wpEarlyNotChanging(ctx)) return fail(errnos.changingBefore);
  const asked = yield* copyStruct(task, arg, UFFDIO_WRITEPROTECT_STRUCT, 0);
  if (asked === null) return fail(errnos.fault);
  const { start, len, mode } = asked;
  if (!validRange(start, len)) return fail(errnos.badRange);
  if (mode > (UFFDIO_WRITEPROTECT_MODE_WP | UFFDIO_WRITEPROTECT_MODE_DONTWAKE)) {
    return fail(errnos.badMode);
  }
  const protect = (mode & UFFDIO_WRITEPROTECT_MODE_WP) !== 0;
  const dontwake = (mode & UFFDIO_WRITEPROTECT_MODE_DONTWAKE) !== 0;
  if (protect && dontwake) return fail(errnos.wpDontwake);
  if (!holdMm(task, ctx.mm)) return fail(errnos.noMm);
  const stop = yield* mwriteprotectRange(ctx, start, len, protect);
  yield* dropMm(task, ctx.mm);
  if (stop !== null) return fail(stop);
  if (!protect && !dontwake) yield* wakeUserfault(ctx, start, len);
  return 0;
}

export const UFFD_IOCTLS: readonly UffdIoctlRow[] = [
  {
    cmd: UFFDIO_API,
    name: 'UFFDIO_API',
    struct: UFFDIO_API_STRUCT,
    modes: {},
    handler: uffdApi,
    gap: '',
  },
  {
    cmd: UFFDIO_REGISTER,
    name: 'UFFDIO_REGISTER',
    struct: UFFDIO_REGISTER_STRUCT,
    modes: {
      MISSING: UFFDIO_REGISTER_MODE_MISSING,
      WP: UFFDIO_REGISTER_MODE_WP,
      MINOR: UFFDIO_REGISTER_MODE_MINOR,
    },
    handler: register,
    gap: '',
  },
  {
    cmd: UFFDIO_UNREGISTER,
    name: 'UFFDIO_UNREGISTER',
    struct: UFFDIO_RANGE_STRUCT,
    modes: {},
    handler: unregister,
    gap: '',
  },
  {
    cmd: UFFDIO_WAKE,
    name: 'UFFDIO_WAKE',
    struct: UFFDIO_RANGE_STRUCT,
    modes: {},
    handler: wake,
    gap: '',
  },
  {
    cmd: UFFDIO_COPY,
    name: 'UFFDIO_COPY',
    struct: UFFDIO_COPY_STRUCT,
    modes: { DONTWAKE: UFFDIO_COPY_MODE_DONTWAKE, WP: UFFDIO_COPY_MODE_WP },
    handler: uffdCopy,
    gap: '',
  },
  {
    cmd: UFFDIO_ZEROPAGE,
    name: 'UFFDIO_ZEROPAGE',
    struct: UFFDIO_ZEROPAGE_STRUCT,
    modes: { DONTWAKE: UFFDIO_ZEROPAGE_MODE_DONTWAKE },
    handler: uffdZeropage,
    gap: '',
  },
  {
    cmd: UFFDIO_MOVE,
    name: 'UFFDIO_MOVE',
    struct: UFFDIO_MOVE_STRUCT,
    modes: {
      DONTWAKE: UFFDIO_MOVE_MODE_DONTWAKE,
      ALLOW_SRC_HOLES: UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
    },
    handler: uffdMove,
    gap: 'Swapped and huge pages are not modelled yet.',
  },
  {
    cmd: UFFDIO_WRITEPROTECT,
    name: 'UFFDIO_WRITEPROTECT',
    struct: UFFDIO_WRITEPROTECT_STRUCT,
    modes: { WP: UFFDIO_WRITEPROTECT_MODE_WP, DONTWAKE: UFFDIO_WRITEPROTECT_MODE_DONTWAKE },
    handler: writeprotect,
    gap: '',
  },
  {
    cmd: UFFDIO_CONTINUE,
    name: 'UFFDIO_CONTINUE',
    struct: UFFDIO_CONTINUE_STRUCT,
    modes: { DONTWAKE: UFFDIO_CONTINUE_MODE_DONTWAKE, WP: UFFDIO_CONTINUE_MODE_WP },
    handler: uffdContinue,
    gap: '',
  },
  {
    cmd: UFFDIO_POISON,
    name: 'UFFDIO_POISON',
    struct: UFFDIO_POISON_STRUCT,
    modes: { DONTWAKE: UFFDIO_POISON_MODE_DONTWAKE },
    handler: uffdPoison,
    gap: '',
  },
];

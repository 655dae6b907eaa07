/**
 * The ioctls of a userfaultfd: copy the struct in, validate in the kernel's order, perform, write the out-field.
 * @linux fs/userfaultfd.c userfaultfd_ioctl; semantics.md sections 9.2 to 9.9
 */
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import {
  decodeStruct,
  encodeField,
  encodeStruct,
  type StructLayout,
  type StructValues,
  UFFD_API,
  UFFD_API_FEATURES,
  UFFD_API_IOCTLS,
  UFFD_FEATURE_EVENT_FORK,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_UNPOPULATED,
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
import { type ErrnoRow, fail } from '../errno-row.ts';
import { mmput } from '../mm/exit-mmap.ts';
import type { Mm, Vaddr } from '../mm/mm-types.ts';
import { mmgetNotZero } from '../mm/mm-users.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';
import { type MfillMode, mfillAtomic, mwriteprotectRange } from '../mm/userfaultfd.ts';
import { type Seam, seam } from '../seam.ts';
import { wakeUserfault } from './userfaultfd.ts';
import type { UserfaultfdCtx } from './userfaultfd-ctx.ts';
import {
  API_ERRNOS,
  CONTINUE_ERRNOS,
  COPY_ERRNOS,
  type FillErrnos,
  IOCTL_ERRNOS,
  POISON_ERRNOS,
  WAKE_ERRNOS,
  WRITEPROTECT_ERRNOS,
  ZEROPAGE_ERRNOS,
} from './userfaultfd-errnos.ts';
import {
  REGISTER_ERRNOS,
  UNREGISTER_ERRNOS,
  uffdRegister,
  uffdUnregister,
  validRange,
  validUnalignedRange,
} from './userfaultfd-register.ts';

type IoctlHandler = (task: Task, ctx: UserfaultfdCtx, arg: Vaddr) => Steps<number>;

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

/** Copies a struct in without its last `tail` bytes, which the kernel only writes; null: EFAULT. */
function* copyStruct<Name extends string>(
  task: Task,
  arg: Vaddr,
  layout: StructLayout<Name>,
  tail: 0 | 8,
): Steps<StructValues<Name> | null> {
  const bytes = yield* copyFromUser(task, arg, layout.size - tail);
  if (typeof bytes === 'number') return null;
  const whole = new Uint8Array(layout.size);
  whole.set(bytes);
  return decodeStruct(layout, whole);
}

/**
 * Keeps ctx.mm alive while a foreign process works on it; its own threads keep it alive by being there.
 * @returns false when it has no users any more
 */
function holdMm(task: Task, mm: Mm): boolean {
  return task.mm === mm || mmgetNotZero(mm);
}
function* dropMm(task: Task, mm: Mm): Steps<void> {
  if (task.mm !== mm) yield* mmput(mm);
}

/** Features this kernel version has on x86-64. */
export const apiFeatures: Seam<() => number> = seam(
  'userfaultfd.apiFeatures',
  (): number => UFFD_API_FEATURES,
);

/** @linux userfaultfd_api */
function* api(task: Task, ctx: UserfaultfdCtx, arg: Vaddr): Steps<number> {
  const asked = yield* copyStruct(task, arg, UFFDIO_API_STRUCT, 0);
  if (asked === null) return fail(API_ERRNOS.fault);
  const known = apiFeatures();
  const refused = refusesApi(task, asked, known);
  if (refused !== null) return yield* apiFailed(task, arg, refused);
  const answer = encodeStruct(UFFDIO_API_STRUCT, {
    api: UFFD_API,
    features: known,
    ioctls: UFFD_API_IOCTLS,
  });
  if ((yield* copyToUser(task, arg, answer)) < 0) return fail(API_ERRNOS.faultOut);
  if (ctx.initialized) return yield* apiFailed(task, arg, API_ERRNOS.twice);
  const implied = (asked.features & UFFD_FEATURE_WP_ASYNC) !== 0 ? UFFD_FEATURE_WP_UNPOPULATED : 0;
  ctx.setFeatures(asked.features | implied);
  return 0;
}

function refusesApi(
  task: Task,
  { api: version, features }: { readonly api: number; readonly features: number },
  known: number,
): ErrnoRow | null {
  if (version !== UFFD_API) return API_ERRNOS.badApi;
  if ((features & UFFD_FEATURE_EVENT_FORK) !== 0 && task.uid !== 0) return API_ERRNOS.notAllowed;
  if (features > UFFD_API_FEATURES || (features & ~known) !== 0) return API_ERRNOS.unknownFeature;
  return null;
}

/** A handshake that fails leaves zeroes in the struct. */
function* apiFailed(task: Task, arg: Vaddr, why: ErrnoRow): Steps<number> {
  const zeroes = new Uint8Array(UFFDIO_API_STRUCT.size);
  if ((yield* copyToUser(task, arg, zeroes)) < 0) return fail(API_ERRNOS.faultOut);
  return fail(why);
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

/** The look at the counter before anything else: a seam for each family of ioctls. */
export const fillNotChanging: Seam<(ctx: UserfaultfdCtx) => boolean> = seam(
  'userfaultfd.fillNotChanging',
  (ctx: UserfaultfdCtx): boolean => !ctx.isMmapChanging(),
  'COPY: chk counter before any lock: answers EAGAIN at once; the chk under map_changing-R decides',
);
export const wpEarlyNotChanging: Seam<(ctx: UserfaultfdCtx) => boolean> = seam(
  'userfaultfd.wpNotChanging',
  (ctx: UserfaultfdCtx): boolean => !ctx.isMmapChanging(),
  'WP: chk counter before any lock: answers EAGAIN at once; the chk under map_changing-R decides',
);

function* lookAtCounter(ctx: UserfaultfdCtx): Steps<void> {
  if (sched.wants()) yield* access('mmap_changing', ctx.changingCell, READ);
}

/** What COPY, ZEROPAGE, CONTINUE and POISON ask for. */
interface FillRequest {
  readonly dst: Vaddr;
  readonly src: Vaddr;
  readonly len: number;
  readonly mode: number;
}
/** How the four differ. */
interface FillKind<Name extends string> {
  readonly mode: MfillMode;
  readonly layout: StructLayout<Name>;
  readonly out: Name;
  readonly errnos: FillErrnos;
  readonly modes: number;
  /** The mode bit that leaves waiters asleep; the same for all. */
  readonly dontwake: number;
  readonly wp: number;
  readonly decode: (values: StructValues<Name>) => FillRequest;
}

/** The rules that the filling ioctls share, in order (semantics.md section 9.6). */
function filler<Name extends string>(kind: FillKind<Name>): IoctlHandler {
  const { layout, out, errnos } = kind;
  return function* (task, ctx, arg) {
    const putOut = function* (value: number): Steps<number> {
      const { offset, bytes } = encodeField(layout, out, value);
      return yield* copyToUser(task, arg + offset, bytes);
    };
    yield* lookAtCounter(ctx);
    if (!fillNotChanging(ctx)) {
      if ((yield* putOut(-errnos.changingBefore.errno)) < 0) return fail(errnos.faultOut);
      return fail(errnos.changingBefore);
    }
    const values = yield* copyStruct(task, arg, layout, 8);
    if (values === null) return fail(errnos.fault);
    const asked = kind.decode(values);
    const refused = refusesFill(kind, asked);
    if (refused !== null) return fail(refused);
    if (!holdMm(task, ctx.mm)) return fail(errnos.noMm);
    const { dst, src, len } = asked;
    const wp = (asked.mode & kind.wp) !== 0;
    const done = yield* mfillAtomic(task, { ctx, mode: kind.mode, dst, src, len, wp, errnos });
    yield* dropMm(task, ctx.mm);
    const value = typeof done === 'number' ? done : -done.errno;
    if ((yield* putOut(value)) < 0) return fail(errnos.faultOut);
    if (typeof done !== 'number') return fail(done);
    if ((asked.mode & kind.dontwake) === 0) yield* wakeUserfault(ctx, dst, done);
    return done === len ? 0 : fail(errnos.partial);
  };
}

function refusesFill(
  kind: { readonly mode: MfillMode; readonly errnos: FillErrnos; readonly modes: number },
  asked: FillRequest,
): ErrnoRow | null {
  const { errnos } = kind;
  if (kind.mode === 'copy' && !validUnalignedRange(asked.src, asked.len)) return errnos.badSource;
  if (!validRange(asked.dst, asked.len)) return errnos.badRange;
  if (asked.mode > kind.modes || (asked.mode & ~kind.modes) !== 0) return errnos.badMode;
  return null;
}

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

const startLen = (v: StructValues<'start' | 'len' | 'mode'>): FillRequest => ({
  dst: v.start,
  src: 0,
  len: v.len,
  mode: v.mode,
});

const copy = filler({
  mode: 'copy',
  layout: UFFDIO_COPY_STRUCT,
  out: 'copy',
  errnos: COPY_ERRNOS,
  modes: UFFDIO_COPY_MODE_DONTWAKE | UFFDIO_COPY_MODE_WP,
  dontwake: UFFDIO_COPY_MODE_DONTWAKE,
  wp: UFFDIO_COPY_MODE_WP,
  decode: (v) => v,
});
const zeropage = filler({
  mode: 'zeropage',
  layout: UFFDIO_ZEROPAGE_STRUCT,
  out: 'zeropage',
  errnos: ZEROPAGE_ERRNOS,
  modes: UFFDIO_ZEROPAGE_MODE_DONTWAKE,
  dontwake: UFFDIO_ZEROPAGE_MODE_DONTWAKE,
  wp: 0,
  decode: startLen,
});
const continue_ = filler({
  mode: 'continue',
  layout: UFFDIO_CONTINUE_STRUCT,
  out: 'mapped',
  errnos: CONTINUE_ERRNOS,
  modes: UFFDIO_CONTINUE_MODE_DONTWAKE | UFFDIO_CONTINUE_MODE_WP,
  dontwake: UFFDIO_CONTINUE_MODE_DONTWAKE,
  wp: UFFDIO_CONTINUE_MODE_WP,
  decode: startLen,
});
const poison = filler({
  mode: 'poison',
  layout: UFFDIO_POISON_STRUCT,
  out: 'updated',
  errnos: POISON_ERRNOS,
  modes: UFFDIO_POISON_MODE_DONTWAKE,
  dontwake: UFFDIO_POISON_MODE_DONTWAKE,
  wp: 0,
  decode: startLen,
});

export const UFFD_IOCTLS: readonly UffdIoctlRow[] = [
  {
    cmd: UFFDIO_API,
    name: 'UFFDIO_API',
    struct: UFFDIO_API_STRUCT,
    modes: {},
    handler: api,
    gap: 'EVENT_REMAP is accepted; mremap(2), which it reports, is not modelled yet.',
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
    gap: 'Only private anonymous memory: MODE_MINOR finds nothing that it could watch (EINVAL).',
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
    handler: copy,
    gap: 'Shared memory and hugetlb are not modelled yet.',
  },
  {
    cmd: UFFDIO_ZEROPAGE,
    name: 'UFFDIO_ZEROPAGE',
    struct: UFFDIO_ZEROPAGE_STRUCT,
    modes: { DONTWAKE: UFFDIO_ZEROPAGE_MODE_DONTWAKE },
    handler: zeropage,
    gap: 'Shared memory is not modelled yet.',
  },
  {
    cmd: UFFDIO_MOVE,
    name: 'UFFDIO_MOVE',
    struct: UFFDIO_MOVE_STRUCT,
    modes: {
      DONTWAKE: UFFDIO_MOVE_MODE_DONTWAKE,
      ALLOW_SRC_HOLES: UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
    },
    handler: null,
    gap: 'Not modelled yet.',
  },
  {
    cmd: UFFDIO_WRITEPROTECT,
    name: 'UFFDIO_WRITEPROTECT',
    struct: UFFDIO_WRITEPROTECT_STRUCT,
    modes: { WP: UFFDIO_WRITEPROTECT_MODE_WP, DONTWAKE: UFFDIO_WRITEPROTECT_MODE_DONTWAKE },
    handler: writeprotect,
    gap: 'Shared memory and hugetlb are not modelled yet.',
  },
  {
    cmd: UFFDIO_CONTINUE,
    name: 'UFFDIO_CONTINUE',
    struct: UFFDIO_CONTINUE_STRUCT,
    modes: { DONTWAKE: UFFDIO_CONTINUE_MODE_DONTWAKE, WP: UFFDIO_CONTINUE_MODE_WP },
    handler: continue_,
    gap: 'Only its errors: anonymous memory has no page cache to map from (EINVAL).',
  },
  {
    cmd: UFFDIO_POISON,
    name: 'UFFDIO_POISON',
    struct: UFFDIO_POISON_STRUCT,
    modes: { DONTWAKE: UFFDIO_POISON_MODE_DONTWAKE },
    handler: poison,
    gap: 'Shared memory and hugetlb are not modelled yet.',
  },
];

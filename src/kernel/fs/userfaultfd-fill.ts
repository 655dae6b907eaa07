/**
 * COPY, ZEROPAGE, CONTINUE and POISON as system calls: what they share, and how they differ.
 * @linux fs/userfaultfd.c userfaultfd_copy; semantics.md section 9.6
 */
import type { Steps } from '../../sched/op.ts';
import {
  encodeField,
  type StructLayout,
  type StructValues,
  UFFDIO_CONTINUE_MODE_DONTWAKE,
  UFFDIO_CONTINUE_MODE_WP,
  UFFDIO_CONTINUE_STRUCT,
  UFFDIO_COPY_MODE_DONTWAKE,
  UFFDIO_COPY_MODE_WP,
  UFFDIO_COPY_STRUCT,
  UFFDIO_POISON_MODE_DONTWAKE,
  UFFDIO_POISON_STRUCT,
  UFFDIO_ZEROPAGE_MODE_DONTWAKE,
  UFFDIO_ZEROPAGE_STRUCT,
} from '../../uapi/userfaultfd.ts';
import { type ErrnoRow, fail } from '../errno-row.ts';
import type { MfillMode } from '../mm/mfill-page.ts';
import type { Vaddr } from '../mm/mm-types.ts';
import { copyToUser } from '../mm/user-access.ts';
import { mfillAtomic } from '../mm/userfaultfd.ts';
import { type Seam, seam } from '../seam.ts';
import { wakeUserfault } from './userfaultfd.ts';
import {
  copyStruct,
  dropMm,
  holdMm,
  type IoctlHandler,
  lookAtCounter,
} from './userfaultfd-args.ts';
import type { UserfaultfdCtx } from './userfaultfd-ctx.ts';
import {
  CONTINUE_ERRNOS,
  COPY_ERRNOS,
  type FillErrnos,
  POISON_ERRNOS,
  ZEROPAGE_ERRNOS,
} from './userfaultfd-errnos.ts';
import { validRange, validUnalignedRange } from './userfaultfd-register.ts';

/** The look at the counter before anything else. */
export const fillNotChanging: Seam<(ctx: UserfaultfdCtx) => boolean> = seam(
  'userfaultfd.fillNotChanging',
  (ctx: UserfaultfdCtx): boolean => !ctx.isMmapChanging(),
  'COPY: chk counter before any lock: answers EAGAIN at once; the chk under map_changing-R decides',
);
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

const startLen = (v: StructValues<'start' | 'len' | 'mode'>): FillRequest => ({
  dst: v.start,
  src: 0,
  len: v.len,
  mode: v.mode,
});

export const uffdCopy: IoctlHandler = filler({
  mode: 'copy',
  layout: UFFDIO_COPY_STRUCT,
  out: 'copy',
  errnos: COPY_ERRNOS,
  modes: UFFDIO_COPY_MODE_DONTWAKE | UFFDIO_COPY_MODE_WP,
  dontwake: UFFDIO_COPY_MODE_DONTWAKE,
  wp: UFFDIO_COPY_MODE_WP,
  decode: (v) => v,
});
export const uffdZeropage: IoctlHandler = filler({
  mode: 'zeropage',
  layout: UFFDIO_ZEROPAGE_STRUCT,
  out: 'zeropage',
  errnos: ZEROPAGE_ERRNOS,
  modes: UFFDIO_ZEROPAGE_MODE_DONTWAKE,
  dontwake: UFFDIO_ZEROPAGE_MODE_DONTWAKE,
  wp: 0,
  decode: startLen,
});
export const uffdContinue: IoctlHandler = filler({
  mode: 'continue',
  layout: UFFDIO_CONTINUE_STRUCT,
  out: 'mapped',
  errnos: CONTINUE_ERRNOS,
  modes: UFFDIO_CONTINUE_MODE_DONTWAKE | UFFDIO_CONTINUE_MODE_WP,
  dontwake: UFFDIO_CONTINUE_MODE_DONTWAKE,
  wp: UFFDIO_CONTINUE_MODE_WP,
  decode: startLen,
});
export const uffdPoison: IoctlHandler = filler({
  mode: 'poison',
  layout: UFFDIO_POISON_STRUCT,
  out: 'updated',
  errnos: POISON_ERRNOS,
  modes: UFFDIO_POISON_MODE_DONTWAKE,
  dontwake: UFFDIO_POISON_MODE_DONTWAKE,
  wp: 0,
  decode: startLen,
});

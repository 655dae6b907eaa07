/** UFFDIO_MOVE as a system call. @linux fs/userfaultfd.c userfaultfd_move; semantics.md sections 9.6 and 9.8 */
import type { Steps } from '../../sched/op.ts';
import {
  encodeField,
  UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
  UFFDIO_MOVE_MODE_DONTWAKE,
  UFFDIO_MOVE_STRUCT,
} from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { fail } from '../errno-row.ts';
import type { Mm, Vaddr } from '../mm/mm-types.ts';
import { copyToUser } from '../mm/user-access.ts';
import { movePages } from '../mm/userfaultfd-move.ts';
import { seam } from '../seam.ts';
import { wakeUserfault } from './userfaultfd.ts';
import { copyStruct, dropMm, holdMm, lookAtCounter } from './userfaultfd-args.ts';
import type { UserfaultfdCtx } from './userfaultfd-ctx.ts';
import { MOVE_ERRNOS } from './userfaultfd-errnos.ts';
import { validRange } from './userfaultfd-register.ts';

const MODES = UFFDIO_MOVE_MODE_DONTWAKE | UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;

/** The look at the counter before anything else. */
export const moveEarlyNotChanging = seam(
  'userfaultfd.moveNotChanging',
  (ctx: UserfaultfdCtx): boolean => !ctx.isMmapChanging(),
  'MOVE: chk counter before any lock: answers EAGAIN at once; the chk under map_changing-R decides',
);

/** Whose memory the source is in; null: not this caller's to move. The proposal of 2023 took it from the caller. */
export const sourceMm = seam('move.sourceMm', (task: Task, ctx: UserfaultfdCtx): Mm | null =>
  task.mm === ctx.mm ? ctx.mm : null,
);

/** @param arg where struct uffdio_move is */
export function* uffdMove(task: Task, ctx: UserfaultfdCtx, arg: Vaddr): Steps<number> {
  const errnos = MOVE_ERRNOS;
  const putOut = function* (value: number): Steps<number> {
    const { offset, bytes } = encodeField(UFFDIO_MOVE_STRUCT, 'move', value);
    return yield* copyToUser(task, arg + offset, bytes);
  };
  yield* lookAtCounter(ctx);
  if (!moveEarlyNotChanging(ctx)) {
    if ((yield* putOut(-errnos.changingBefore.errno)) < 0) return fail(errnos.faultOut);
    return fail(errnos.changingBefore);
  }
  const asked = yield* copyStruct(task, arg, UFFDIO_MOVE_STRUCT, 8);
  if (asked === null) return fail(errnos.fault);
  const { dst, src, len, mode } = asked;
  const srcMm = sourceMm(task, ctx);
  if (srcMm === null) return fail(errnos.otherMm);
  if (!validRange(dst, len)) return fail(errnos.badRange);
  if (!validRange(src, len)) return fail(errnos.badSource);
  if (mode > MODES) return fail(errnos.badMode);
  if (!holdMm(task, ctx.mm)) return fail(errnos.noMm);
  const done = yield* movePages(task, { ctx, srcMm, dst, src, len, mode });
  yield* dropMm(task, ctx.mm);
  const value = typeof done === 'number' ? done : -done.errno;
  if ((yield* putOut(value)) < 0) return fail(errnos.faultOut);
  if (typeof done !== 'number') return fail(done);
  if ((mode & UFFDIO_MOVE_MODE_DONTWAKE) === 0) yield* wakeUserfault(ctx, dst, done);
  return done === len ? 0 : fail(errnos.partial);
}

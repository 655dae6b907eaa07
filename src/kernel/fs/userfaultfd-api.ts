/** UFFDIO_API: the handshake that chooses features. @linux fs/userfaultfd.c userfaultfd_api; semantics.md section 9.2 */
import type { Steps } from '../../sched/op.ts';
import {
  encodeStruct,
  UFFD_API,
  UFFD_API_FEATURES,
  UFFD_API_IOCTLS,
  UFFD_FEATURE_EVENT_FORK,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_UNPOPULATED,
  UFFDIO_API_STRUCT,
} from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { type ErrnoRow, fail } from '../errno-row.ts';
import type { Vaddr } from '../mm/mm-types.ts';
import { copyToUser } from '../mm/user-access.ts';
import { type Seam, seam } from '../seam.ts';
import { copyStruct } from './userfaultfd-args.ts';
import type { UserfaultfdCtx } from './userfaultfd-ctx.ts';
import { API_ERRNOS } from './userfaultfd-errnos.ts';

/** Features this kernel version has, on whatever architecture. */
export const apiFeatures: Seam<() => number> = seam(
  'userfaultfd.apiFeatures',
  (): number => UFFD_API_FEATURES,
);

/** Those of them that the architecture can do; all on x86-64. */
export const archFeatures: Seam<() => number> = seam(
  'userfaultfd.archFeatures',
  (): number => UFFD_API_FEATURES,
);

/** Which of the features asked for there are not: today also those that only other architectures have. */
export const missingFeatures: Seam<(asked: number) => number> = seam(
  'userfaultfd.missingFeatures',
  (asked: number): number => asked & ~(apiFeatures() & archFeatures()),
);

/** Whether a second handshake fails before anything else is looked at; old kernels did so. */
export const refusesSecondEarly: Seam<(ctx: UserfaultfdCtx) => boolean> = seam(
  'userfaultfd.refusesSecondEarly',
  (): boolean => false,
);

/** What fdinfo adds to the features once the handshake is made. @linux UFFD_FEATURE_INITIALIZED */
export const initializedBit: Seam<() => number> = seam(
  'userfaultfd.initializedBit',
  (): number => 0x80000000,
);

/** @linux userfaultfd_api */
export function* uffdApi(task: Task, ctx: UserfaultfdCtx, arg: Vaddr): Steps<number> {
  if (refusesSecondEarly(ctx)) return fail(API_ERRNOS.twiceEarly);
  const asked = yield* copyStruct(task, arg, UFFDIO_API_STRUCT, 0);
  if (asked === null) return fail(API_ERRNOS.fault);
  const refused = refusesApi(task, asked);
  if (refused !== null) return yield* apiFailed(task, arg, refused);
  const answer = encodeStruct(UFFDIO_API_STRUCT, {
    api: UFFD_API,
    features: apiFeatures() & archFeatures(),
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
): ErrnoRow | null {
  if (version !== UFFD_API) return API_ERRNOS.badApi;
  if ((features & UFFD_FEATURE_EVENT_FORK) !== 0 && task.uid !== 0) return API_ERRNOS.notAllowed;
  if (features > UFFD_API_FEATURES || missingFeatures(features) !== 0) {
    return API_ERRNOS.unknownFeature;
  }
  return null;
}

/** A handshake that fails leaves zeroes in the struct. */
function* apiFailed(task: Task, arg: Vaddr, why: ErrnoRow): Steps<number> {
  const zeroes = new Uint8Array(UFFDIO_API_STRUCT.size);
  if ((yield* copyToUser(task, arg, zeroes)) < 0) return fail(API_ERRNOS.faultOut);
  return fail(why);
}

/** PR_SET_THP_DISABLE and PR_GET_THP_DISABLE. @linux prctl(2), kernel/sys.c */
import type { Steps } from '../../sched/op.ts';
import { EINVAL } from '../../uapi/errno.ts';
import type { Mm } from '../mm/mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock } from '../mm/mmap-lock.ts';

export const PR_SET_THP_DISABLE = 41;
export const PR_GET_THP_DISABLE = 42;
/** Mappings that MADV_HUGEPAGE named still get huge pages (6.18). */
const PR_THP_DISABLE_EXCEPT_ADVISED = 2;

/**
 * @param args on, flags, 0, 0
 * @returns 0, or -EINVAL for an unknown flag, flags without on, or further arguments (measured on 6.18.44)
 */
export function* setThpDisable(mm: Mm, args: readonly number[]): Steps<number> {
  const [on = 0, flags = 0, third = 0, fourth = 0] = args;
  if (third !== 0 || fourth !== 0) return -EINVAL;
  if ((flags & ~PR_THP_DISABLE_EXCEPT_ADVISED) !== 0 || (on === 0 && flags !== 0)) return -EINVAL;
  yield* mmapWriteLock(mm);
  mm.thpDisable = on === 0 ? 'no' : flags === 0 ? 'all' : 'unadvised';
  mmapWriteUnlock(mm);
  return 0;
}

/** @returns 0; 1: none at all; 3: none but where advised */
export function getThpDisable(mm: Mm, args: readonly number[]): number {
  if (args.slice(0, 4).some((arg) => arg !== 0)) return -EINVAL;
  if (mm.thpDisable === 'no') return 0;
  return mm.thpDisable === 'all' ? 1 : 1 | PR_THP_DISABLE_EXCEPT_ADVISED;
}

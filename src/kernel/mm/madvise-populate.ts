/** MADV_POPULATE_READ and MADV_POPULATE_WRITE: what faulting a range in comes to. @linux mm/madvise.c madvise_populate */
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EHWPOISON, EINTR, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { fail } from '../errno-row.ts';
import { MADVISE_ERRORS } from './madvise-errors.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { faultInRange } from './populate.ts';

const E = MADVISE_ERRORS;

/** @linux mm/madvise.c madvise_populate */
export function* madvisePopulate(mm: Mm, start: Vaddr, end: Vaddr, write: boolean): Steps<number> {
  switch (yield* faultInRange(mm, start, end, write)) {
    case 0:
      return 0;
    case -EINVAL:
      return fail(E.populate);
    case -ENOMEM:
      return fail(E.hole);
    case -EHWPOISON:
      return fail(E.poison);
    case -EINTR:
      return fail(E.killed);
    case -EFAULT:
      return fail(E.fault);
    default:
      return -EFAULT;
  }
}

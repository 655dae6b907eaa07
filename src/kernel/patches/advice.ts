/** Advice that madvise(2) did not know yet in older kernels. */
import {
  MADV_COLLAPSE,
  MADV_DONTNEED_LOCKED,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
} from '../../uapi/mman.ts';
import { knownAdvice } from '../mm/madvise.ts';
import { narrow, type Override, type Patch } from '../seam.ts';

function withoutAdvice(...advice: readonly number[]): Override {
  return narrow(
    knownAdvice,
    (previous) => (behavior) => !advice.includes(behavior) && previous(behavior),
  );
}

export const noCollapse: Patch = {
  name: 'no-collapse',
  title: 'no MADV_COLLAPSE',
  reference: 'madvise(2), since Linux 6.1',
  versions: '<6.1',
  overrides: [withoutAdvice(MADV_COLLAPSE)],
};

export const noDontneedLocked: Patch = {
  name: 'no-dontneed-locked',
  title: 'no MADV_DONTNEED_LOCKED',
  reference: '9457056ac426',
  versions: '<5.18',
  overrides: [withoutAdvice(MADV_DONTNEED_LOCKED)],
};

export const noPopulate: Patch = {
  name: 'no-populate',
  title: 'no MADV_POPULATE_READ and MADV_POPULATE_WRITE',
  reference: 'madvise(2), since Linux 5.14',
  versions: '<5.14',
  overrides: [withoutAdvice(MADV_POPULATE_READ, MADV_POPULATE_WRITE)],
};

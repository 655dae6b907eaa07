/** Guard regions: kernels without them, and the order of the first proposal (October 2024). */
import { MADV_GUARD_INSTALL, MADV_GUARD_REMOVE } from '../../uapi/mman.ts';
import { anonVmaAlloc } from '../mm/anon-vma.ts';
import { anonVmaFirst, guardRestarts, guardRounds } from '../mm/guard.ts';
import { knownAdvice } from '../mm/madvise.ts';
import { narrow, override, type Patch } from '../seam.ts';

export const noGuardRegions: Patch = {
  name: 'no-guard-regions',
  title: 'no MADV_GUARD_INSTALL and MADV_GUARD_REMOVE',
  reference: '662df3e5c376',
  versions: '<6.13',
  overrides: [
    narrow(
      knownAdvice,
      (previous) => (behavior) =>
        behavior !== MADV_GUARD_INSTALL && behavior !== MADV_GUARD_REMOVE && previous(behavior),
    ),
  ],
};

export const guardAnonVmaLate: Patch = {
  name: 'guard-anon-vma-late',
  title: 'MADV_GUARD_INSTALL writes its markers first and then sees to an anon_vma',
  reference: 'RFC PATCH 3/4 of 2024-09-27, review of 2024-10-14',
  versions: 'proposed',
  overrides: [override(anonVmaFirst, () => () => false)],
};

export const guardEagain: Patch = {
  name: 'guard-eagain',
  title: 'MADV_GUARD_INSTALL tries twice and then leaves the race to user space (EAGAIN)',
  reference: 'RFC PATCH 3/4 of 2024-09-27, review of 2024-10-14',
  versions: 'proposed',
  overrides: [override(guardRounds, () => () => 2), override(guardRestarts, () => () => false)],
};

export const anonVmaFails: Patch = {
  name: 'anon-vma-fails',
  title: 'there is no memory for another anon_vma: fault injection',
  reference: 'CONFIG_FAILSLAB',
  versions: 'none',
  overrides: [override(anonVmaAlloc, () => () => false)],
};

/** Every patch there is, and the ones that remove a single re-validation. */
import { type AnyFunction, type Patch, seams } from '../seam.ts';
import { noCollapse, noDontneedLocked, noPopulate } from './advice.ts';
import { anonVmaDegree } from './anon-vma.ts';
import {
  archFeaturesAccepted,
  arm64NoWp,
  riscv64NoMinor,
  riscv64NoWp,
  wpWithoutEffect,
} from './architectures.ts';
import {
  anyoneMayCreate,
  noExactAddress,
  noMinor,
  noMinorShmem,
  noMove,
  noMseal,
  noPoison,
  noUserfaultfdDevice,
  noUserModeOnly,
  noWpAsync,
  noWpUnpopulated,
  secondHandshakeEarly,
} from './features.ts';
import { anonVmaFails, guardAnonVmaLate, guardEagain, noGuardRegions } from './guard-regions.ts';
import { GUP_PATCHES } from './gup.ts';
import { HUGETLB_PATCHES } from './hugetlb.ts';
import { ksmKeepsUffdWp } from './ksm.ts';
import { mmapChangingUnlocked } from './mmap-changing-unlocked.ts';
import { MOVE_PATCHES } from './move.ts';
import { mremapFlushLate, mremapOneVma, mremapTablesUnlocked } from './mremap.ts';
import { noPtReclaim } from './no-pt-reclaim.ts';
import { oomReaperRefault } from './oom.ts';
import { noPagemapScan, scanLosesDirty } from './pagemap-scan.ts';
import { PROPOSALS } from './proposals.ts';
import { noPteMarkers, noWpOnFiles, punchDropsMarkers } from './pte-markers.ts';
import { releaseKeepsGupGoing } from './release-keeps-gup-going.ts';
import { SOFT_DIRTY_PATCHES } from './soft-dirty.ts';
import { cowNoFlushPending, wpNoFlush } from './stale-tlb.ts';
import { swapDisk, swapinSkipsCache } from './swap.ts';

import { THP_PATCHES } from './thp.ts';

import { UFFD_WP_PATCHES } from './uffd-wp.ts';

import { unregisterAnyCtx } from './unregister-any-ctx.ts';
import { noFillVmaLocks, noMadviseVmaLocks, noVmaLocks } from './vma-locks.ts';
import { wpOneVma } from './wp-one-vma.ts';
import { WRITEBACK_PATCHES } from './writeback.ts';

/** Profiles take from here every patch whose `versions` are theirs: a line here is all that a new patch needs. */
export const PATCHES: readonly Patch[] = [
  ksmKeepsUffdWp,
  oomReaperRefault,
  swapinSkipsCache,
  swapDisk,
  unregisterAnyCtx,
  mremapOneVma,
  noMadviseVmaLocks,
  noPtReclaim,
  noMseal,
  noGuardRegions,
  noFillVmaLocks,
  mmapChangingUnlocked,
  noMove,
  noWpAsync,
  noPoison,
  wpOneVma,
  noWpUnpopulated,
  noVmaLocks,
  noCollapse,
  noExactAddress,
  noDontneedLocked,
  secondHandshakeEarly,
  noMinorShmem,
  noPopulate,
  noMinor,
  cowNoFlushPending,
  noUserfaultfdDevice,
  noUserModeOnly,
  anyoneMayCreate,
  arm64NoWp,
  riscv64NoWp,
  riscv64NoMinor,
  wpWithoutEffect,
  archFeaturesAccepted,
  wpNoFlush,
  guardAnonVmaLate,
  guardEagain,
  anonVmaFails,
  noPagemapScan,
  scanLosesDirty,
  anonVmaDegree,
  mremapFlushLate,
  mremapTablesUnlocked,
  noWpOnFiles,
  noPteMarkers,
  punchDropsMarkers,
  ...MOVE_PATCHES,
  ...WRITEBACK_PATCHES,
  ...GUP_PATCHES,
  releaseKeepsGupGoing,
  ...SOFT_DIRTY_PATCHES,
  ...THP_PATCHES,
  ...HUGETLB_PATCHES,
  ...UFFD_WP_PATCHES,
  ...PROPOSALS,
];

/** Patches that stand for an option of the kernel's build, which no version decides. */
export const CONFIGS: readonly string[] = ['soft-dirty', 'swap-disk', 'thp', 'thp-always'];

export function patchByName(name: string): Patch | null {
  return [...PATCHES, ...mutationPatches()].find((p) => p.name === name) ?? null;
}

/**
 * One patch for each re-validation ("chk" in semantics.md section 22): it answers "still valid" without looking. The
 * mutation run proves that a litmus file notices each of them, or that documentation says why none can.
 */
export function mutationPatches(): Patch[] {
  return seams().flatMap(({ name, check }) => {
    if (check === null) return [];
    const patch: Patch = {
      name: `without-${name}`,
      title: `removes a check: ${check}`,
      reference: 'semantics.md section 22',
      versions: 'none',
      overrides: [{ seam: name, make: alwaysValid }],
    };
    return [patch];
  });
}

/** A check is a plain predicate or, when looking takes a step, a generator function: the stand-in is of its kind. */
function alwaysValid(previous: AnyFunction): AnyFunction {
  if (Object.prototype.toString.call(previous) === '[object GeneratorFunction]') {
    return function* () {
      return true;
    };
  }
  return () => true;
}

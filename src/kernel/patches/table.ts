/** Every patch there is, and the ones that remove a single re-validation. */
import { type AnyFunction, type Patch, seams } from '../seam.ts';
import { noMove, noMseal, noPoison, noWpAsync, noWpUnpopulated } from './features.ts';
import { anonVmaFails, guardAnonVmaLate, guardEagain, noGuardRegions } from './guard-regions.ts';
import { mmapChangingUnlocked } from './mmap-changing-unlocked.ts';
import { mremapFlushLate, mremapOneVma } from './mremap.ts';
import { noPtReclaim } from './no-pt-reclaim.ts';

import { noPagemapScan } from './pagemap-scan.ts';

import { noPteMarkers, noWpOnFiles, punchDropsMarkers } from './pte-markers.ts';

import { cowNoFlushPending, wpNoFlush } from './stale-tlb.ts';
import { unregisterAnyCtx } from './unregister-any-ctx.ts';
import { noFillVmaLocks, noMadviseVmaLocks, noVmaLocks } from './vma-locks.ts';
import { wpOneVma } from './wp-one-vma.ts';

export const PATCHES: readonly Patch[] = [
  unregisterAnyCtx,
  mremapOneVma,
  noMadviseVmaLocks,
  noPtReclaim,
  noMseal,
  noFillVmaLocks,
  mmapChangingUnlocked,
  noMove,
  noWpAsync,
  noPoison,
  wpOneVma,
  noWpUnpopulated,
  noVmaLocks,
  wpNoFlush,
  cowNoFlushPending,
  noGuardRegions,
  guardAnonVmaLate,
  guardEagain,
  anonVmaFails,
  noPagemapScan,
  mremapFlushLate,
  noWpOnFiles,
  noPteMarkers,
  punchDropsMarkers,
];

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

// Who takes a page table away from walkers without locks waits for those inside (H11, 1013af4f585f).
import { expect, test } from 'vitest';
import { exploreKernel } from '../../../test/explore-kernel.ts';
import { pause } from '../../sched/access.ts';
import type { Steps } from '../../sched/op.ts';
import { unshareIgnoresWalkers } from '../patches/gup.ts';
import { stackPatches } from '../seam.ts';
import { beginLocklessWalk, endLocklessWalk, walkersHaveLeft } from './lockless-walk.ts';

/** A walk that sees a table and then uses it; somebody who takes it out of the tree, waits, and gives it to others. */
function outcomes(overrides: ReturnType<typeof stackPatches>): string[] {
  if (typeof overrides === 'string') throw new Error(overrides);
  const found = exploreKernel(
    () => {
      let [linked, foreign, pinned] = [true, false, 'nothing'];
      return {
        threads: [
          function* (): Steps<void> {
            beginLocklessWalk();
            const seen = linked;
            yield* pause('between');
            if (seen) pinned = foreign ? 'foreign' : 'own';
            endLocklessWalk();
          },
          function* (): Steps<void> {
            yield* pause('take out');
            linked = false;
            yield* walkersHaveLeft();
            foreign = true;
          },
        ],
        outcome: () => pinned,
      };
    },
    { overrides, strategy: 'dfs' },
  );
  expect([...found.errors]).toEqual([]);
  return [...found.outcomes.keys()].sort();
}

test('no walk uses a table that others have', () => {
  expect(outcomes(null)).toEqual(['nothing', 'own']);
});

test('before 6.16 one could', () => {
  expect(outcomes(stackPatches([unshareIgnoresWalkers]))).toContain('foreign');
});

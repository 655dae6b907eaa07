/** mremap as it was: the flush after the locks, and one mapping a call. */

import { flushAfterMove, flushMoved, takesRmapLocks } from '../mm/move-page-tables.ts';
import { movesSeveral } from '../mm/mremap.ts';
import { flushTlbRange } from '../mm/tlb.ts';
import { override, type Patch } from '../seam.ts';

export const mremapFlushLate: Patch = {
  name: 'mremap-flush-late',
  title: 'mremap flushes the old addresses after it has let go of the page-table locks',
  reference: 'CVE-2018-18281, eb66ae030829',
  versions: '<4.20',
  overrides: [
    override(flushMoved, () => () => undefined),
    override(
      flushAfterMove,
      () =>
        function* (mm, start, end) {
          yield* flushTlbRange(mm, start, end);
        },
    ),
  ],
};

export const mremapTablesUnlocked: Patch = {
  name: 'mremap-tables-unlocked',
  title:
    'mremap moves a whole table without the locks of the reverse mapping: pages are freed at the new place before the old is flushed',
  reference: '97113eb39fa7, CVE-2022-41222',
  versions: '>=5.0 <5.14',
  fixedIn: ['5.10.y'],
  overrides: [override(takesRmapLocks, () => (needed) => needed)],
};

export const mremapOneVma: Patch = {
  name: 'mremap-one-vma',
  title: 'mremap moves one mapping a call: a range that reaches beyond it is EFAULT',
  reference: 'semantics.md section 23',
  versions: '<6.17',
  overrides: [override(movesSeveral, () => () => false)],
};

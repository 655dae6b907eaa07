/** Swap: bringing a page in past the swap cache. */
import { swapinAlone, swapinFolio } from '../mm/swap-state.ts';
import { isSwapCached, swapCount } from '../mm/swapfile.ts';
import { override, type Patch } from '../seam.ts';

export const swapinSkipsCache: Patch = {
  name: 'swapin-skips-cache',
  title:
    'a fault reads a slot that one entry names into a page of its own, and nothing keeps the slot from being reused meanwhile',
  reference: '13ddaf26be32',
  versions: '>=4.15 <6.8',
  overrides: [
    override(
      swapinFolio,
      (previous) =>
        function* (offset) {
          if (isSwapCached(offset) || swapCount(offset) !== 1) return yield* previous(offset);
          return yield* swapinAlone(offset);
        },
    ),
  ],
};

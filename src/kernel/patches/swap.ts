/** Swap: bringing a page in past the swap cache. */
import { swapinAlone, swapinFolio } from '../mm/swap-state.ts';
import { isSwapCached, swapCount, swapIsSynchronous } from '../mm/swapfile.ts';
import { override, type Patch } from '../seam.ts';

export const swapinSkipsCache: Patch = {
  name: 'swapin-skips-cache',
  title:
    'a fault reads a slot of a synchronous device that one entry names into a page of its own, and nothing keeps the slot from being reused meanwhile',
  reference: '13ddaf26be32',
  versions: '>=4.15 <6.8',
  overrides: [
    override(
      swapinFolio,
      (previous) =>
        function* (offset) {
          const goesPast = swapIsSynchronous() && !isSwapCached(offset);
          if (!goesPast || swapCount(offset) !== 1) return yield* previous(offset);
          return yield* swapinAlone(offset);
        },
    ),
  ],
};

/** The default is zram, which is synchronous. */
export const swapDisk: Patch = {
  name: 'swap-disk',
  title: 'the swap device is a disk, not zram: `config swap-disk` of a litmus file',
  reference: 'SWP_SYNCHRONOUS_IO',
  versions: 'none',
  overrides: [override(swapIsSynchronous, () => () => false)],
};

/** What UFFDIO_MOVE of a page on the swap device looks at again. @linux mm/userfaultfd.c move_swap_pte */
import type { Pfn } from '../../machine/pte.ts';
import { seam } from '../seam.ts';
import { folioSwapOffset, isSwapCached } from './swapfile.ts';

/** Whether the swap cache is asked for a folio of the page. Kernels before 6.14 moved the entry alone (H1). */
export const looksForSwapFolio = seam('move.looksForSwapFolio', (): boolean => true);

/** Under the folio lock: does the folio that was found still stand for the slot? */
export const swapFolioSame = seam(
  'move.swapFolioSame',
  (pfn: Pfn, offset: number): boolean => folioSwapOffset(pfn) === offset,
  'MOVE: chk cache folio still the entry’s after locking it: the slot may have been freed and used again (H2)',
);

/** Under both page-table locks: has no folio come into the swap cache since none was found? */
export const noNewSwapFolio = seam(
  'move.noNewSwapFolio',
  (offset: number): boolean => !isSwapCached(offset),
  'MOVE: chk no new cache folio under both PTLs if none was found: its place in the rmap would be the old one (H2)',
);

/** PAGEMAP_SCAN: kernels without it, and what it once lost. */
import { getPte, setPte } from '../../machine/tables.ts';
import { pause } from '../../sched/access.ts';
import { knowsPagemapScan } from '../fs/proc/pagemap.ts';
import { protectedPte, protectSlot } from '../fs/proc/pagemap-scan.ts';
import { override, type Patch } from '../seam.ts';

export const noPagemapScan: Patch = {
  name: 'no-pagemap-scan',
  title: 'no PAGEMAP_SCAN',
  reference: '52526ca7fdb9',
  versions: '<6.7',
  overrides: [override(knowsPagemapScan, () => () => false)],
};

/** Between the look at an entry and its replacement a hart may note in it that it has written the page. */
export const scanLosesDirty: Patch = {
  name: 'scan-loses-dirty',
  title:
    'PAGEMAP_SCAN writes back the entry as it was read, without what harts have noted in it since',
  reference: 'c70dce4982ce',
  versions: '>=6.7 <6.9',
  overrides: [
    override(
      protectSlot,
      () =>
        function* (slot) {
          const pte = getPte(slot);
          yield* pause('write entry back');
          setPte(slot, protectedPte(pte));
        },
    ),
  ],
};

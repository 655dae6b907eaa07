import { knowsPagemapScan } from '../fs/proc/pagemap.ts';
import { override, type Patch } from '../seam.ts';

export const noPagemapScan: Patch = {
  name: 'no-pagemap-scan',
  title: 'no PAGEMAP_SCAN',
  reference: '52526ca7fdb9',
  versions: '<6.7',
  overrides: [override(knowsPagemapScan, () => () => false)],
};

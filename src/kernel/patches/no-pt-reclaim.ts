import { reclaimsPt } from '../mm/zap.ts';
import { override, type Patch } from '../seam.ts';

export const noPtReclaim: Patch = {
  name: 'no-pt-reclaim',
  title: 'MADV_DONTNEED leaves empty page tables where they are',
  reference: 'semantics.md section 23',
  versions: '<6.14',
  overrides: [override(reclaimsPt, () => () => false)],
};

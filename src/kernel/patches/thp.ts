/** Transparent huge pages: systems that use them, and what they once broke. */
import { emptyForAMoment, invalidatePmd } from '../mm/huge-pmd.ts';
import { thpSettings } from '../mm/thp-policy.ts';
import { THP_MADVISE } from '../mm/thp-settings.ts';
import { override, type Patch } from '../seam.ts';

const thp: Patch = {
  name: 'thp',
  title: 'huge pages where MADV_HUGEPAGE asks for them: `config thp` of a litmus file',
  reference: 'Documentation/admin-guide/mm/transhuge.rst',
  versions: 'none',
  overrides: [override(thpSettings, () => () => THP_MADVISE)],
};

const thpAlways: Patch = {
  name: 'thp-always',
  title: 'huge pages wherever they fit: `config thp-always` of a litmus file',
  reference: 'Documentation/admin-guide/mm/transhuge.rst',
  versions: 'none',
  overrides: [
    override(thpSettings, () => () => ({ ...THP_MADVISE, enabled: 'always', shmem: 'always' })),
  ],
};

const thpTransientClear: Patch = {
  name: 'thp-transient-clear',
  title: 'changing a huge page empties its entry for a moment: MADV_DONTNEED passes it by',
  reference: 'ced108037c2a, 58ceeb6bec86, 5b7abeae3af8',
  versions: '<4.12',
  overrides: [override(invalidatePmd, () => emptyForAMoment)],
};

export const THP_PATCHES: readonly Patch[] = [thp, thpAlways, thpTransientClear];

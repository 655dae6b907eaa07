/** Transparent huge pages: systems that use them, and what they once broke. */

import type { Steps } from '../../sched/op.ts';
import { emptyForAMoment, invalidatePmd } from '../mm/huge-pmd.ts';
import { holesAllowed } from '../mm/khugepaged-file.ts';
import { thpSettings } from '../mm/thp-policy.ts';
import { THP_MADVISE } from '../mm/thp-settings.ts';
import { keepsRefToLarge } from '../mm/userfaultfd-move.ts';
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

const collapseFillsHoles: Patch = {
  name: 'collapse-fills-holes',
  title: 'collapsing shared memory fills holes that somebody waits for with userfaultfd',
  reference: 'mm/khugepaged: skip shmem with userfaultfd',
  versions: '<6.4',
  overrides: [override(holesAllowed, () => noLook)],
};

function* noLook(): Steps<boolean> {
  return true;
}

/** The call of one page held the folio whose lock it waited for, so that the call of another could never split it. */
const moveKeepsLargeFolio: Patch = {
  name: 'move-keeps-large-folio',
  title: 'UFFDIO_MOVE holds a large folio while it waits for its lock',
  reference: '37b338eed105',
  versions: '<6.14',
  overrides: [override(keepsRefToLarge, () => () => true)],
};

export const THP_PATCHES: readonly Patch[] = [
  thp,
  thpAlways,
  thpTransientClear,
  collapseFillsHoles,
  moveKeepsLargeFolio,
];

/** Huge pages as they once were: what sharing of page tables, fork, holes and copies got wrong. */
import {
  hugetlbSplit,
  hugetlbSplitEarly,
  preallocatesForWp,
  unshareAtCut,
} from '../mm/hugetlb-change.ts';
import { forkKeepsUffdWp } from '../mm/hugetlb-copy.ts';
import { noHugePageRow } from '../mm/hugetlb-mfill.ts';
import { uffdDisablesPmdShare } from '../mm/hugetlb-pte.ts';
import { punchUnmap } from '../mm/hugetlb-truncate.ts';
import { restorePromise } from '../mm/hugetlb-zap.ts';
import { has, VM_UFFD_WP } from '../mm/vm-flags.ts';
import { override, type Patch } from '../seam.ts';

export const hugetlbUffdSharesPmds: Patch = {
  name: 'hugetlb-uffd-shares-pmds',
  title: 'page tables of huge pages are shared even where userfaultfd write-protects in them',
  reference: 'races.md S3.1',
  versions: 'proposed',
  overrides: [override(uffdDisablesPmdShare, () => () => false)],
};

export const hugetlbPunchDropsMarkers: Patch = {
  name: 'hugetlb-punch-drops-markers',
  title: 'hole punching of huge pages forgets write protection before it removes pages',
  reference: 'races.md S3.2',
  versions: 'proposed',
  overrides: [override(punchUnmap, () => () => ({ dropMarker: true }))],
};

export const hugetlbWpNeedsTables: Patch = {
  name: 'hugetlb-wp-needs-tables',
  title: 'write-protecting huge pages leaves out what has no page table yet',
  reference: '0f230bc24b6e',
  versions: '>=5.19 <6.4',
  fixedIn: ['6.1.y'],
  overrides: [override(preallocatesForWp, () => () => false)],
};

export const hugetlbForkKeepsUffdWp: Patch = {
  name: 'hugetlb-fork-keeps-uffd-wp',
  title: 'fork asks the parent, not the child, whether huge pages stay write-protected',
  reference: '5a2f8d22ace4',
  versions: '>=5.19 <6.4',
  fixedIn: ['6.1.y'],
  overrides: [override(forkKeepsUffdWp, () => (_dst, src) => has(src.flags, VM_UFFD_WP))],
};

export const hugetlbUnshareEarly: Patch = {
  name: 'hugetlb-unshare-early',
  title: 'a shared page table is given up before the mapping is cut, without the locks of the cut',
  reference: '081056dc00a2, CVE-2025-38084',
  versions: '<6.16',
  overrides: [
    override(hugetlbSplitEarly, () => unshareAtCut),
    override(hugetlbSplit, () => function* () {}),
  ],
};

export const hugetlbZapForgetsPromise: Patch = {
  name: 'hugetlb-zap-forgets-promise',
  title: 'a private huge page that is dropped is not promised to its owner again',
  reference: 'df7a6d1f6405',
  versions: '<6.9',
  overrides: [override(restorePromise, () => () => undefined)],
};

export const hugetlbCopyEnomem: Patch = {
  name: 'hugetlb-copy-enomem',
  title: 'UFFDIO_COPY of huge pages says ENOMEM when the pool is empty',
  reference: 'semantics.md 9.7: 6.12 ENOMEM, 6.18 EEXIST',
  versions: '<6.15',
  overrides: [override(noHugePageRow, () => (fill) => fill.errnos.noMemory)],
};

/** All of them, for the table. */
export const HUGETLB_PATCHES: readonly Patch[] = [
  hugetlbUffdSharesPmds,
  hugetlbPunchDropsMarkers,
  hugetlbWpNeedsTables,
  hugetlbForkKeepsUffdWp,
  hugetlbUnshareEarly,
  hugetlbZapForgetsPromise,
  hugetlbCopyEnomem,
];

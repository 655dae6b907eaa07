/** Write protection of memory of files: how it was before markers, and a way to lose them. */
import { UFFD_FEATURE_WP_HUGETLBFS_SHMEM } from '../../uapi/userfaultfd.ts';
import { apiFeatures } from '../fs/userfaultfd-api.ts';
import { wpOnFiles } from '../fs/userfaultfd-register.ts';
import { wpUsesMarkers } from '../mm/mprotect.ts';
import { firstUnmap } from '../mm/shmem.ts';
import { installsUffdWp } from '../mm/zap.ts';
import { narrow, override, type Patch } from '../seam.ts';

export const noWpOnFiles: Patch = {
  name: 'no-wp-on-files',
  title: 'shared memory cannot be registered for write protection',
  reference: 'b1f9e876862d',
  versions: '<5.19',
  overrides: [
    override(wpOnFiles, () => () => false),
    narrow(apiFeatures, (previous) => () => previous() & ~UFFD_FEATURE_WP_HUGETLBFS_SHMEM),
  ],
};

/** What the mails of 2021 began with: the bit alone, in entries that may be dropped at any time. */
export const noPteMarkers: Patch = {
  name: 'no-pte-markers',
  title: 'write protection of shared memory lives in present entries only and goes with them',
  reference: 'races.md S3.3, S4.3; 1db9dbc2ef05',
  versions: 'proposed',
  overrides: [
    override(installsUffdWp, () => () => false),
    override(
      wpUsesMarkers,
      (previous) => (vma, change) => vma.file === null && previous(vma, change),
    ),
  ],
};

export const punchDropsMarkers: Patch = {
  name: 'punch-drops-markers',
  title: 'truncation and hole punching forget write protection before they remove pages',
  reference: 'races.md S3.2',
  versions: 'proposed',
  overrides: [override(firstUnmap, () => (evenCows) => ({ dropMarker: true, evenCows }))],
};

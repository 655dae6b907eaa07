import { wpRangeAllowed } from '../mm/userfaultfd.ts';
import { has, VM_UFFD_WP } from '../mm/vm-flags.ts';
import { override, type Patch } from '../seam.ts';

/** Before 6.4 a range that spans two mappings, or a hole, could not be write-protected in one call. */
export const wpOneVma: Patch = {
  name: 'wp-one-vma',
  title: 'UFFDIO_WRITEPROTECT refuses a range that does not lie in one mapping (ENOENT)',
  reference: 'a1b92a3f1498',
  versions: '<6.4',
  overrides: [
    override(wpRangeAllowed, () => (mm, start, end) => {
      const vma = mm.vmas.find(start);
      return vma !== null && end <= vma.end && vma.uffd !== null && has(vma.flags, VM_UFFD_WP);
    }),
  ],
};

import { afterRelease, untilUnregistered } from '../fs/userfaultfd.ts';
import { FAULT_FLAG_INTERRUPTIBLE, flagged, VM_FAULT_NOPAGE } from '../mm/vm-fault.ts';
import { override, type Patch } from '../seam.ts';

/**
 * User faults let go of mmap_lock and start again, which comes to the same; get_user_pages looks at the page again, faults
 * again, and never lets go.
 */
export const releaseKeepsGupGoing: Patch = {
  name: 'release-keeps-gup-going',
  title:
    'a fault on a userfaultfd that is being closed says "try again", and get_user_pages does so without dropping mmap_lock',
  reference: 'fe4cdc2c4e24',
  versions: '<6.15',
  fixedIn: ['6.12.24'],
  overrides: [
    override(
      afterRelease,
      (previous) =>
        function* (vmf, ctx) {
          if (flagged(vmf.flags, FAULT_FLAG_INTERRUPTIBLE)) return yield* previous(vmf, ctx);
          yield* untilUnregistered(vmf.vma, ctx);
          return VM_FAULT_NOPAGE;
        },
    ),
  ],
};

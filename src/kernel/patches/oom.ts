/** The OOM reaper. */
import { stableAddressSpace } from '../mm/oom-stable.ts';
import { override, type Patch } from '../seam.ts';

export const oomReaperRefault: Patch = {
  name: 'oom-reaper-refault',
  title:
    'what the OOM reaper has taken comes back as zeroes, also to a system call of the victim that is still under way',
  reference: '6b31d5955cb2',
  versions: '>=4.6 <4.13',
  overrides: [override(stableAddressSpace, () => () => true)],
};

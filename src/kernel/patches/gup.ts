/** get_user_pages: what older kernels missed about forced writes, forks and pins. */
import { machine } from '../../machine/current.ts';
import { flagsAfterFault, gupMustUnshare } from '../mm/gup.ts';
import { FOLL_WRITE, type FollFlags, foll } from '../mm/gup-flags.ts';
import { walkersHaveLeft } from '../mm/lockless-walk.ts';
import { noOtherReference, pinnedOnFork } from '../mm/rmap.ts';
import { has, VM_WRITE } from '../mm/vm-flags.ts';
import { override, type Patch } from '../seam.ts';

export const gupForgetsWrite: Patch = {
  name: 'gup-forgets-write',
  title:
    'once a forced write has made its private copy, whatever page is there next is taken for it',
  reference: '19be0eaffa3a, CVE-2016-5195',
  versions: '<4.9',
  overrides: [
    override(
      flagsAfterFault,
      () => (vma, flags) =>
        foll(flags, FOLL_WRITE) && !has(vma.flags, VM_WRITE)
          ? ((flags & ~FOLL_WRITE) as FollFlags)
          : flags,
    ),
  ],
};

export const gupWithoutUnshare: Patch = {
  name: 'gup-without-unshare',
  title:
    'a page that others share is pinned for reading as it is; the next write makes a copy that the pin does not see',
  reference: 'a7f226604170',
  versions: '<5.19',
  overrides: [override(gupMustUnshare, () => () => false)],
};

export const forkSharesPinned: Patch = {
  name: 'fork-shares-pinned',
  title:
    'fork shares pages that a device has; the parent’s next write goes to a copy that the device does not see',
  reference: '70e806e4e645',
  versions: '<5.9',
  overrides: [override(pinnedOnFork, () => () => false)],
};

export const cowByMapcount: Patch = {
  name: 'cow-by-mapcount',
  title:
    'a page that one entry maps is written in place, although somebody else has a reference and reads it',
  reference: '17839856fd58, CVE-2020-29374',
  versions: '<5.8',
  overrides: [override(noOtherReference, () => (pfn) => machine.frames.mapcount(pfn) === 1)],
};

export const unshareIgnoresWalkers: Patch = {
  name: 'unshare-ignores-walkers',
  title:
    'a shared table of huge pages is given up while GUP-fast is in it, which then pins what others put there',
  reference: '1013af4f585f, CVE-2025-38085',
  versions: '<6.16',
  fixedIn: ['6.12.35'],
  overrides: [
    override(
      walkersHaveLeft,
      () =>
        function* () {
          return true;
        },
    ),
  ],
};

export const GUP_PATCHES: readonly Patch[] = [
  gupForgetsWrite,
  gupWithoutUnshare,
  forkSharesPinned,
  cowByMapcount,
  unshareIgnoresWalkers,
];

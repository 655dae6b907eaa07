/** What fork once did to userfaultfd, and write protection that mprotect takes away. */
import { cancelsForkEvents, keepsMarker, keepsUffdWp } from '../mm/fork.ts';
import { wantsWritenotify } from '../mm/page-prot.ts';
import { tracksSoftDirty } from '../mm/soft-dirty.ts';
import { has, VM_UFFD_WP } from '../mm/vm-flags.ts';
import { override, type Patch } from '../seam.ts';

export const forkKeepsUffdWp: Patch = {
  name: 'fork-keeps-uffd-wp',
  title: 'a child that nobody watches inherits write-protected entries',
  reference: '8f34f1eac382',
  versions: '<5.14',
  overrides: [
    override(
      keepsUffdWp,
      () => (dst, src) => has(dst.flags, VM_UFFD_WP) || has(src.flags, VM_UFFD_WP),
    ),
  ],
};

export const forkKeepsMarkers: Patch = {
  name: 'fork-keeps-markers',
  title: 'a child that nobody watches inherits the markers of write-protected empty slots',
  reference: '49d6d7fb6313',
  versions: '>=5.19 <6.2',
  fixedIn: ['6.1.y'],
  overrides: [override(keepsMarker, () => () => true)],
};

export const wpNoWritenotify: Patch = {
  name: 'wp-no-writenotify',
  title: 'mprotect gives write-protected shared pages the right to write that their mapping has',
  reference: '51d3d5eb74ff',
  versions: '>=5.19 <6.2',
  fixedIn: ['6.1.y'],
  overrides: [override(wantsWritenotify, () => (flags) => tracksSoftDirty(flags))],
};

export const forkFailurePostsEvents: Patch = {
  name: 'fork-failure-posts-events',
  title: 'a fork that fails half way posts its FORK events: a monitor gets a child that never was',
  reference: 'f64e67e5d3a4',
  versions: '<6.12',
  overrides: [override(cancelsForkEvents, () => () => false)],
};

/** All of them, for the table. */
export const UFFD_WP_PATCHES: readonly Patch[] = [
  forkKeepsUffdWp,
  forkKeepsMarkers,
  wpNoWritenotify,
  forkFailurePostsEvents,
];

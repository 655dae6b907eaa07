/** What UFFDIO_API and UFFDIO_REGISTER did not offer yet in older kernels: one patch a feature. */
import {
  _UFFDIO_MOVE,
  _UFFDIO_POISON,
  UFFD_FEATURE_MOVE,
  UFFD_FEATURE_POISON,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_UNPOPULATED,
  UFFDIO_MOVE,
  UFFDIO_POISON,
} from '../../uapi/userfaultfd.ts';
import { apiFeatures } from '../fs/userfaultfd-api.ts';
import { knownIoctl } from '../fs/userfaultfd-ioctl.ts';
import { rangeIoctls } from '../fs/userfaultfd-register.ts';
import { type Override, override, type Patch } from '../seam.ts';
import { hasMseal } from '../syscall/mseal.ts';

function withoutFeature(feature: number): Override {
  return override(apiFeatures, (previous) => () => previous() & ~feature);
}
function withoutIoctl(cmd: number, bit: number): readonly Override[] {
  return [
    override(knownIoctl, (previous) => (asked) => asked !== cmd && previous(asked)),
    override(rangeIoctls, (previous) => () => previous() & ~(1 << bit)),
  ];
}

export const noMove: Patch = {
  name: 'no-move',
  title: 'no UFFDIO_MOVE',
  reference: 'adef440691ba',
  versions: '<6.8',
  overrides: [withoutFeature(UFFD_FEATURE_MOVE), ...withoutIoctl(UFFDIO_MOVE, _UFFDIO_MOVE)],
};
export const noWpAsync: Patch = {
  name: 'no-wp-async',
  title: 'no UFFD_FEATURE_WP_ASYNC: write protection is always resolved by user space',
  reference: 'd61ea1cb0095',
  versions: '<6.7',
  overrides: [withoutFeature(UFFD_FEATURE_WP_ASYNC)],
  after: ['no-move'],
};
export const noPoison: Patch = {
  name: 'no-poison',
  title: 'no UFFDIO_POISON',
  reference: 'fc71884a5f59',
  versions: '<6.6',
  overrides: [withoutFeature(UFFD_FEATURE_POISON), ...withoutIoctl(UFFDIO_POISON, _UFFDIO_POISON)],
  after: ['no-move', 'no-wp-async'],
};
export const noWpUnpopulated: Patch = {
  name: 'no-wp-unpopulated',
  title: 'no UFFD_FEATURE_WP_UNPOPULATED: protecting leaves empty anonymous slots unprotected',
  reference: '2bad466cc9d9',
  versions: '<6.4',
  overrides: [withoutFeature(UFFD_FEATURE_WP_UNPOPULATED)],
  after: ['no-move', 'no-wp-async', 'no-poison'],
};
export const noMseal: Patch = {
  name: 'no-mseal',
  title: 'no mseal(2)',
  reference: '8be7258aad44',
  versions: '<6.10',
  overrides: [override(hasMseal, () => () => false)],
};

/** What UFFDIO_API and UFFDIO_REGISTER did not offer yet in older kernels: one patch a feature. */
import {
  _UFFDIO_MOVE,
  _UFFDIO_POISON,
  UFFD_FEATURE_EXACT_ADDRESS,
  UFFD_FEATURE_MINOR_HUGETLBFS,
  UFFD_FEATURE_MINOR_SHMEM,
  UFFD_FEATURE_MOVE,
  UFFD_FEATURE_POISON,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_UNPOPULATED,
  UFFD_USER_MODE_ONLY,
  UFFDIO_CONTINUE,
  UFFDIO_MOVE,
  UFFDIO_POISON,
  UFFDIO_REGISTER_MODE_MINOR,
} from '../../uapi/userfaultfd.ts';
import { apiFeatures, initializedBit, refusesSecondEarly } from '../fs/userfaultfd-api.ts';
import { hasUserfaultfdDevice, userfaultfdFlags } from '../fs/userfaultfd-dev.ts';
import { knownIoctl } from '../fs/userfaultfd-ioctl.ts';
import { minorOnShmem, rangeIoctls, registerModes } from '../fs/userfaultfd-register.ts';
import { narrow, type Override, override, type Patch } from '../seam.ts';
import { hasMseal } from '../syscall/mseal.ts';
import { mayCreate } from '../syscall/userfaultfd.ts';

function withoutFeature(feature: number): Override {
  return narrow(apiFeatures, (previous) => () => previous() & ~feature);
}
function knowsNot(cmd: number): Override {
  return narrow(knownIoctl, (previous) => (asked) => asked !== cmd && previous(asked));
}
function withoutIoctl(cmd: number, bit: number): readonly Override[] {
  return [knowsNot(cmd), narrow(rangeIoctls, (previous) => () => previous() & ~(1 << bit))];
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
};
export const noPoison: Patch = {
  name: 'no-poison',
  title: 'no UFFDIO_POISON',
  reference: 'fc71884a5f59',
  versions: '<6.6',
  overrides: [withoutFeature(UFFD_FEATURE_POISON), ...withoutIoctl(UFFDIO_POISON, _UFFDIO_POISON)],
};
export const noWpUnpopulated: Patch = {
  name: 'no-wp-unpopulated',
  title: 'no UFFD_FEATURE_WP_UNPOPULATED: protecting leaves empty anonymous slots unprotected',
  reference: '2bad466cc9d9',
  versions: '<6.4',
  overrides: [withoutFeature(UFFD_FEATURE_WP_UNPOPULATED)],
};
export const noExactAddress: Patch = {
  name: 'no-exact-address',
  title: 'no UFFD_FEATURE_EXACT_ADDRESS: messages give the page of the access',
  reference: 'UFFDIO_API(2const), since Linux 5.18',
  versions: '<5.18',
  overrides: [withoutFeature(UFFD_FEATURE_EXACT_ADDRESS)],
};
export const noMinorShmem: Patch = {
  name: 'no-minor-shmem',
  title: 'no UFFD_FEATURE_MINOR_SHMEM',
  reference: 'ioctl_userfaultfd(2), since Linux 5.14',
  versions: '<5.14',
  overrides: [withoutFeature(UFFD_FEATURE_MINOR_SHMEM), override(minorOnShmem, () => () => false)],
};
export const noMinor: Patch = {
  name: 'no-minor',
  title: 'no UFFDIO_REGISTER_MODE_MINOR and no UFFDIO_CONTINUE',
  reference: 'ioctl_userfaultfd(2), since Linux 5.13',
  versions: '<5.13',
  overrides: [
    withoutFeature(UFFD_FEATURE_MINOR_HUGETLBFS),
    knowsNot(UFFDIO_CONTINUE),
    narrow(registerModes, (previous) => () => previous() & ~UFFDIO_REGISTER_MODE_MINOR),
  ],
};
export const noUserModeOnly: Patch = {
  name: 'no-user-mode-only',
  title: 'no UFFD_USER_MODE_ONLY',
  reference: 'userfaultfd(2), since Linux 5.11',
  versions: '<5.11',
  overrides: [narrow(userfaultfdFlags, (previous) => () => previous() & ~UFFD_USER_MODE_ONLY)],
};
export const anyoneMayCreate: Patch = {
  name: 'anyone-may-create',
  title: 'vm.unprivileged_userfaultfd is 1 from the start: everybody may create a userfaultfd',
  reference: 'd0d4730ac2e4',
  versions: '<5.11',
  overrides: [override(mayCreate, () => () => true)],
};
export const noUserfaultfdDevice: Patch = {
  name: 'no-userfaultfd-device',
  title: 'no /dev/userfaultfd',
  reference: '2d5de004e009',
  versions: '<6.1',
  overrides: [override(hasUserfaultfdDevice, () => () => false)],
};
export const secondHandshakeEarly: Patch = {
  name: 'second-handshake-early',
  title: 'a second UFFDIO_API fails before its struct is read, and leaves it as it is',
  reference: '22e5fe2a2a27',
  versions: '<5.15',
  fixedIn: ['5.10.67'],
  overrides: [
    override(refusesSecondEarly, () => (ctx) => ctx.initialized),
    override(initializedBit, () => () => 0),
  ],
};
export const noMseal: Patch = {
  name: 'no-mseal',
  title: 'no mseal(2)',
  reference: '8be7258aad44',
  versions: '<6.10',
  overrides: [override(hasMseal, () => () => false)],
};

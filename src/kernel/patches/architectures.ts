/**
 * What arm64 and riscv64 cannot do: write protection needs a bit in page-table entries. riscv64 gets one with an
 * extension of the processor (Svrsw60t59b), for which there are kernel patches; no kernel modelled here has them.
 * semantics.md section 20
 */
import {
  UFFD_FEATURE_MINOR_HUGETLBFS,
  UFFD_FEATURE_MINOR_SHMEM,
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  UFFD_FEATURE_WP_UNPOPULATED,
  UFFDIO_REGISTER_MODE_MINOR,
  UFFDIO_REGISTER_MODE_WP,
} from '../../uapi/userfaultfd.ts';
import { apiFeatures, archFeatures, missingFeatures } from '../fs/userfaultfd-api.ts';
import { registerModes } from '../fs/userfaultfd-register.ts';
import { uffdWpBit } from '../mm/mprotect.ts';
import { narrow, type Override, override, type Patch } from '../seam.ts';

const WP_FEATURES =
  UFFD_FEATURE_PAGEFAULT_FLAG_WP |
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
  UFFD_FEATURE_WP_UNPOPULATED |
  UFFD_FEATURE_WP_ASYNC;
const MINOR_FEATURES = UFFD_FEATURE_MINOR_HUGETLBFS | UFFD_FEATURE_MINOR_SHMEM;

function without(features: number, mode: number): readonly Override[] {
  return [
    narrow(archFeatures, (previous) => () => previous() & ~features),
    narrow(registerModes, (previous) => () => previous() & ~mode),
  ];
}

export const arm64NoWp: Patch = {
  name: 'arm64-no-wp',
  title: 'no write protection by userfaultfd on arm64',
  reference: '5b32510af77b',
  versions: '>=5.14 <6.10',
  architectures: ['arm64'],
  overrides: without(WP_FEATURES, UFFDIO_REGISTER_MODE_WP),
};

export const riscv64NoWp: Patch = {
  name: 'riscv64-no-wp',
  title: 'no write protection by userfaultfd on riscv64',
  reference: 'semantics.md section 20',
  versions: '>=5.14',
  architectures: ['riscv64'],
  overrides: without(WP_FEATURES, UFFDIO_REGISTER_MODE_WP),
};

export const wpWithoutEffect: Patch = {
  name: 'wp-without-effect',
  title: 'architectures without the bit offer write protection and forget it: no write is reported',
  reference: '00b151f21f39',
  versions: '<5.14',
  architectures: ['arm64', 'riscv64'],
  overrides: [override(uffdWpBit, () => () => 0)],
};

export const riscv64NoMinor: Patch = {
  name: 'riscv64-no-minor',
  title: 'no MINOR mode on riscv64',
  reference: 'a2492ca86c98',
  versions: '>=5.13 <6.5',
  architectures: ['riscv64'],
  overrides: without(MINOR_FEATURES, UFFDIO_REGISTER_MODE_MINOR),
};

export const archFeaturesAccepted: Patch = {
  name: 'arch-features-accepted',
  title: 'the handshake accepts features that only other architectures have',
  reference: '1723f04caacb, CVE-2024-41027',
  versions: '<6.10',
  fixedIn: ['6.6.41'],
  architectures: ['arm64', 'riscv64'],
  overrides: [override(missingFeatures, () => (asked) => asked & ~apiFeatures())],
};

/**
 * Why userfaultfd(2), its handshake, fills and WRITEPROTECT fail: one table a call, in the kernel's order.
 * REGISTER's and UNREGISTER's stand with their code. semantics.md sections 9.1, 9.2, 9.6 and 9.9 (measured on 6.18.44)
 */
import { type ErrnoTable, errnoTable } from '../errno-row.ts';

const CHANGING = 'the address space is changing and the event that says so is not read yet';
const UNREADABLE = 'the struct cannot be read';
const BAD_RANGE = 'the range is empty, not page aligned, or outside user space';
const BAD_MODE = 'mode has an unknown bit';
const NO_MM = 'the address space of the userfaultfd is gone';

export const USERFAULTFD_ERRNOS: ErrnoTable<'notAllowed' | 'badFlags' | 'noFd'> = errnoTable(
  'userfaultfd',
  {
    notAllowed: [
      'EPERM',
      'without UFFD_USER_MODE_ONLY it takes CAP_SYS_PTRACE or vm.unprivileged_userfaultfd=1',
    ],
    badFlags: ['EINVAL', 'flags other than O_CLOEXEC, O_NONBLOCK and UFFD_USER_MODE_ONLY'],
    noFd: ['EMFILE', 'no descriptor is free'],
  },
);

/** What /dev/userfaultfd refuses; flags are refused as the system call does. */
export const DEVICE_ERRNOS: ErrnoTable<'unknown'> = errnoTable('USERFAULTFD_IOC_NEW', {
  unknown: ['EINVAL', 'the device knows no other ioctl'],
});

export const IOCTL_ERRNOS: ErrnoTable<'noHandshake' | 'unknown'> = errnoTable('ioctl', {
  noHandshake: ['EINVAL', 'UFFDIO_API has not been called on this userfaultfd'],
  unknown: ['EINVAL', 'no such ioctl of a userfaultfd'],
});

export const API_ERRNOS: ErrnoTable<
  'twiceEarly' | 'fault' | 'badApi' | 'notAllowed' | 'unknownFeature' | 'faultOut' | 'twice'
> = errnoTable('UFFDIO_API', {
  twiceEarly: ['EINVAL', 'before 5.15: the handshake has been made before'],
  fault: ['EFAULT', UNREADABLE],
  badApi: ['EINVAL', 'api is not UFFD_API'],
  notAllowed: ['EPERM', 'UFFD_FEATURE_EVENT_FORK takes CAP_SYS_PTRACE'],
  unknownFeature: ['EINVAL', 'a feature that this kernel or this architecture does not have'],
  faultOut: ['EFAULT', 'the struct cannot be written back'],
  twice: ['EINVAL', 'the handshake has been made before'],
});

export type FillErrnos = ErrnoTable<
  | 'changingBefore'
  | 'fault'
  | 'badSource'
  | 'badRange'
  | 'badMode'
  | 'noMm'
  | 'notRegistered'
  | 'changing'
  | 'notWp'
  | 'noHugeZero'
  | 'wrongKind'
  | 'cutsHuge'
  | 'noMemory'
  | 'tableGone'
  | 'continueBeyondEnd'
  | 'notCached'
  | 'poisoned'
  | 'cached'
  | 'noHugePage'
  | 'beyondEnd'
  | 'exists'
  | 'sourceFault'
  | 'killed'
  | 'faultOut'
  | 'partial'
>;

function fillErrnos(call: string): FillErrnos {
  return errnoTable(call, {
    changingBefore: ['EAGAIN', CHANGING],
    fault: ['EFAULT', UNREADABLE],
    badSource: ['EINVAL', 'the source range is empty or outside user space'],
    badRange: ['EINVAL', BAD_RANGE],
    badMode: ['EINVAL', BAD_MODE],
    noMm: ['ESRCH', NO_MM],
    notRegistered: ['ENOENT', 'no registered mapping contains the whole range'],
    changing: ['EAGAIN', CHANGING],
    notWp: ['EINVAL', 'mode asks for write protection, but the mapping is not registered for it'],
    noHugeZero: ['EINVAL', 'there is no zero page as large as a huge page'],
    wrongKind: ['EINVAL', 'the mapping is of a kind that this cannot fill'],
    cutsHuge: ['EINVAL', 'the range begins or ends within a huge page'],
    noMemory: ['ENOMEM', 'no memory for a page or a page table'],
    continueBeyondEnd: ['EINVAL', 'CONTINUE of a page beyond the end of the file'],
    notCached: ['EFAULT', 'CONTINUE of a page that the file does not have'],
    poisoned: ['EIO', 'CONTINUE of a page whose memory has failed'],
    cached: ['EEXIST', 'the file has that page already'],
    noHugePage: ['EEXIST', 'the pool has no huge page left (before 6.15: ENOMEM)'],
    tableGone: ['EAGAIN', 'the page table was freed meanwhile: try again'],
    beyondEnd: ['EFAULT', 'the page lies beyond the end of the file'],
    exists: ['EEXIST', 'something is mapped there already'],
    sourceFault: ['EFAULT', 'the source cannot be read'],
    killed: ['EINTR', 'a fatal signal is pending'],
    faultOut: ['EFAULT', 'the out-field cannot be written'],
    partial: ['EAGAIN', 'only part of the range was filled: the out-field says how much'],
  });
}

export const COPY_ERRNOS: FillErrnos = fillErrnos('UFFDIO_COPY');
export const ZEROPAGE_ERRNOS: FillErrnos = fillErrnos('UFFDIO_ZEROPAGE');
export const CONTINUE_ERRNOS: FillErrnos = fillErrnos('UFFDIO_CONTINUE');
export const POISON_ERRNOS: FillErrnos = fillErrnos('UFFDIO_POISON');

export const MOVE_ERRNOS: ErrnoTable<
  | 'changingBefore'
  | 'fault'
  | 'otherMm'
  | 'badRange'
  | 'badSource'
  | 'badMode'
  | 'noMm'
  | 'notRegistered'
  | 'noSource'
  | 'changing'
  | 'areas'
  | 'hole'
  | 'noMemory'
  | 'exists'
  | 'marker'
  | 'hugeAppeared'
  | 'notExclusive'
  | 'killed'
  | 'faultOut'
  | 'partial'
> = errnoTable('UFFDIO_MOVE', {
  changingBefore: ['EAGAIN', CHANGING],
  fault: ['EFAULT', UNREADABLE],
  otherMm: ['EINVAL', 'pages move within the address space that the userfaultfd belongs to'],
  badRange: ['EINVAL', BAD_RANGE],
  badSource: ['EINVAL', 'the source range is empty, not page aligned, or outside user space'],
  badMode: ['EINVAL', BAD_MODE],
  noMm: ['ESRCH', NO_MM],
  notRegistered: ['ENOENT', 'nothing is mapped at the destination'],
  noSource: ['ENOENT', 'nothing is mapped at the source'],
  changing: ['EAGAIN', CHANGING],
  areas: [
    'EINVAL',
    'source and destination must be private anonymous mappings that hold the whole range, writable and alike, the destination registered here',
  ],
  hole: ['ENOENT', 'no page is at the source, and holes are not allowed'],
  noMemory: ['ENOMEM', 'no memory for a page table'],
  exists: ['EEXIST', 'something is mapped at the destination already'],
  marker: ['EFAULT', 'the source is poisoned, a guard, or remembers a write protection'],
  hugeAppeared: ['EFAULT', 'a huge page came while the call looked: the proposal alone says so'],
  notExclusive: ['EBUSY', 'the page is shared or pinned, or was and has not been written since'],
  killed: ['EINTR', 'a fatal signal is pending'],
  faultOut: ['EFAULT', 'the out-field cannot be written'],
  partial: ['EAGAIN', 'only part of the range was moved: the out-field says how much'],
});

export const WAKE_ERRNOS: ErrnoTable<'fault' | 'badRange'> = errnoTable('UFFDIO_WAKE', {
  fault: ['EFAULT', UNREADABLE],
  badRange: ['EINVAL', BAD_RANGE],
});

export const WRITEPROTECT_ERRNOS: ErrnoTable<
  | 'changingBefore'
  | 'fault'
  | 'badRange'
  | 'badMode'
  | 'wpDontwake'
  | 'noMm'
  | 'changing'
  | 'oneVma'
  | 'notRegistered'
  | 'cutsHuge'
  | 'noMemory'
  | 'noVma'
> = errnoTable('UFFDIO_WRITEPROTECT', {
  changingBefore: ['EAGAIN', CHANGING],
  fault: ['EFAULT', UNREADABLE],
  badRange: ['EINVAL', BAD_RANGE],
  badMode: ['EINVAL', BAD_MODE],
  wpDontwake: ['EINVAL', 'protecting wakes nobody: MODE_DONTWAKE does not go with MODE_WP'],
  noMm: ['ESRCH', NO_MM],
  changing: ['EAGAIN', CHANGING],
  oneVma: ['ENOENT', 'before 6.4 the range had to lie in one mapping registered for it'],
  notRegistered: [
    'ENOENT',
    'a mapping in the range is not registered for write protection: those before it are done',
  ],
  cutsHuge: [
    'EINVAL',
    'the range begins or ends within a huge page of a mapping: those before it are done',
  ],
  noMemory: ['ENOMEM', 'no memory for a page table'],
  noVma: ['ENOENT', 'nothing is mapped in the range'],
});

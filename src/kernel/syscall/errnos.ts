/**
 * Checks of the calls that are not about memory, for `faultline explain`: one row each, in the order in which the code
 * of the call makes them. The calls of mm/ and of userfaultfd have their rows where they fail.
 */
import { type ErrnoRow, errnoTable } from '../errno-row.ts';

type Checks = Parameters<typeof errnoTable>[1];

const READ_FD = ['EBADF', 'fd is not open'] as const;
const NO_FD = ['EMFILE', 'no descriptor is free'] as const;
const BAD_POINTER = ['EFAULT', 'a pointer leads to memory that cannot be accessed'] as const;
const BAD_TIME = ['EINVAL', 'seconds are negative, or nanoseconds are none of a second'] as const;
const BAD_SET_SIZE = ['EINVAL', 'a signal set is not 8 bytes long'] as const;
const SIGNALLED = ['EINTR', 'a signal arrived'] as const;
const BAD_FLAGS = ['EINVAL', 'an unknown flag'] as const;
const BAD_CLOCK = ['EINVAL', 'there is no such clock'] as const;

const READS: Checks = {
  open: READ_FD,
  count: ['EINVAL', 'the count is negative'],
  readable: ['EBADF', 'fd is not open for reading'],
  directory: ['EISDIR', 'fd is a directory'],
  unreadable: ['EINVAL', 'this kind of file cannot be read'],
  handshake: ['EINVAL', 'a userfaultfd before its UFFDIO_API, or less room than one message of 32'],
  eventfd: ['EINVAL', 'an eventfd and less than 8 bytes'],
  empty: ['EAGAIN', 'nothing to read, and O_NONBLOCK'],
  signal: SIGNALLED,
  buffer: BAD_POINTER,
};
const WRITES: Checks = {
  open: READ_FD,
  count: ['EINVAL', 'the count is negative'],
  writable: ['EBADF', 'fd is not open for writing, or of a kind that nothing is written to'],
  buffer: BAD_POINTER,
  eventfd: ['EINVAL', 'an eventfd and less than 8 bytes, or the value that it never has'],
  sealed: ['EPERM', 'a memfd that is sealed against writing'],
  pipe: ['EPIPE', 'nobody has the other end of the pipe open any more'],
  full: ['EAGAIN', 'no room, and O_NONBLOCK'],
  signal: SIGNALLED,
};
const AT: Checks = {
  offset: ['EINVAL', 'the offset is negative'],
  open: READ_FD,
  seek: ['ESPIPE', 'this kind of file has no positions'],
};
const VECTOR: Checks = {
  open: READ_FD,
  iovcnt: ['EINVAL', 'more than 1024 buffers'],
  iov: BAD_POINTER,
  length: ['EINVAL', 'a buffer has a negative length'],
};
const TARGET: Checks = {
  signo: ['EINVAL', 'there is no such signal, or the thread id is not positive'],
  target: ['ESRCH', 'there is no such process or thread'],
};

/** Call by call. Those of several names share their checks. */
const CHECKS: readonly (readonly [names: string, checks: Checks])[] = [
  ['read', READS],
  ['pread64', { ...AT, ...READS }],
  ['readv', { ...VECTOR, ...READS }],
  ['write', WRITES],
  ['pwrite64', { ...AT, ...WRITES }],
  ['writev', { ...VECTOR, ...WRITES }],
  ['close', { open: READ_FD }],
  ['dup', { open: READ_FD, full: NO_FD }],
  [
    'dup3',
    {
      flags: ['EINVAL', 'an unknown flag, or both descriptors are the same'],
      open: ['EBADF', 'oldfd is not open, or newfd is beyond the limit'],
    },
  ],
  [
    'fcntl',
    {
      open: READ_FD,
      from: ['EINVAL', 'F_DUPFD from beyond the limit'],
      full: NO_FD,
      command: ['EINVAL', 'a command that is not modelled'],
    },
  ],
  [
    'lseek',
    {
      open: READ_FD,
      seek: ['ESPIPE', 'this kind of file has no positions'],
      whence: ['EINVAL', 'the new position would be negative, or whence is unknown'],
      data: ['ENXIO', 'SEEK_DATA or SEEK_HOLE from the end of the file on, or no data behind'],
    },
  ],
  ['pipe2', { flags: BAD_FLAGS, full: NO_FD, pointer: BAD_POINTER }],
  ['eventfd2', { flags: BAD_FLAGS, full: NO_FD }],
  [
    'pidfd_open',
    {
      flags: ['EINVAL', 'an unknown flag, or a pid that is not positive'],
      target: ['ESRCH', 'there is no such process'],
      thread: ['EINVAL', 'a thread that does not lead its process'],
      full: NO_FD,
    },
  ],
  [
    'ppoll',
    {
      count: ['EINVAL', 'more descriptors than can be open'],
      fds: BAD_POINTER,
      time: BAD_TIME,
      size: BAD_SET_SIZE,
      mask: BAD_POINTER,
      signal: SIGNALLED,
    },
  ],
  [
    'futex',
    {
      unaligned: ['EINVAL', 'uaddr is not a multiple of 4'],
      beyond: ['EFAULT', 'uaddr is outside user space'],
      bitset: ['EINVAL', 'a bitset of 0'],
      pointer: BAD_POINTER,
      time: BAD_TIME,
      changed: ['EAGAIN', 'the word does not hold the value that was expected'],
      signal: SIGNALLED,
      late: ['ETIMEDOUT', 'nobody woke the caller in time'],
      command: ['ENOSYS', 'an operation that is not modelled'],
    },
  ],
  ['nanosleep', { pointer: BAD_POINTER, time: BAD_TIME, signal: SIGNALLED }],
  [
    'clock_nanosleep',
    { clock: BAD_CLOCK, pointer: BAD_POINTER, time: BAD_TIME, signal: SIGNALLED },
  ],
  ['clock_gettime', { clock: BAD_CLOCK, pointer: BAD_POINTER }],
  ['clock_getres', { clock: BAD_CLOCK, pointer: BAD_POINTER }],
  ['gettimeofday uname sysinfo getcpu', { pointer: BAD_POINTER }],
  ['getrandom', { flags: BAD_FLAGS, buffer: BAD_POINTER }],
  [
    'getrusage',
    {
      who: ['EINVAL', 'who is neither the process, its children nor the thread'],
      pointer: BAD_POINTER,
    },
  ],
  ['prlimit64', { resource: ['EINVAL', 'there is no such resource'], pointer: BAD_POINTER }],
  [
    'sched_getaffinity',
    { size: ['EINVAL', 'the mask is not a multiple of 8 bytes long'], pointer: BAD_POINTER },
  ],
  [
    'prctl',
    {
      option: [
        'EINVAL',
        'an option that is not modelled, or an argument that is not 0 where it must be',
      ],
    },
  ],
  ['rseq riscv_hwprobe', { absent: ['ENOSYS', 'the call is not there'] }],
  [
    'clone',
    {
      thread: ['EINVAL', 'CLONE_THREAD without CLONE_SIGHAND'],
      sighand: ['EINVAL', 'CLONE_SIGHAND without CLONE_VM'],
      memory: ['ENOMEM', 'no memory for the child'],
    },
  ],
  [
    'clone3',
    {
      size: ['EINVAL', 'the struct is shorter than 64 bytes'],
      pointer: BAD_POINTER,
      thread: ['EINVAL', 'CLONE_THREAD without CLONE_SIGHAND'],
      sighand: ['EINVAL', 'CLONE_SIGHAND without CLONE_VM'],
      memory: ['ENOMEM', 'no memory for the child'],
    },
  ],
  [
    'wait4',
    {
      none: ['ECHILD', 'the caller has no such child'],
      pointer: BAD_POINTER,
      signal: SIGNALLED,
    },
  ],
  ['kill tkill tgkill', TARGET],
  [
    'rt_sigaction',
    {
      signo: ['EINVAL', 'there is no such signal, or a signal set is not 8 bytes long'],
      fixed: ['EINVAL', 'SIGKILL and SIGSTOP keep their actions'],
      pointer: BAD_POINTER,
    },
  ],
  [
    'rt_sigprocmask',
    { size: BAD_SET_SIZE, pointer: BAD_POINTER, how: ['EINVAL', 'there is no such change'] },
  ],
  ['rt_sigpending', { size: ['EINVAL', 'a set of more than 8 bytes'], pointer: BAD_POINTER }],
  ['rt_sigsuspend', { size: BAD_SET_SIZE, pointer: BAD_POINTER, signal: SIGNALLED }],
  [
    'rt_sigtimedwait',
    {
      size: BAD_SET_SIZE,
      pointer: BAD_POINTER,
      time: BAD_TIME,
      late: ['EAGAIN', 'none of the signals arrived in time'],
      signal: ['EINTR', 'another signal arrived'],
    },
  ],
  [
    'sigaltstack',
    {
      pointer: BAD_POINTER,
      inUse: ['EPERM', 'the caller runs on the alternate stack'],
      flags: ['EINVAL', 'flags other than SS_ONSTACK and SS_DISABLE'],
      small: ['ENOMEM', 'the stack is smaller than MINSIGSTKSZ'],
    },
  ],
];

/** The rows of every call above, in order. */
export const OTHER_ERRNOS: readonly ErrnoRow[] = CHECKS.flatMap(([names, checks]) =>
  names.split(' ').flatMap((name) => Object.values(errnoTable(name, checks))),
);

/** Calls that share the checks of another. */
export const SAME_CHECKS: Readonly<Record<string, string>> = {
  mlock2: 'mlock',
  munlock: 'mlock',
  munlockall: 'mlockall',
};

/** Calls of which no check fails: those without arguments, and those that answer with a value either way. */
export const NEVER_FAILS: readonly string[] = [
  'brk',
  'exit',
  'exit_group',
  'getegid',
  'geteuid',
  'getgid',
  'getpid',
  'getppid',
  'gettid',
  'getuid',
  'sched_setaffinity',
  'sched_yield',
  'set_robust_list',
  'set_tid_address',
  'sync',
  'umask',
];

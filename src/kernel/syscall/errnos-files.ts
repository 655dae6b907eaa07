/** Checks of the calls that work on names and files, for `faultline explain`: as errnos.ts has those of the others. */
import { type ErrnoRow, errnoTable } from '../errno-row.ts';

type Checks = Parameters<typeof errnoTable>[1];

const OPEN_FD = ['EBADF', 'fd is not open'] as const;
const BAD_POINTER = ['EFAULT', 'a pointer leads to memory that cannot be accessed'] as const;
const LONG_PATH = ['ENAMETOOLONG', 'the path has no end within 4096 bytes'] as const;
const BAD_FLAGS = ['EINVAL', 'an unknown flag'] as const;

/** Of every call that takes a path. */
const WALK: Checks = {
  pointer: BAD_POINTER,
  long: LONG_PATH,
  base: ['EBADF', 'dirfd is not open'],
  notDir: ['ENOTDIR', 'dirfd, or something on the way, is no directory'],
  loop: ['ELOOP', 'more than 40 links on the way'],
  enter: ['EACCES', 'a directory on the way may not be entered'],
  missing: ['ENOENT', 'there is no such file, or no such directory on the way'],
};
const CHANGE = ['EACCES', 'names may not be changed in the directory'] as const;
const OWNER = ['EPERM', 'the file is of another user'] as const;

const SOCKET: Checks = { open: OPEN_FD, kind: ['ENOTSOCK', 'fd is no socket'] };
const SEND: Checks = {
  pointer: BAD_POINTER,
  vecs: ['EMSGSIZE', 'more than 1024 buffers, or a message over 212992 bytes'],
  name: ['EISCONN', 'an address is given, and the socket is connected'],
  control: ['EINVAL', 'a control message that is cut off, or no SCM_RIGHTS'],
  rights: ['EBADF', 'a descriptor to be sent is not open'],
  refused: ['ECONNREFUSED', 'the other end of a SOCK_DGRAM pair is closed'],
  pipe: ['EPIPE', 'the other end is closed, or this one shut down for writing'],
  full: ['EAGAIN', 'no room, and nobody wants to wait'],
  signal: ['EINTR', 'a signal arrived'],
};
const RECEIVE: Checks = {
  pointer: BAD_POINTER,
  vecs: ['EMSGSIZE', 'more than 1024 buffers'],
  reset: ['ECONNRESET', 'the other end was closed over what it had not received'],
  empty: ['EAGAIN', 'nothing to receive, and nobody wants to wait'],
  signal: ['EINTR', 'a signal arrived'],
  buffer: BAD_POINTER,
};

/** Call by call. Those of several names share their checks. */
const CHECKS: readonly (readonly [names: string, checks: Checks])[] = [
  ['fstat', { open: OPEN_FD, pointer: BAD_POINTER }],
  ['newfstatat statx', { ...WALK, open: OPEN_FD, buffer: BAD_POINTER }],
  [
    'readlinkat',
    {
      size: ['EINVAL', 'the buffer is empty'],
      ...WALK,
      kind: ['EINVAL', 'the path names no link'],
      buffer: BAD_POINTER,
    },
  ],
  [
    'faccessat faccessat2',
    {
      mode: ['EINVAL', 'a mode that does not exist'],
      ...WALK,
      access: ['EACCES', 'the permissions of the file forbid it'],
    },
  ],
  [
    'unlinkat',
    {
      flags: BAD_FLAGS,
      ...WALK,
      root: ['EBUSY', 'the root, or where a file system is mounted'],
      procfs: ['EPERM', 'procfs keeps its names'],
      change: CHANGE,
      isDir: ['EISDIR', 'a directory without AT_REMOVEDIR'],
      notEmpty: ['ENOTEMPTY', 'the directory is not empty'],
    },
  ],
  [
    'mkdirat symlinkat',
    {
      ...WALK,
      exists: ['EEXIST', 'the name is taken'],
      procfs: ['EPERM', 'procfs keeps its names'],
      change: CHANGE,
    },
  ],
  [
    'renameat2',
    {
      flags: ['EINVAL', 'an unknown flag, or both flags'],
      ...WALK,
      root: ['EBUSY', 'the root, `.` or `..`'],
      device: ['EXDEV', 'the names are on two file systems'],
      change: CHANGE,
      inside: ['EINVAL', 'a directory into itself'],
      exists: ['EEXIST', 'RENAME_NOREPLACE, and the name is taken'],
      isDir: ['EISDIR', 'a file over a directory'],
      notEmpty: ['ENOTEMPTY', 'over a directory that is not empty'],
    },
  ],
  [
    'linkat',
    {
      ...WALK,
      exists: ['EEXIST', 'the name is taken'],
      kind: ['EPERM', 'a directory gets no second name'],
      device: ['EXDEV', 'the names are on two file systems'],
      change: CHANGE,
    },
  ],
  [
    'getdents64',
    {
      open: OPEN_FD,
      kind: ['ENOTDIR', 'fd is no directory'],
      room: ['EINVAL', 'not even one entry fits'],
      buffer: BAD_POINTER,
    },
  ],
  ['chdir', WALK],
  [
    'fchdir',
    {
      open: OPEN_FD,
      kind: ['ENOTDIR', 'fd is no directory'],
      enter: ['EACCES', 'the directory may not be entered'],
    },
  ],
  [
    'getcwd',
    {
      gone: ['ENOENT', 'the directory has been removed'],
      room: ['ERANGE', 'the buffer is too small'],
      buffer: BAD_POINTER,
    },
  ],
  ['fchmod fchown', { open: OPEN_FD, owner: OWNER }],
  ['fchmodat fchownat', { ...WALK, owner: OWNER }],
  ['utimensat', { flags: BAD_FLAGS, ...WALK }],
  ['statfs', { ...WALK, buffer: BAD_POINTER }],
  [
    'fsync fdatasync',
    { open: OPEN_FD, kind: ['EINVAL', 'a kind of file that nothing is written back from'] },
  ],
  [
    'sync_file_range',
    {
      open: OPEN_FD,
      range: ['EINVAL', 'an unknown flag, or a negative offset or length'],
      kind: ['ESPIPE', 'fd is no regular file and no directory'],
    },
  ],
  [
    'socketpair',
    {
      flags: BAD_FLAGS,
      domain: ['EAFNOSUPPORT', 'no domain but AF_UNIX'],
      protocol: ['EPROTONOSUPPORT', 'a protocol that AF_UNIX does not have'],
      type: ['ESOCKTNOSUPPORT', 'a type that AF_UNIX does not have'],
      full: ['EMFILE', 'no descriptor is free'],
      pointer: BAD_POINTER,
    },
  ],
  ['sendto sendmsg', { ...SOCKET, ...SEND }],
  ['recvfrom recvmsg', { ...SOCKET, ...RECEIVE }],
  ['shutdown', { how: ['EINVAL', 'how is none of the three'], ...SOCKET }],
  [
    'execve execveat',
    {
      flags: BAD_FLAGS,
      strings: BAD_POINTER,
      many: ['E2BIG', 'more arguments than a stack takes, or one of over 4096 bytes'],
      ...WALK,
      mode: ['EACCES', 'no regular file, or not executable'],
      format: ['ENOEXEC', 'no static riscv64 executable'],
    },
  ],
  [
    'truncate',
    {
      length: ['EINVAL', 'the length is negative'],
      ...WALK,
      isDir: ['EISDIR', 'the path names a directory'],
      access: ['EACCES', 'the file may not be written'],
      kind: ['EINVAL', 'the path names no regular file'],
      sealed: ['EPERM', 'a seal forbids the new size'],
    },
  ],
  ['fstatfs', { open: OPEN_FD, buffer: BAD_POINTER }],
];

/** The rows of every call above, in order. */
export const FILE_ERRNOS: readonly ErrnoRow[] = CHECKS.flatMap(([names, checks]) =>
  names.split(' ').flatMap((name) => Object.values(errnoTable(name, checks))),
);

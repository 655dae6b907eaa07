/** open(2), stat(2), readlink(2), access(2): names. The tree holds procfs and a few devices; nothing of the host. */
import type { Steps } from '../../sched/op.ts';
import { EACCES, EBADF, EFAULT, EINVAL, ENAMETOOLONG, ENOENT } from '../../uapi/errno.ts';
import { AT_EMPTY_PATH, O_ACCMODE, O_CLOEXEC, O_RDONLY } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { asciiBytes } from '../fs/bytes-file.ts';
import { type File, fput } from '../fs/file.ts';
import { openPath } from '../fs/namei.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';
import { address, fd, flags, length, number, string, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const PATH_MAX = 4096;
/** struct stat of asm-generic: 128 bytes. */
const STAT_BYTES = 128;
const PAGE = 4096;

/** Copies in a path. @returns it, or a negative errno */
export function* readPath(task: Task, pointer: number): Steps<string | number> {
  let path = '';
  while (path.length < PATH_MAX) {
    // Up to the end of the page: what follows the terminating NUL may not be mapped.
    const at = pointer + path.length;
    const part = yield* copyFromUser(task, at, Math.min(64, PAGE - (at % PAGE)));
    if (typeof part === 'number') return -EFAULT;
    for (const byte of part) {
      if (byte === 0) return path;
      path += String.fromCharCode(byte);
    }
  }
  return -ENAMETOOLONG;
}

function* sysOpenat(task: Task, args: SysArgs): Steps<number> {
  const [, pointer = 0, how = 0] = args;
  const path = yield* readPath(task, pointer);
  if (typeof path === 'number') return path;
  const file = openPath(task, path, how);
  if (typeof file === 'number') return file;
  return task.files.install(file, (how & O_CLOEXEC) !== 0);
}

function* statTo(task: Task, file: File, pointer: number): Steps<number> {
  const { size, mode, rdev, blocks, blksize } = file.ops.stat?.(file) ?? { size: 0, mode: 0o600 };
  const bytes = new Uint8Array(STAT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, 1n, true);
  view.setBigUint64(8, 1n, true);
  view.setUint32(16, mode, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, BigInt(rdev ?? 0), true);
  view.setBigInt64(48, BigInt(size), true);
  view.setInt32(56, blksize ?? PAGE, true);
  view.setBigInt64(64, BigInt(blocks ?? Math.ceil(size / 512)), true);
  return yield* copyToUser(task, pointer, bytes);
}

function* sysFstat(task: Task, args: SysArgs): Steps<number> {
  const [number_ = -1, pointer = 0] = args;
  const file = task.files.get(number_);
  return file === null ? -EBADF : yield* statTo(task, file, pointer);
}

function* sysNewfstatat(task: Task, args: SysArgs): Steps<number> {
  const [directory = 0, pathPointer = 0, pointer = 0, how = 0] = args;
  const path = yield* readPath(task, pathPointer);
  if (typeof path === 'number') return path;
  if (path === '') {
    return (how & AT_EMPTY_PATH) === 0 ? -ENOENT : yield* sysFstat(task, [directory, pointer]);
  }
  const file = openPath(task, path, O_RDONLY);
  if (typeof file === 'number') return file;
  const result = yield* statTo(task, file, pointer);
  yield* fput(task, file);
  return result;
}

function* sysReadlinkat(task: Task, args: SysArgs): Steps<number> {
  const [, pathPointer = 0, buffer = 0, size = 0] = args;
  const path = yield* readPath(task, pathPointer);
  if (typeof path === 'number') return path;
  if (path !== '/proc/self/exe') return -ENOENT;
  if (size <= 0) return -EINVAL;
  // The program lies in the root of a file system that shows nothing else. The C library insists on the slash.
  const target = asciiBytes(`/${task.name}`).subarray(0, size);
  return (yield* copyToUser(task, buffer, target)) < 0 ? -EFAULT : target.length;
}

function* sysFaccessat(task: Task, args: SysArgs): Steps<number> {
  const [, pathPointer = 0, mode = 0] = args;
  const path = yield* readPath(task, pathPointer);
  if (typeof path === 'number') return path;
  const file = openPath(task, path, O_RDONLY);
  if (typeof file === 'number') return file;
  const result = (mode & 2) !== 0 && (file.flags & O_ACCMODE) === O_RDONLY ? -EACCES : 0;
  yield* fput(task, file);
  return result;
}

const path = string('pathname');

export const rows: readonly SyscallRow[] = [
  {
    nr: 56,
    name: 'openat',
    params: [fd('dirfd'), path, flags('flags', { O_CLOEXEC }), number('mode')],
    handler: sysOpenat,
    supports: ['/proc/self/maps', '/proc/self/pagemap', '/dev/null', '/dev/zero'],
    gap: 'Nothing can be created; other names are ENOENT.',
  },
  {
    nr: 80,
    name: 'fstat',
    params: [fd('fd'), struct('statbuf')],
    handler: sysFstat,
    supports: [],
    gap: 'Times are 0.',
  },
  {
    nr: 79,
    name: 'newfstatat',
    params: [fd('dirfd'), path, struct('statbuf'), flags('flags', { AT_EMPTY_PATH })],
    handler: sysNewfstatat,
    supports: ['AT_EMPTY_PATH'],
    gap: 'Times are 0.',
  },
  {
    nr: 78,
    name: 'readlinkat',
    params: [fd('dirfd'), path, address('buf'), length('bufsiz')],
    handler: sysReadlinkat,
    supports: ['/proc/self/exe'],
    gap: 'There are no other links.',
  },
  {
    nr: 48,
    name: 'faccessat',
    params: [fd('dirfd'), path, number('mode')],
    handler: sysFaccessat,
    supports: [],
    gap: '',
  },
];

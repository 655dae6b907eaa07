/** readlinkat(2) and faccessat(2). */
import type { Steps } from '../../sched/op.ts';
import { EACCES, EFAULT, EINVAL, ENOENT } from '../../uapi/errno.ts';
import { AT_SYMLINK_NOFOLLOW } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { asciiBytes } from '../fs/bytes-file.ts';
import { mayAccess } from '../fs/namei.ts';
import { walkAt } from '../fs/open.ts';
import { PseudoLink, Symlink } from '../fs/vfs-node.ts';
import { copyToUser } from '../mm/user-access.ts';
import { address, fd, flags, length, number, string } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysReadlinkat(task: Task, args: SysArgs): Steps<number> {
  const [dirfd = 0, pathPointer = 0, buffer = 0, size = 0] = args;
  if (size <= 0) return -EINVAL;
  const path = yield* readPath(task, pathPointer);
  if (typeof path === 'number') return path;
  const walked = yield* walkAt(task, dirfd, path, false);
  if (typeof walked === 'number') return walked;
  const node = walked.dentry?.node;
  if (node === undefined) return -ENOENT;
  if (!(node instanceof Symlink || node instanceof PseudoLink)) return -EINVAL;
  const text = node instanceof Symlink ? node.target : node.read(task);
  const target = asciiBytes(text).subarray(0, size);
  return (yield* copyToUser(task, buffer, target)) < 0 ? -EFAULT : target.length;
}

function* sysFaccessat(task: Task, args: SysArgs): Steps<number> {
  const [dirfd = 0, pathPointer = 0, mode = 0, how = 0] = args;
  if ((mode & ~7) !== 0) return -EINVAL;
  const path = yield* readPath(task, pathPointer);
  if (typeof path === 'number') return path;
  const walked = yield* walkAt(task, dirfd, path, (how & AT_SYMLINK_NOFOLLOW) === 0);
  if (typeof walked === 'number') return walked;
  const node = walked.file?.inode ?? walked.dentry?.node;
  if (node === undefined) return walked.file === null ? -ENOENT : 0;
  // Root may do everything but execute what nobody may.
  const runnable = node.isDirectory || (node.mode & 0o111) !== 0;
  if ((mode & 1) !== 0 && !runnable) return -EACCES;
  return mayAccess(task, node, mode) ? 0 : -EACCES;
}

const path = string('pathname');

export const rows: readonly SyscallRow[] = [
  {
    nr: 78,
    name: 'readlinkat',
    params: [fd('dirfd'), path, address('buf'), length('bufsiz')],
    handler: sysReadlinkat,
    supports: [],
    gap: '',
  },
  {
    nr: 48,
    name: 'faccessat',
    params: [fd('dirfd'), path, number('mode')],
    // Without the flags of the next one: whatever the register holds is not looked at.
    handler: (task, [dirfd = 0, pointer = 0, mode = 0]) =>
      sysFaccessat(task, [dirfd, pointer, mode]),
    supports: [],
    gap: '',
  },
  {
    nr: 439,
    name: 'faccessat2',
    params: [fd('dirfd'), path, number('mode'), flags('flags', { AT_SYMLINK_NOFOLLOW })],
    handler: sysFaccessat,
    supports: ['AT_SYMLINK_NOFOLLOW'],
    gap: '',
  },
];

/** getdents64(2), chdir(2), fchdir(2), getcwd(2): directories. */
import type { Steps } from '../../sched/op.ts';
import { EACCES, EBADF, EFAULT, ENOENT, ENOTDIR, ERANGE } from '../../uapi/errno.ts';
import { AT_FDCWD } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { asciiBytes } from '../fs/bytes-file.ts';
import { type Dentry, dentryPath } from '../fs/dentry.ts';
import { readDirectory } from '../fs/dir-file.ts';
import { MAY_EXEC, mayAccess, workingDirectory } from '../fs/namei.ts';
import { walkAt } from '../fs/open.ts';
import { copyToUser } from '../mm/user-access.ts';
import { address, fd, length, string } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysGetdents64(task: Task, args: SysArgs): Steps<number> {
  const [number_ = -1, buffer = 0, room = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  if (file.ops.kind !== 'dir') return -ENOTDIR;
  const bytes = readDirectory(task, file, room);
  if (typeof bytes === 'number') return bytes;
  return (yield* copyToUser(task, buffer, bytes)) < 0 ? -EFAULT : bytes.length;
}

function enter(task: Task, dentry: Dentry | null): number {
  if (dentry === null) return -ENOENT;
  if (!dentry.node.isDirectory) return -ENOTDIR;
  if (!mayAccess(task, dentry.node, MAY_EXEC)) return -EACCES;
  task.fs.pwd = dentry;
  return 0;
}

function* sysChdir(task: Task, args: SysArgs): Steps<number> {
  const path = yield* readPath(task, args[0] ?? 0);
  if (typeof path === 'number') return path;
  const walked = yield* walkAt(task, AT_FDCWD, path, true);
  return typeof walked === 'number' ? walked : enter(task, walked.dentry);
}

function* sysFchdir(task: Task, args: SysArgs): Steps<number> {
  const file = task.files.get(args[0] ?? -1);
  if (file === null) return -EBADF;
  return file.dentry === null ? -ENOTDIR : enter(task, file.dentry);
}

function* sysGetcwd(task: Task, args: SysArgs): Steps<number> {
  const [buffer = 0, size = 0] = args;
  const here = workingDirectory(task);
  if (here.unlinked) return -ENOENT;
  const text = asciiBytes(`${dentryPath(here)}\0`);
  if (text.length > size) return -ERANGE;
  return (yield* copyToUser(task, buffer, text)) < 0 ? -EFAULT : text.length;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 61,
    name: 'getdents64',
    params: [fd('fd'), address('dirp'), length('count')],
    handler: sysGetdents64,
    supports: [],
    gap: '',
  },
  { nr: 49, name: 'chdir', params: [string('path')], handler: sysChdir, supports: [], gap: '' },
  { nr: 50, name: 'fchdir', params: [fd('fd')], handler: sysFchdir, supports: [], gap: '' },
  {
    nr: 17,
    name: 'getcwd',
    params: [address('buf'), length('size')],
    handler: sysGetcwd,
    supports: [],
    gap: '',
  },
];

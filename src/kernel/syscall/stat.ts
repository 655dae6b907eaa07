/** fstat(2), fstatat(2), statx(2). */
import type { Steps } from '../../sched/op.ts';
import { EBADF, ENOENT } from '../../uapi/errno.ts';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { walkAt } from '../fs/open.ts';
import { encodeStat, encodeStatx, type Kstat, statFile, statNode } from '../fs/stat.ts';
import { copyToUser } from '../mm/user-access.ts';
import { fd, flags, number, string, struct } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysFstat(task: Task, args: SysArgs): Steps<number> {
  const [number_ = -1, pointer = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  return yield* copyToUser(task, pointer, encodeStat(statFile(task, file)));
}

/** What a path, or with AT_EMPTY_PATH a descriptor, leads to. @returns it, or a negative errno */
export function* statAt(
  task: Task,
  dirfd: number,
  pathPointer: number,
  how: number,
): Steps<Kstat | number> {
  const empty = (how & AT_EMPTY_PATH) !== 0;
  const path = pathPointer === 0 && empty ? '' : yield* readPath(task, pathPointer);
  if (typeof path === 'number') return path;
  if (path === '' && empty) {
    const file = task.files.get(dirfd);
    return file === null ? -EBADF : statFile(task, file);
  }
  const walked = yield* walkAt(task, dirfd, path, (how & AT_SYMLINK_NOFOLLOW) === 0);
  if (typeof walked === 'number') return walked;
  if (walked.file !== null) return statFile(task, walked.file);
  return walked.dentry === null ? -ENOENT : statNode(task, walked.dentry.node);
}

function* sysNewfstatat(task: Task, args: SysArgs): Steps<number> {
  const [dirfd = 0, pathPointer = 0, pointer = 0, how = 0] = args;
  const stat = yield* statAt(task, dirfd, pathPointer, how);
  return typeof stat === 'number' ? stat : yield* copyToUser(task, pointer, encodeStat(stat));
}

function* sysStatx(task: Task, args: SysArgs): Steps<number> {
  const [dirfd = 0, pathPointer = 0, how = 0, , pointer = 0] = args;
  const stat = yield* statAt(task, dirfd, pathPointer, how);
  return typeof stat === 'number' ? stat : yield* copyToUser(task, pointer, encodeStatx(stat));
}

const path = string('pathname');
const how = flags('flags', { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW });

export const rows: readonly SyscallRow[] = [
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
    params: [fd('dirfd'), path, struct('statbuf'), how],
    handler: sysNewfstatat,
    supports: ['AT_EMPTY_PATH', 'AT_SYMLINK_NOFOLLOW'],
    gap: 'Times are 0.',
  },
  {
    nr: 291,
    name: 'statx',
    params: [fd('dirfd'), path, how, number('mask'), struct('statxbuf')],
    handler: sysStatx,
    supports: ['AT_EMPTY_PATH', 'AT_SYMLINK_NOFOLLOW'],
    gap: 'The basic fields, whatever the mask; times are 0.',
  },
];

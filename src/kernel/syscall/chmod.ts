/** fchmod(2), fchmodat(2), fchown(2), umask(2), utimensat(2): what belongs to a file besides its bytes. */
import type { Steps } from '../../sched/op.ts';
import { EBADF, EINVAL, ENOENT, EPERM } from '../../uapi/errno.ts';
import { AT_SYMLINK_NOFOLLOW, S_IFMT } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { walkAt } from '../fs/open.ts';
import type { VfsNode } from '../fs/vfs-node.ts';
import { fd, flags, number, string, struct } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* nodeAt(task: Task, dirfd: number, pointer: number, how: number): Steps<VfsNode | number> {
  const path = yield* readPath(task, pointer);
  if (typeof path === 'number') return path;
  const walked = yield* walkAt(task, dirfd, path, (how & AT_SYMLINK_NOFOLLOW) === 0);
  if (typeof walked === 'number') return walked;
  return walked.file?.inode ?? walked.dentry?.node ?? -ENOENT;
}

/** @returns the node of a descriptor; null when the file has none */
function nodeOf(task: Task, descriptor: number): VfsNode | null | number {
  const file = task.files.get(descriptor);
  return file === null ? -EBADF : (file.inode ?? file.node);
}

function change(task: Task, node: VfsNode | null | number, to: (node: VfsNode) => void): number {
  if (typeof node === 'number') return node;
  if (node === null) return 0;
  if (task.uid !== 0 && task.uid !== node.uid) return -EPERM;
  to(node);
  return 0;
}

function setMode(mode: number): (node: VfsNode) => void {
  return (node) => {
    node.mode = (node.mode & S_IFMT) | (mode & 0o7777);
  };
}
function setOwner(uid: number): (node: VfsNode) => void {
  return (node) => {
    if (uid !== -1) node.uid = uid;
  };
}

function* sysUmask(task: Task, args: SysArgs): Steps<number> {
  const before = task.fs.umask;
  task.fs.umask = (args[0] ?? 0) & 0o777;
  return before;
}

const path = string('pathname');
const how = flags('flags', { AT_SYMLINK_NOFOLLOW });

export const rows: readonly SyscallRow[] = [
  {
    nr: 52,
    name: 'fchmod',
    params: [fd('fd'), number('mode')],
    handler: function* (task, [descriptor = -1, mode = 0]) {
      return change(task, nodeOf(task, descriptor), setMode(mode));
    },
    supports: [],
    gap: '',
  },
  {
    nr: 53,
    name: 'fchmodat',
    params: [fd('dirfd'), path, number('mode')],
    handler: function* (task, [dirfd = 0, pointer = 0, mode = 0]) {
      return change(task, yield* nodeAt(task, dirfd, pointer, 0), setMode(mode));
    },
    supports: [],
    gap: '',
  },
  {
    nr: 54,
    name: 'fchownat',
    params: [fd('dirfd'), path, number('owner'), number('group'), how],
    handler: function* (task, [dirfd = 0, pointer = 0, uid = -1, , flag = 0]) {
      return change(task, yield* nodeAt(task, dirfd, pointer, flag), setOwner(uid));
    },
    supports: ['AT_SYMLINK_NOFOLLOW'],
    gap: 'A file has no group of its own: it is that of its owner.',
  },
  {
    nr: 55,
    name: 'fchown',
    params: [fd('fd'), number('owner'), number('group')],
    handler: function* (task, [descriptor = -1, uid = -1]) {
      return change(task, nodeOf(task, descriptor), setOwner(uid));
    },
    supports: [],
    gap: 'As fchownat.',
  },
  {
    nr: 88,
    name: 'utimensat',
    params: [fd('dirfd'), path, struct('times'), how],
    handler: function* (task, [dirfd = 0, pointer = 0, , flag = 0]) {
      if ((flag & ~AT_SYMLINK_NOFOLLOW) !== 0) return -EINVAL;
      const node = pointer === 0 ? nodeOf(task, dirfd) : yield* nodeAt(task, dirfd, pointer, flag);
      return typeof node === 'number' ? node : 0;
    },
    supports: ['AT_SYMLINK_NOFOLLOW'],
    gap: 'Files have no times.',
  },
  { nr: 166, name: 'umask', params: [number('mask')], handler: sysUmask, supports: [], gap: '' },
];

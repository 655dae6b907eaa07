/** unlinkat(2), mkdirat(2), renameat2(2), linkat(2), symlinkat(2): making, moving and removing names. */
import type { Steps } from '../../sched/op.ts';
import {
  EACCES,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EROFS,
  EXDEV,
} from '../../uapi/errno.ts';
import {
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
} from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import type { Dentry } from '../fs/dentry.ts';
import { Inode } from '../fs/inode.ts';
import { iput } from '../fs/iput.ts';
import { changeNames, names, type Walked } from '../fs/namei.ts';
import { mayChange, unlinkDentry, walkAt } from '../fs/open.ts';
import { PROC } from '../fs/super.ts';
import { Directory, Symlink } from '../fs/vfs-node.ts';
import { fd, flags, number, string } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

/** Where a path in user memory ends, the last name not followed. */
function* walkUser(
  task: Task,
  dirfd: number,
  pointer: number,
  follow = false,
): Steps<Walked | number> {
  const path = yield* readPath(task, pointer);
  return typeof path === 'number' ? path : yield* walkAt(task, dirfd, path, follow);
}

/** Takes the last name of a file away; with nobody who has it open its pages go too. */
function* dropName(dentry: Dentry): Steps<void> {
  const { node } = dentry;
  if (!(node instanceof Inode)) {
    unlinkDentry(dentry);
    return;
  }
  node.users++;
  unlinkDentry(dentry);
  yield* iput(node);
}

/** Whether the names of a directory may be changed: 0, or why not. */
function writable(task: Task, parent: Dentry): number {
  if (parent.node.sb === PROC) return -EPERM;
  if (parent.node.sb.readOnly === true) return -EROFS;
  return mayChange(task, parent.node) ? 0 : -EACCES;
}

function* sysUnlinkat(task: Task, args: SysArgs): Steps<number> {
  const [dirfd = 0, pointer = 0, how = 0] = args;
  if ((how & ~AT_REMOVEDIR) !== 0) return -EINVAL;
  const walked = yield* walkUser(task, dirfd, pointer);
  if (typeof walked === 'number') return walked;
  const { dentry, name, parent } = walked;
  const removesDirectory = (how & AT_REMOVEDIR) !== 0;
  if (name === '') return removesDirectory ? -EBUSY : -EISDIR;
  if (dentry === null) return -ENOENT;
  const refused = writable(task, parent);
  if (refused < 0) return refused;
  if (!removesDirectory && dentry.node.isDirectory) return -EISDIR;
  if (removesDirectory) {
    if (!dentry.node.isDirectory) return -ENOTDIR;
    if (dentry.children.size > 0) return -ENOTEMPTY;
    if (isMountPoint(dentry)) return -EBUSY;
    parent.node.nlink--;
    dentry.node.nlink--;
  }
  yield* dropName(dentry);
  return 0;
}

function isMountPoint(dentry: Dentry): boolean {
  return dentry.parent === null || dentry.parent.node.sb !== dentry.node.sb;
}

function* sysMkdirat(task: Task, args: SysArgs): Steps<number> {
  const [dirfd = 0, pointer = 0, mode = 0] = args;
  const walked = yield* walkUser(task, dirfd, pointer);
  if (typeof walked === 'number') return walked;
  const { dentry, name, parent } = walked;
  if (dentry !== null || name === '') return -EEXIST;
  const refused = writable(task, parent);
  if (refused < 0) return refused;
  const permissions = mode & 0o1777 & ~task.fs.umask;
  const made = new Directory(parent.node.sb, names().newIno(), permissions);
  made.uid = task.uid;
  changeNames().add(parent, name, made);
  parent.node.nlink++;
  return 0;
}

function* sysRenameat2(task: Task, args: SysArgs): Steps<number> {
  const [fromFd = 0, fromPointer = 0, toFd = 0, toPointer = 0, how = 0] = args;
  if ((how & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) return -EINVAL;
  if (how === (RENAME_NOREPLACE | RENAME_EXCHANGE)) return -EINVAL;
  const from = yield* walkUser(task, fromFd, fromPointer);
  if (typeof from === 'number') return from;
  const to = yield* walkUser(task, toFd, toPointer);
  if (typeof to === 'number') return to;
  if (from.name === '' || to.name === '') return -EBUSY;
  if (from.dentry === null) return -ENOENT;
  if (from.parent.node.sb !== to.parent.node.sb) return -EXDEV;
  const refused = writable(task, from.parent) || writable(task, to.parent);
  if (refused < 0) return refused;
  return yield* rename(from.dentry, to, how);
}

/** @linux vfs_rename */
function* rename(source: Dentry, to: Walked, how: number): Steps<number> {
  const target = to.dentry;
  for (let above: Dentry | null = to.parent; above !== null; above = above.parent) {
    if (above === source) return -EINVAL;
  }
  if (how === RENAME_EXCHANGE) {
    if (target === null) return -ENOENT;
    const [parent, name] = [source.parent, source.name];
    if (parent === null) return -EBUSY;
    changeNames();
    place(source, to.parent, to.name);
    place(target, parent, name);
    return 0;
  }
  if (target === source || target?.node === source.node) return 0;
  if (target !== null) {
    if (how === RENAME_NOREPLACE) return -EEXIST;
    if (source.node.isDirectory !== target.node.isDirectory) {
      return target.node.isDirectory ? -EISDIR : -ENOTDIR;
    }
    if (target.children.size > 0) return -ENOTEMPTY;
    yield* dropName(target);
  }
  changeNames();
  source.parent?.children.delete(source.name);
  place(source, to.parent, to.name);
  return 0;
}

function place(dentry: Dentry, parent: Dentry, name: string): void {
  dentry.parent = parent;
  dentry.name = name;
  parent.children.set(name, dentry);
}

function* sysLinkat(task: Task, args: SysArgs): Steps<number> {
  const [fromFd = 0, fromPointer = 0, toFd = 0, toPointer = 0, how = 0] = args;
  const follow = (how & AT_SYMLINK_FOLLOW) !== 0;
  const from = yield* walkUser(task, fromFd, fromPointer, follow);
  if (typeof from === 'number') return from;
  const to = yield* walkUser(task, toFd, toPointer);
  if (typeof to === 'number') return to;
  const node = from.file?.inode ?? from.dentry?.node;
  if (node === undefined) return -ENOENT;
  if (to.dentry !== null || to.name === '') return -EEXIST;
  if (node.isDirectory) return -EPERM;
  if (node.sb !== to.parent.node.sb) return -EXDEV;
  const refused = writable(task, to.parent);
  if (refused < 0) return refused;
  changeNames().add(to.parent, to.name, node);
  node.nlink++;
  return 0;
}

function* sysSymlinkat(task: Task, args: SysArgs): Steps<number> {
  const [targetPointer = 0, dirfd = 0, pointer = 0] = args;
  const target = yield* readPath(task, targetPointer);
  if (typeof target === 'number') return target;
  if (target === '') return -ENOENT;
  const walked = yield* walkUser(task, dirfd, pointer);
  if (typeof walked === 'number') return walked;
  const { dentry, name, parent } = walked;
  if (dentry !== null || name === '') return -EEXIST;
  const refused = writable(task, parent);
  if (refused < 0) return refused;
  changeNames().add(parent, name, new Symlink(parent.node.sb, names().newIno(), target));
  return 0;
}

const path = string('pathname');
const twoPaths = [fd('olddirfd'), string('oldpath'), fd('newdirfd'), string('newpath')];

export const rows: readonly SyscallRow[] = [
  {
    nr: 35,
    name: 'unlinkat',
    params: [fd('dirfd'), path, flags('flags', { AT_REMOVEDIR })],
    handler: sysUnlinkat,
    supports: ['AT_REMOVEDIR'],
    gap: 'The sticky bit of a directory is not looked at.',
  },
  {
    nr: 34,
    name: 'mkdirat',
    params: [fd('dirfd'), path, number('mode')],
    handler: sysMkdirat,
    supports: [],
    gap: '',
  },
  {
    nr: 276,
    name: 'renameat2',
    params: [...twoPaths, flags('flags', { RENAME_NOREPLACE, RENAME_EXCHANGE })],
    handler: sysRenameat2,
    supports: ['RENAME_NOREPLACE', 'RENAME_EXCHANGE'],
    gap: '',
  },
  {
    nr: 37,
    name: 'linkat',
    params: [...twoPaths, flags('flags', { AT_SYMLINK_FOLLOW })],
    handler: sysLinkat,
    supports: ['AT_SYMLINK_FOLLOW'],
    gap: 'AT_EMPTY_PATH: a file without a name gets one by its link in /proc/self/fd.',
  },
  {
    nr: 36,
    name: 'symlinkat',
    params: [string('target'), fd('newdirfd'), string('linkpath')],
    handler: sysSymlinkat,
    supports: [],
    gap: '',
  },
];

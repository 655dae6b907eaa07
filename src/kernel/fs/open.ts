/** Opening files by name, and making them. @linux fs/namei.c path_openat, fs/open.c do_dentry_open */

import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import {
  AT_FDCWD,
  F_SEAL_SEAL,
  O_ACCMODE,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_LARGEFILE,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  S_IFREG,
} from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { type ErrnoRow, errnoTable, fail } from '../errno-row.ts';
import { INODE_LOCK } from '../lock-classes.ts';
import { Dentry, dentryPath } from './dentry.ts';
import { openDirectory } from './dir-file.ts';
import { openDisk } from './disk-file.ts';
import { File, type FileOps } from './file.ts';
import { Inode } from './inode.ts';
import { openInode } from './iput.ts';
import {
  changeNames,
  MAY_EXEC,
  MAY_READ,
  MAY_WRITE,
  mayAccess,
  names,
  type Walked,
  walkPath,
  workingDirectory,
} from './namei.ts';
import { doTruncate, openShmem } from './shmem-file.ts';
import { PROC } from './super.ts';
import { Directory, PseudoFile, type VfsNode } from './vfs-node.ts';

export const OPEN_ERRORS = errnoTable('openat', {
  fault: ['EFAULT', 'the path cannot be read'],
  tooLong: ['ENAMETOOLONG', 'the path has no end within 4096 bytes, or a name is over 255'],
  tmpfile: ['EINVAL', 'O_TMPFILE without a directory, or not for writing'],
  badFd: ['EBADF', 'dirfd is not open'],
  notDir: ['ENOTDIR', 'dirfd, or what is on the way, or with O_DIRECTORY the end, is no directory'],
  missing: ['ENOENT', 'there is no such file, or no such directory on the way'],
  loop: ['ELOOP', 'more than 40 links on the way, or a link at the end and O_NOFOLLOW'],
  exists: ['EEXIST', 'O_CREAT with O_EXCL of what is there already'],
  isDir: ['EISDIR', 'a directory cannot be written, or made by O_CREAT'],
  noCreate: ['EACCES', 'the directory does not let files be made in it'],
  access: ['EACCES', 'the permissions of the file, or of a directory on the way, forbid it'],
  readOnly: ['EROFS', 'the file system is mounted read only'],
  noTmpfile: ['EOPNOTSUPP', 'O_TMPFILE in a directory that stores no files'],
  noDevice: ['ENXIO', 'a link of /proc/PID/fd to what can be opened only once'],
});

const NAME_MAX = 255;
/** Flags that only say how to open. */
const CREATION = O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY;

/** Where a path of an `…at` call begins. @returns a directory, or a negative errno */
export function baseOf(task: Task, dirfd: number, path: string): Dentry | number {
  if (path.startsWith('/')) return names().root;
  if (dirfd === AT_FDCWD) return workingDirectory(task);
  const file = task.files.get(dirfd);
  if (file === null) return fail(OPEN_ERRORS.badFd);
  const { dentry } = file;
  return dentry === null || !dentry.node.isDirectory ? fail(OPEN_ERRORS.notDir) : dentry;
}

/** A walk from where an `…at` call begins: a step. @returns where it ends, or a negative errno */
export function* walkAt(
  task: Task,
  dirfd: number,
  path: string,
  follow: boolean,
): Steps<Walked | number> {
  const base = baseOf(task, dirfd, path);
  if (typeof base === 'number') return base;
  if (sched.wants()) yield* access('walk path', names().cell, READ);
  const walked = walkPath(task, base, path, follow);
  return typeof walked === 'number' ? fail(rowFor(walked)) : walked;
}

function rowFor(errno: number): ErrnoRow {
  const E = OPEN_ERRORS;
  return [E.missing, E.notDir, E.loop, E.access].find((r) => r.errno === -errno) ?? E.missing;
}

/**
 * Opens a file, making it if asked.
 * @returns it with one reference, or a negative errno
 */
export function* openFile(
  task: Task,
  dirfd: number,
  path: string,
  flags: number,
  mode: number,
): Steps<File | number> {
  const E = OPEN_ERRORS;
  const writes = (flags & O_ACCMODE) !== O_RDONLY;
  if ((flags & O_TMPFILE) === O_TMPFILE) {
    if (!writes) return fail(E.tmpfile);
    return yield* openTmpfile(task, dirfd, path, flags, mode);
  }
  if (path.split('/').some((name) => name.length > NAME_MAX)) return fail(E.tooLong);
  const exclusive = (flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL);
  const walked = yield* walkAt(task, dirfd, path, (flags & O_NOFOLLOW) === 0 && !exclusive);
  if (typeof walked === 'number') return walked;
  if (walked.file !== null) return reopen(walked.file, flags);
  const { dentry } = walked;
  if (dentry === null) return create(task, walked, flags, mode);
  if (exclusive) return fail(E.exists);
  return yield* openDentry(task, dentry, flags);
}

/** Requires: nothing of the name is there. */
function create(task: Task, walked: Walked, flags: number, mode: number): File | number {
  const E = OPEN_ERRORS;
  const { parent, name, slash } = walked;
  if ((flags & O_CREAT) === 0) return fail(E.missing);
  if (slash) return fail(E.isDir);
  if (parent.node.sb === PROC) return fail(E.missing);
  if (parent.node.sb.readOnly === true) return fail(E.readOnly);
  if (!mayChange(task, parent.node)) return fail(E.noCreate);
  const inode = newFile(task, parent.node, mode);
  const dentry = changeNames().add(parent, name, inode);
  return opened(inode, dentry, flags);
}

/** Whether names may be added to and removed from a directory. */
export function mayChange(task: Task, node: VfsNode): boolean {
  return node instanceof Directory && mayAccess(task, node, MAY_WRITE | MAY_EXEC);
}

/** A regular file on the file system of a directory, without a name yet. */
export function newFile(task: Task, directory: VfsNode, mode: number): Inode {
  const permissions = mode & 0o7777 & ~task.fs.umask;
  const inode = new Inode(
    S_IFREG | permissions,
    F_SEAL_SEAL,
    INODE_LOCK,
    directory.sb,
    names().newIno(),
  );
  inode.uid = task.uid;
  return inode;
}

/** A file without a name. @linux do_tmpfile */
function* openTmpfile(
  task: Task,
  dirfd: number,
  path: string,
  flags: number,
  mode: number,
): Steps<File | number> {
  const E = OPEN_ERRORS;
  const walked = yield* walkAt(task, dirfd, path, true);
  if (typeof walked === 'number') return walked;
  const { dentry } = walked;
  if (dentry === null) return fail(E.missing);
  if (!dentry.node.isDirectory) return fail(E.notDir);
  if (!(dentry.node instanceof Directory)) return fail(E.noTmpfile);
  if (!mayChange(task, dentry.node)) return fail(E.noCreate);
  const inode = newFile(task, dentry.node, mode);
  inode.nlink = 0;
  const nameless = new Dentry(`#${inode.ino}`, dentry, inode);
  nameless.unlinked = true;
  return opened(inode, nameless, flags & ~O_TMPFILE);
}

/** What is there: of any kind. @linux do_open */
export function* openDentry(task: Task, dentry: Dentry, flags: number): Steps<File | number> {
  const E = OPEN_ERRORS;
  const { node } = dentry;
  const mode = flags & O_ACCMODE;
  if ((flags & O_PATH) !== 0) return pathFile(dentry, flags);
  if (node.isLink) return fail(E.loop);
  if ((flags & O_DIRECTORY) !== 0 && !node.isDirectory) return fail(E.notDir);
  if (node.isDirectory) {
    if (mode !== O_RDONLY || (flags & O_CREAT) !== 0) return fail(E.isDir);
    if (!mayAccess(task, node, MAY_READ)) return fail(E.access);
    return openDirectory(dentry, kept(flags));
  }
  const wanted = (mode === O_WRONLY ? 0 : MAY_READ) | (mode === O_RDONLY ? 0 : MAY_WRITE);
  if (!mayAccess(task, node, wanted)) return fail(E.access);
  if (mode !== O_RDONLY && node.sb.readOnly === true) return fail(E.readOnly);
  if (node instanceof PseudoFile) {
    const file = node.open(task, kept(flags), dentryPath(dentry));
    if (typeof file !== 'number') file.node = node;
    return file;
  }
  if (!(node instanceof Inode)) return fail(E.noDevice);
  const file = opened(node, dentry, flags);
  if ((flags & O_TRUNC) !== 0 && (mode === O_RDWR || mode === O_WRONLY)) yield* doTruncate(node, 0);
  return file;
}

/** The descriptor behind a link of /proc/PID/fd, opened once more where that is possible. */
function reopen(file: File, flags: number): File | number {
  const { inode } = file;
  if (inode !== null) {
    const again = openInode(inode, file.ops, kept(flags), file.path);
    again.dentry = file.dentry;
    return again;
  }
  if (file.dentry?.node.isDirectory === true) {
    return openDirectory(file.dentry, kept(flags));
  }
  if (file.ops.kind === 'console' || file.node !== null) {
    return new File(file.ops, kept(flags), file.data, file.path);
  }
  return fail(OPEN_ERRORS.noDevice);
}

function opened(inode: Inode, dentry: Dentry, flags: number): File {
  const open = inode.sb.onDisk ? openDisk : openShmem;
  const file = open(inode, kept(flags), dentryPath(dentry));
  file.dentry = dentry;
  return file;
}

/** Status flags of the open file. */
function kept(flags: number): number {
  return (flags & ~CREATION) | O_LARGEFILE;
}

const PATH_OPS: FileOps = { kind: 'path' };

/** A place in the tree of names rather than a file: O_PATH of open(2). */
function pathFile(dentry: Dentry, flags: number): File {
  const file = new File(PATH_OPS, (flags & O_PATH) | O_WRONLY, null, dentryPath(dentry));
  file.dentry = dentry;
  file.node = dentry.node;
  return file;
}

/** Removes a name. Requires: the caller has checked that it may. @returns what it led to */
export function unlinkDentry(dentry: Dentry): VfsNode {
  changeNames();
  dentry.parent?.children.delete(dentry.name);
  dentry.unlinked = true;
  dentry.node.nlink--;
  return dentry.node;
}

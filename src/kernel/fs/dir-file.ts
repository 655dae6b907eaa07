/** An open directory: what getdents(2) reads. @linux fs/readdir.c, fs/libfs.c dcache_readdir */
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { EINVAL } from '../../uapi/errno.ts';
import { S_IFMT, SEEK_CUR, SEEK_SET } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { asciiBytes } from './bytes-file.ts';
import type { Dentry } from './dentry.ts';
import { dentryPath } from './dentry.ts';
import { File, type FileOps } from './file.ts';
import { childOf, names } from './namei.ts';
import { childNames } from './pseudo.ts';
import { PseudoDirectory } from './vfs-node.ts';

interface DirEntry {
  readonly name: string;
  readonly ino: number;
  readonly type: number;
}

/** What a directory held when it was last read from its beginning. */
interface Listing {
  entries: readonly DirEntry[];
}

const OPS: FileOps = {
  kind: 'dir',
  seek(file, offset, whence) {
    const to = whence === SEEK_CUR ? file.offset + offset : offset;
    if ((whence !== SEEK_SET && whence !== SEEK_CUR) || to < 0) return -EINVAL;
    file.offset = to;
    return to;
  },
};

export function openDirectory(dentry: Dentry, flags: number): File {
  const listing: Listing = { entries: [] };
  const file = new File(OPS, flags, listing, dentryPath(dentry));
  file.dentry = dentry;
  file.node = dentry.node;
  return file;
}

/** Entries with `.` and `..` first. @linux iterate_shared */
function list(task: Task, dentry: Dentry): DirEntry[] {
  sched.touch(names().cell, READ);
  const { node } = dentry;
  const above = dentry.parent ?? dentry;
  const entries = [entryOf('.', dentry), entryOf('..', above)];
  for (const child of dentry.children.values()) entries.push(entryOf(child.name, child));
  const made = node instanceof PseudoDirectory ? node.names(task) : childNames(dentryPath(dentry));
  for (const name of made) {
    if (dentry.children.has(name)) continue;
    const child = childOf(task, dentry, name);
    if (child !== null) entries.push(entryOf(name, child));
  }
  return entries;
}

function entryOf(name: string, { node }: Dentry): DirEntry {
  return { name, ino: node.ino, type: (node.mode & S_IFMT) >> 12 };
}

/** struct linux_dirent64: inode, offset of the next one, length, type, name. */
const HEAD_BYTES = 19;

/**
 * As many whole entries as fit.
 * @returns the bytes; none at the end; or -EINVAL when not even one fits
 * @linux getdents64
 */
export function readDirectory(task: Task, file: File, room: number): Uint8Array | number {
  const { dentry } = file;
  const listing = file.data as Listing;
  if (dentry === null) return -EINVAL;
  if (file.offset === 0) listing.entries = list(task, dentry);
  const bytes: number[] = [];
  while (file.offset < listing.entries.length) {
    const entry = listing.entries[file.offset];
    if (entry === undefined) break;
    const one = encodeEntry(entry, file.offset + 1);
    if (bytes.length + one.length > room) break;
    bytes.push(...one);
    file.offset++;
  }
  const more = file.offset < listing.entries.length;
  return bytes.length === 0 && more ? -EINVAL : Uint8Array.from(bytes);
}

function encodeEntry({ name, ino, type }: DirEntry, next: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil((HEAD_BYTES + name.length + 1) / 8) * 8);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(ino), true);
  view.setBigUint64(8, BigInt(next), true);
  view.setUint16(16, bytes.length, true);
  view.setUint8(18, type);
  bytes.set(asciiBytes(name), HEAD_BYTES);
  return bytes;
}

/**
 * The tree of names: a disk at the root, tmpfs at /tmp, /run and /dev/shm, procfs and sysfs. Nothing of the host is in it.
 * Differs from Linux: walking a path is one step, and so is adding or removing a name; directories have no lock. Negative
 * dentries and the mounting of file systems are not modelled.
 * @linux fs/dcache.c, fs/namespace.c
 */
import { type Cell, cellOf } from '../../sched/cell.ts';
import { CELL_FILE } from '../cells.ts';
import type { File } from './file.ts';
import { DEVTMPFS, DISK, type SuperBlock, TMPFS } from './super.ts';
import { Directory, type VfsNode } from './vfs-node.ts';

/** One name. Moved and renamed in place: open files that were found by it follow. */
export class Dentry {
  name: string;
  parent: Dentry | null;
  readonly node: VfsNode;
  /** Of a directory, in the order in which they were made. */
  readonly children: Map<string, Dentry> = new Map();
  /** The name is gone, and only open files know it. */
  unlinked = false;

  constructor(name: string, parent: Dentry | null, node: VfsNode) {
    this.name = name;
    this.parent = parent;
    this.node = node;
  }
}

/** `/tmp/x`, with ` (deleted)` after a name that is gone. @linux d_path */
export function dentryPath(dentry: Dentry): string {
  let path = '';
  let gone = false;
  for (let here = dentry; here.parent !== null; here = here.parent) {
    path = `/${here.name}${path}`;
    gone ||= here.unlinked;
  }
  return `${path === '' ? '/' : path}${gone ? ' (deleted)' : ''}`;
}

/** The name of an open file as links and mappings show it. */
export function filePath(file: File): string {
  return file.dentry === null ? file.path : dentryPath(file.dentry);
}

/** Cells of the name tree begin above those of files. */
const NAMES_CELL = 2 ** 30;

/** The directories that a new world has besides the root. */
const DIRECTORIES: readonly (readonly [string, SuperBlock, number])[] = [
  ['/bin', DISK, 0o755],
  ['/dev', DEVTMPFS, 0o755],
  ['/dev/shm', TMPFS, 0o1777],
  ['/etc', DISK, 0o755],
  ['/home', DISK, 0o755],
  ['/root', DISK, 0o700],
  ['/run', TMPFS, 0o755],
  ['/tmp', TMPFS, 0o1777],
  ['/var', DISK, 0o755],
  ['/var/tmp', DISK, 0o1777],
];

/** All names of a world. Made when the first path is used. */
export class NameTree {
  readonly root: Dentry;
  /** Stands for the whole tree: lookups commute, changes do not. */
  readonly cell: Cell = cellOf(CELL_FILE, NAMES_CELL);
  private nextIno = 2;

  constructor() {
    this.root = new Dentry('', null, new Directory(DISK, this.newIno(), 0o755));
    for (const [path, sb, permissions] of DIRECTORIES) {
      const slash = path.lastIndexOf('/');
      const parent = this.at(path.slice(0, slash));
      this.add(parent, path.slice(slash + 1), new Directory(sb, this.newIno(), permissions));
    }
  }

  /** Files and directories are numbered as they are made, on whichever file system. */
  newIno(): number {
    return this.nextIno++;
  }

  /** Gives a node a name. */
  add(parent: Dentry, name: string, node: VfsNode): Dentry {
    const dentry = new Dentry(name, parent, node);
    parent.children.set(name, dentry);
    return dentry;
  }

  /** The directory at a path that is known to be there. */
  at(path: string): Dentry {
    let here = this.root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      here = here.children.get(name) ?? here;
    }
    return here;
  }
}

/** What every file, directory and link has. @linux include/linux/fs.h struct inode */
import { S_IFDIR, S_IFLNK, S_IFMT } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import type { File } from './file.ts';
import type { SuperBlock } from './super.ts';

export abstract class VfsNode {
  readonly sb: SuperBlock;
  readonly ino: number;
  /** File type and permissions. */
  mode: number;
  uid = 0;
  /** Names that lead to it. */
  nlink = 1;
  /** Device number of a device; 0. */
  readonly rdev: number = 0;

  constructor(sb: SuperBlock, ino: number, mode: number) {
    this.sb = sb;
    this.ino = ino;
    this.mode = mode;
  }

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  get isLink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }
}

/** A directory on a disk or in memory: its names are those of its dentry. */
export class Directory extends VfsNode {
  constructor(sb: SuperBlock, ino: number, permissions: number) {
    super(sb, ino, S_IFDIR | permissions);
    this.nlink = 2;
  }
}

export class Symlink extends VfsNode {
  readonly target: string;

  constructor(sb: SuperBlock, ino: number, target: string) {
    super(sb, ino, S_IFLNK | 0o777);
    this.target = target;
  }
}

/** A directory whose names are made up as they are asked for. */
export class PseudoDirectory extends VfsNode {
  /** What a name leads to, or null. */
  readonly find: (task: Task, name: string) => VfsNode | null;
  readonly names: (task: Task) => readonly string[];

  constructor(
    sb: SuperBlock,
    ino: number,
    find: (task: Task, name: string) => VfsNode | null,
    names: (task: Task) => readonly string[],
  ) {
    super(sb, ino, S_IFDIR | 0o555);
    this.find = find;
    this.names = names;
  }
}

/** Opens a file of a kind of its own: a device, a text of procfs. @returns it with one reference, or a negative errno */
export type Opener = (task: Task, flags: number, path: string) => File | number;

export class PseudoFile extends VfsNode {
  readonly open: Opener;
  override readonly rdev: number;

  constructor(sb: SuperBlock, ino: number, mode: number, open: Opener, rdev = 0) {
    super(sb, ino, mode);
    this.open = open;
    this.rdev = rdev;
  }
}

/** A link of procfs: what it says is made up, and it may lead where no path does. */
export class PseudoLink extends VfsNode {
  readonly read: (task: Task) => string;
  /** The open file it leads to, if it is such a link (/proc/PID/fd/N, /proc/PID/exe). */
  readonly file: ((task: Task) => File | null) | null;

  constructor(
    sb: SuperBlock,
    ino: number,
    read: (task: Task) => string,
    file: ((task: Task) => File | null) | null = null,
  ) {
    super(sb, ino, S_IFLNK | 0o777);
    this.read = read;
    this.file = file;
  }
}

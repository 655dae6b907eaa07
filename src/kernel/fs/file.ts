/** Open files and descriptor tables. @linux include/linux/fs.h struct file, fs/file.c */
import { access } from '../../sched/access.ts';
import { ADD, type Cell, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EBADF, EMFILE } from '../../uapi/errno.ts';
import { CELL_FILE } from '../cells.ts';
import type { Task } from '../core/task.ts';
import type { Dentry } from './dentry.ts';
import type { Inode } from './inode.ts';
import type { VfsNode } from './vfs-node.ts';

/** Poll bits. @linux include/uapi/asm-generic/poll.h */
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;

/** Something that tells pollers when to look again. */
export interface PollSource {
  /** Calls back once when readiness may have changed; returns a function that takes it back. */
  subscribe(wake: () => void): () => void;
}

/** What an open file can do. Absent: the call fails as Linux has it for such a file. */
export interface FileOps {
  readonly kind: string;
  /** Bytes read, at most `count`, or a negative errno. The caller copies them to user space. */
  read?(task: Task, file: File, count: number, offset: number | null): Steps<Uint8Array | number>;
  /** Bytes taken from `data`, or a negative errno. */
  write?(task: Task, file: File, data: Uint8Array, offset: number | null): Steps<number>;
  /** Instead of `read` and a copy: copies by itself, and says how far it came. */
  readTo?(
    task: Task,
    file: File,
    buffer: number,
    count: number,
    offset: number | null,
  ): Steps<number>;
  /** Instead of a copy and `write`: the same from user memory. */
  writeFrom?(
    task: Task,
    file: File,
    buffer: number,
    count: number,
    offset: number | null,
  ): Steps<number>;
  /** Readiness now; POLL* bits. */
  poll?(file: File): number;
  pollSource?(file: File): PollSource;
  /** Result of ioctl(2), or a negative errno. Absent: ENOTTY. */
  ioctl?(task: Task, file: File, cmd: number, arg: number): Steps<number>;
  /**
   * Writes dirty pages [first, end) out and waits for them. Absent: fsync(2) says EINVAL.
   * Requires: no lock
   */
  fsync?(file: File, first: number, end: number): Steps<number>;
  /** The last reference went away. */
  release?(task: Task, file: File): Steps<void>;
  /** Lines of /proc/PID/fdinfo/FD. */
  fdinfo?(file: File): string;
  /** New offset, or a negative errno. */
  seek?(file: File, offset: number, whence: number): number;
  /** Size in bytes and mode, for fstat. */
  stat?(file: File): {
    readonly size: number;
    readonly mode: number;
    readonly rdev?: number;
    /** Of 512 bytes; by default as many as the size takes. */
    readonly blocks?: number;
    /** Preferred size of transfers; by default a page. */
    readonly blksize?: number;
  };
}

export class File {
  readonly ops: FileOps;
  /** O_* status flags. */
  flags: number;
  offset = 0;
  refs = 1;
  /** Stands for `refs`: who drops the last one releases the file. */
  readonly cell: Cell = sched.newCell(CELL_FILE);
  /** What the ops keep here: a pipe, a userfaultfd_ctx, a host file. Ops of a kind put one type and read it back. */
  readonly data: unknown;
  /** For reports, and for /proc/PID/maps where there is no dentry. */
  readonly path: string;
  /** The name it was opened by; null for files without one. */
  dentry: Dentry | null = null;
  /** What it was opened from, if that has a name. */
  node: VfsNode | null = null;
  /** Of files whose pages are in the page cache; only those can be mapped. */
  inode: Inode | null = null;

  constructor(ops: FileOps, flags: number, data: unknown, path: string) {
    this.ops = ops;
    this.flags = flags;
    this.data = data;
    this.path = path;
  }
}

interface Slot {
  readonly file: File;
  cloexec: boolean;
}

/** Descriptors of one process (or of several that share them, CLONE_FILES). */
export class FdTable {
  /** Stands for all descriptors: lookups commute, opening and closing do not. */
  readonly cell: Cell = sched.newCell(CELL_FILE);
  private readonly slots: (Slot | undefined)[] = [];
  private readonly limit: number;
  users = 1;

  constructor(limit = 1024) {
    this.limit = limit;
  }

  /** The lowest free descriptor at or above `from`, or -EMFILE. Takes over the caller's reference. */
  install(file: File, cloexec: boolean, from = 0): number {
    sched.touch(this.cell, WRITE);
    let fd = from;
    while (this.slots[fd] !== undefined) fd++;
    if (fd >= this.limit) return -EMFILE;
    this.slots[fd] = { file, cloexec };
    return fd;
  }

  get(fd: number): File | null {
    sched.touch(this.cell, READ);
    return this.slots[fd]?.file ?? null;
  }
  slot(fd: number): Slot | null {
    sched.touch(this.cell, READ);
    return this.slots[fd] ?? null;
  }
  /** Takes the descriptor away and returns its file, whose reference the caller now owns. */
  remove(fd: number): File | null {
    sched.touch(this.cell, WRITE);
    const file = this.slots[fd]?.file ?? null;
    this.slots[fd] = undefined;
    return file;
  }
  *entries(): Generator<readonly [number, Slot]> {
    for (const [fd, slot] of this.slots.entries()) if (slot !== undefined) yield [fd, slot];
  }
  /** A copy for a forked child: every file gains a reference. */
  clone(): FdTable {
    const copy = new FdTable(this.limit);
    for (const [fd, slot] of this.entries()) {
      slot.file.refs++;
      copy.slots[fd] = { ...slot };
    }
    return copy;
  }
}

/** Takes a reference for the length of a call, so that a close meanwhile releases nothing. @linux fdget */
export function fget(file: File): File {
  sched.touch(file.cell, ADD);
  file.refs++;
  return file;
}

/** Drops a reference to a file; the last one releases it. @linux fput */
export function* fput(task: Task, file: File): Steps<void> {
  file.refs--;
  sched.touch(file.cell, file.refs === 0 ? WRITE : ADD);
  if (file.refs === 0 && file.ops.release !== undefined) yield* file.ops.release(task, file);
}

/** Closes a descriptor. @returns 0 or -EBADF */
export function* closeFd(task: Task, fd: number): Steps<number> {
  if (sched.wants()) yield* access('close', task.files.cell, WRITE);
  const file = task.files.remove(fd);
  if (file === null) return -EBADF;
  yield* fput(task, file);
  return 0;
}

/**
 * Pipes: a bounded queue of bytes between two files. What bounds it is a number of pages, and a write fills up the last
 * page only if its odd part fits there whole; so how many bytes a pipe takes depends on how they come.
 * pipe(7); @linux fs/pipe.c
 */
import { at } from '../../base/assert.ts';
import { refcountCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { ADD } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { Lock, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { Sleeper, sleep } from '../../sched/wait.ts';
import { EAGAIN, EINTR, EPIPE } from '../../uapi/errno.ts';
import { O_NONBLOCK, O_RDONLY, O_WRONLY, S_IFIFO } from '../../uapi/fcntl.ts';
import { SI_KERNEL, SIGPIPE } from '../../uapi/signal.ts';
import { CELL_WOKEN } from '../cells.ts';
import { sendSignal } from '../core/signal.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { FILE_LOCK } from '../lock-classes.ts';
import { readContent } from '../mm/user-access.ts';
import { File, type FileOps, POLLERR, POLLHUP, POLLIN, POLLOUT, type PollSource } from './file.ts';
import { Waiters } from './waiters.ts';

/** Pages of a pipe. @linux PIPE_DEF_BUFFERS */
const SLOTS = 16;
const PAGE = 4096;

/** A page in a pipe: the pipe's own, or somebody's whose memory or file it is, with a plain reference. */
export interface PipeBuffer {
  /** Null: the bytes are those of the frame, whatever they are by the time they are read. */
  readonly page: Uint8Array | null;
  readonly pfn: Pfn | 0;
  /** Bytes [start, end) of the page are in the pipe. */
  start: number;
  end: number;
}

/** @linux include/linux/pipe_fs_i.h struct pipe_inode_info */
export class Pipe {
  readonly lock: Lock = new Lock(FILE_LOCK, 'pipe');
  readonly buffers: PipeBuffer[] = [];
  readers = 1;
  writers = 1;
  readonly waiters: Waiters = new Waiters();
}

function pipeOf(file: File): Pipe {
  return file.data as Pipe;
}

/** The pipe behind one of its ends, or null for any other file. @linux get_pipe_info */
export function pipeInfo(file: File): Pipe | null {
  return file.data instanceof Pipe ? file.data : null;
}

/** Buffers that fit. Requires: the pipe's lock. */
export function pipeRoom(pipe: Pipe): number {
  return SLOTS - pipe.buffers.length;
}

/** The bytes a buffer holds now, at most `count`. Requires: the pipe's lock. */
export function bufferBytes({ page, pfn, start, end }: PipeBuffer, count: number): Uint8Array {
  const length = Math.min(count, end - start);
  if (page !== null) return page.subarray(start, start + length);
  const bytes = new Uint8Array(length);
  if (pfn !== 0) readContent(pfn, start, bytes);
  return bytes;
}

/** Drops what a buffer refers to. @linux pipe_buf_release */
export function releaseBuffer({ pfn }: PipeBuffer): void {
  if (pfn !== 0) machine.frames.put(pfn, world.owner());
}

/**
 * Waits until the pipe has something to read.
 * @returns 1: it has, and its lock is held. 0: it has not and nobody will write. Or a negative errno
 */
export function* untilReadable(pipe: Pipe, nonblock: boolean): Steps<number> {
  for (;;) {
    yield* lock(pipe.lock);
    if (pipe.buffers.length > 0) return 1;
    const { writers } = pipe;
    if (writers === 0 || nonblock) {
      unlock(pipe.lock);
      return writers === 0 ? 0 : -EAGAIN;
    }
    if (!(yield* waitOn(pipe, 'a write to the pipe'))) return -EINTR;
  }
}

/** Waits until the pipe has room. @returns 0 with its lock held, or a negative errno. @linux wait_for_space */
export function* untilWritable(task: Task, pipe: Pipe, nonblock: boolean): Steps<number> {
  for (;;) {
    yield* lock(pipe.lock);
    if (pipe.readers === 0) {
      unlock(pipe.lock);
      sendSignal(task, { signo: SIGPIPE, code: SI_KERNEL, address: 0, pid: 0, status: 0 });
      return -EPIPE;
    }
    if (pipeRoom(pipe) > 0) return 0;
    if (nonblock) {
      unlock(pipe.lock);
      return -EAGAIN;
    }
    if (!(yield* waitOn(pipe, 'a read from the pipe'))) return -EINTR;
  }
}

function* waitOn(pipe: Pipe, what: string): Steps<boolean> {
  const sleeper = new Sleeper(CELL_WOKEN);
  const cancel = pipe.waiters.subscribe(() => sleeper.wake());
  unlock(pipe.lock);
  const why = yield* sleep(sleeper, 'interruptible', what);
  cancel();
  return why === 'woken';
}

function* readPipe(_task: Task, file: File, count: number): Steps<Uint8Array | number> {
  const pipe = pipeOf(file);
  if (count === 0) return new Uint8Array(0);
  const ready = yield* untilReadable(pipe, (file.flags & O_NONBLOCK) !== 0);
  if (ready <= 0) return ready === 0 ? new Uint8Array(0) : ready;
  const bytes = takeBytes(pipe, count);
  pipe.waiters.wakeAll();
  unlock(pipe.lock);
  return bytes;
}

function* writePipe(task: Task, file: File, data: Uint8Array): Steps<number> {
  const pipe = pipeOf(file);
  let done = 0;
  for (;;) {
    yield* lock(pipe.lock);
    if (pipe.readers === 0) {
      unlock(pipe.lock);
      sendSignal(task, { signo: SIGPIPE, code: SI_KERNEL, address: 0, pid: 0, status: 0 });
      return done > 0 ? done : -EPIPE;
    }
    const took = putBytes(pipe, data.subarray(done), done === 0);
    done += took;
    if (took > 0) pipe.waiters.wakeAll();
    if (done === data.length) {
      unlock(pipe.lock);
      return done;
    }
    if ((file.flags & O_NONBLOCK) !== 0) {
      unlock(pipe.lock);
      return done > 0 ? done : -EAGAIN;
    }
    if (!(yield* waitOn(pipe, 'a read from the pipe'))) return done > 0 ? done : -EINTR;
  }
}

/** Appends what fits. @param first whether this begins a write: only then may it go on in the last page */
function putBytes(pipe: Pipe, data: Uint8Array, first: boolean): number {
  let done = 0;
  const last = pipe.buffers.at(-1);
  const odd = data.length % PAGE;
  const own = last?.page ?? null;
  // Only a page of the pipe's own: what it refers to is somebody else's (CVE-2022-0847).
  if (first && last !== undefined && own !== null && odd > 0 && last.end + odd <= PAGE) {
    own.set(data.subarray(0, odd), last.end);
    last.end += odd;
    done = odd;
  }
  while (done < data.length && pipe.buffers.length < SLOTS) {
    const part = data.subarray(done, done + PAGE);
    const page = new Uint8Array(PAGE);
    page.set(part);
    pipe.buffers.push({ page, pfn: 0, start: 0, end: part.length });
    done += part.length;
  }
  return done;
}

/** Requires: the pipe's lock. */
export function takeBytes(pipe: Pipe, count: number): Uint8Array {
  const size = pipe.buffers.reduce((sum, b) => sum + b.end - b.start, 0);
  const taken = new Uint8Array(Math.min(count, size));
  for (let filled = 0; filled < taken.length; ) {
    const buffer = at(pipe.buffers, 0);
    const part = bufferBytes(buffer, taken.length - filled);
    taken.set(part, filled);
    filled += part.length;
    buffer.start += part.length;
    if (buffer.start < buffer.end) continue;
    pipe.buffers.shift();
    releaseBuffer(buffer);
  }
  return taken;
}

function pollSource(file: File): PollSource {
  return pipeOf(file).waiters;
}
function stat(): { size: number; mode: number } {
  return { size: 0, mode: S_IFIFO | 0o600 };
}

/** With both ends closed nobody will ever read what is left. @linux free_pipe_info */
function* dropUnread(pipe: Pipe): Steps<void> {
  if (pipe.readers > 0 || pipe.writers > 0) return;
  const [first] = pipe.buffers;
  if (first !== undefined && sched.wants()) {
    yield* access('free pipe', refcountCell(first.pfn), ADD);
  }
  for (const buffer of pipe.buffers.splice(0)) releaseBuffer(buffer);
}

const READ_END: FileOps = {
  kind: 'pipe',
  read: readPipe,
  poll: (file) => {
    const pipe = pipeOf(file);
    return (pipe.buffers.length > 0 ? POLLIN : 0) | (pipe.writers === 0 ? POLLHUP : 0);
  },
  pollSource,
  stat,
  *release(_task, file) {
    const pipe = pipeOf(file);
    pipe.readers--;
    yield* dropUnread(pipe);
    pipe.waiters.wakeAll();
  },
};

const WRITE_END: FileOps = {
  kind: 'pipe',
  write: writePipe,
  poll: (file) => {
    const pipe = pipeOf(file);
    return (pipe.buffers.length < SLOTS ? POLLOUT : 0) | (pipe.readers === 0 ? POLLERR : 0);
  },
  pollSource,
  stat,
  *release(_task, file) {
    const pipe = pipeOf(file);
    pipe.writers--;
    yield* dropUnread(pipe);
    pipe.waiters.wakeAll();
  },
};

/** A new pipe as its read end and write end. @param flags O_NONBLOCK or 0 */
export function createPipe(flags: number): readonly [File, File] {
  const pipe = new Pipe();
  return [
    new File(READ_END, O_RDONLY | flags, pipe, 'pipe:'),
    new File(WRITE_END, O_WRONLY | flags, pipe, 'pipe:'),
  ];
}

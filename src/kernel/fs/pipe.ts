/**
 * Pipes: a bounded queue of bytes between two files. What bounds it is a number of pages, and a write fills up the last
 * page only if its odd part fits there whole; so how many bytes a pipe takes depends on how they come.
 * pipe(7); @linux fs/pipe.c
 */
import { at } from '../../base/assert.ts';
import { Lock, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { Sleeper, sleep } from '../../sched/wait.ts';
import { EAGAIN, EINTR, EPIPE } from '../../uapi/errno.ts';
import { O_NONBLOCK, O_RDONLY, O_WRONLY, S_IFIFO } from '../../uapi/fcntl.ts';
import { SI_KERNEL, SIGPIPE } from '../../uapi/signal.ts';
import { CELL_WOKEN } from '../cells.ts';
import { sendSignal } from '../core/signal.ts';
import type { Task } from '../core/task.ts';
import { FILE_LOCK } from '../lock-classes.ts';
import { File, type FileOps, POLLERR, POLLHUP, POLLIN, POLLOUT, type PollSource } from './file.ts';
import { Waiters } from './waiters.ts';

/** Pages of a pipe. @linux PIPE_DEF_BUFFERS */
const SLOTS = 16;
const PAGE = 4096;

interface PipeBuffer {
  readonly page: Uint8Array;
  /** Bytes [start, end) of the page are in the pipe. */
  start: number;
  end: number;
}

class Pipe {
  readonly lock: Lock = new Lock(FILE_LOCK, 'pipe');
  readonly buffers: PipeBuffer[] = [];
  readers = 1;
  writers = 1;
  readonly waiters: Waiters = new Waiters();
}

function pipeOf(file: File): Pipe {
  return file.data as Pipe;
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
  for (;;) {
    yield* lock(pipe.lock);
    if (pipe.buffers.length > 0 || count === 0) {
      const bytes = takeBytes(pipe, count);
      pipe.waiters.wakeAll();
      unlock(pipe.lock);
      return bytes;
    }
    if (pipe.writers === 0) {
      unlock(pipe.lock);
      return new Uint8Array(0);
    }
    if ((file.flags & O_NONBLOCK) !== 0) {
      unlock(pipe.lock);
      return -EAGAIN;
    }
    if (!(yield* waitOn(pipe, 'a write to the pipe'))) return -EINTR;
  }
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
  if (first && last !== undefined && odd > 0 && last.end + odd <= PAGE) {
    last.page.set(data.subarray(0, odd), last.end);
    last.end += odd;
    done = odd;
  }
  while (done < data.length && pipe.buffers.length < SLOTS) {
    const part = data.subarray(done, done + PAGE);
    const page = new Uint8Array(PAGE);
    page.set(part);
    pipe.buffers.push({ page, start: 0, end: part.length });
    done += part.length;
  }
  return done;
}

function takeBytes(pipe: Pipe, count: number): Uint8Array {
  const size = pipe.buffers.reduce((sum, b) => sum + b.end - b.start, 0);
  const taken = new Uint8Array(Math.min(count, size));
  for (let filled = 0; filled < taken.length; ) {
    const buffer = at(pipe.buffers, 0);
    const part = buffer.page.subarray(buffer.start, buffer.end).subarray(0, taken.length - filled);
    taken.set(part, filled);
    filled += part.length;
    buffer.start += part.length;
    if (buffer.start === buffer.end) pipe.buffers.shift();
  }
  return taken;
}

function pollSource(file: File): PollSource {
  return pipeOf(file).waiters;
}
function stat(): { size: number; mode: number } {
  return { size: 0, mode: S_IFIFO | 0o600 };
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

/** Pipes: a bounded queue of bytes between two files. pipe(7); @linux fs/pipe.c */
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

const CAPACITY = 65_536;
/** Writes up to this size are not interleaved with others. pipe(7) */
const PIPE_BUF = 4096;

class Pipe {
  readonly lock: Lock = new Lock(FILE_LOCK, 'pipe');
  chunks: Uint8Array[] = [];
  size = 0;
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
    if (pipe.size > 0 || count === 0) {
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
    const room = CAPACITY - pipe.size;
    const left = data.length - done;
    if (room >= left || (left > PIPE_BUF && room > 0)) {
      const take = Math.min(room, left);
      pipe.chunks.push(data.slice(done, done + take));
      pipe.size += take;
      done += take;
      pipe.waiters.wakeAll();
    }
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

function takeBytes(pipe: Pipe, count: number): Uint8Array {
  const taken = new Uint8Array(Math.min(count, pipe.size));
  let filled = 0;
  while (filled < taken.length) {
    const chunk = pipe.chunks[0];
    if (chunk === undefined) break;
    const part = chunk.subarray(0, taken.length - filled);
    taken.set(part, filled);
    filled += part.length;
    if (part.length === chunk.length) pipe.chunks.shift();
    else pipe.chunks[0] = chunk.subarray(part.length);
  }
  pipe.size -= taken.length;
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
    return (pipe.size > 0 ? POLLIN : 0) | (pipe.writers === 0 ? POLLHUP : 0);
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
    return (CAPACITY - pipe.size >= PIPE_BUF ? POLLOUT : 0) | (pipe.readers === 0 ? POLLERR : 0);
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

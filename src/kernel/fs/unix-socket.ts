/**
 * Pairs of connected AF_UNIX sockets: bytes or messages one way and the other, and open files along with them. A file in
 * flight is open: a userfaultfd that only a message holds watches its address space still.
 *
 * Differs from Linux: sockets that are in flight to each other and open nowhere else are never collected.
 * @linux net/unix/af_unix.c; unix(7)
 */
import { Lock, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { Sleeper, sleep } from '../../sched/wait.ts';
import { EAGAIN, ECONNREFUSED, ECONNRESET, EINTR, EMSGSIZE, EPIPE } from '../../uapi/errno.ts';
import { O_NONBLOCK, O_RDWR, S_IFSOCK } from '../../uapi/fcntl.ts';
import { SI_KERNEL, SIGPIPE } from '../../uapi/signal.ts';
import { SOCK_DGRAM, SOCK_STREAM } from '../../uapi/socket.ts';
import { CELL_WOKEN } from '../cells.ts';
import { sendSignal } from '../core/signal.ts';
import type { Task } from '../core/task.ts';
import { FILE_LOCK } from '../lock-classes.ts';
import { copyFromUser } from '../mm/user-access.ts';
import { File, type FileOps, fput, POLLERR, POLLHUP, POLLIN, POLLOUT } from './file.ts';
import { Waiters } from './waiters.ts';

/** Bytes that may wait in one direction. @linux net.core.wmem_default */
const SEND_BUFFER = 212_992;

/** Something sent and not received yet, with references to the files that go along. */
interface Message {
  bytes: Uint8Array;
  files: readonly File[];
}

export interface Pair {
  readonly lock: Lock;
  readonly type: number;
}

export class UnixSocket {
  readonly pair: Pair;
  /** The other end; null once that is closed. */
  peer: UnixSocket | null = null;
  readonly queue: Message[] = [];
  readonly waiters: Waiters = new Waiters();
  /** Nothing more will be received. */
  shutRead = false;
  /** Nothing more may be sent. */
  shutWrite = false;
  /** What the next call fails with: the other end was closed over what it had not read. @linux sk_err */
  error = 0;

  constructor(pair: Pair) {
    this.pair = pair;
  }

  get isStream(): boolean {
    return this.pair.type === SOCK_STREAM;
  }
  get waiting(): number {
    return this.queue.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }
}

/** The socket of an open file, or null. */
export function socketOf(file: File): UnixSocket | null {
  return file.data instanceof UnixSocket ? file.data : null;
}

function* waitOn(socket: UnixSocket, what: string): Steps<boolean> {
  const sleeper = new Sleeper(CELL_WOKEN);
  const cancel = socket.waiters.subscribe(() => sleeper.wake());
  unlock(socket.pair.lock);
  const why = yield* sleep(sleeper, 'interruptible', what);
  cancel();
  yield* lock(socket.pair.lock);
  return why === 'woken';
}

/** How a call on a socket is made. */
export interface How {
  readonly nonblock: boolean;
  /** Whether a broken connection raises SIGPIPE. */
  readonly signals: boolean;
}

/**
 * Sends bytes, and files with the first of them.
 * @param files references to them become the message's, unless the result is negative
 * @returns bytes sent, or a negative errno. Requires: no lock. @linux unix_stream_sendmsg, unix_dgram_sendmsg
 */
export function* unixSend(
  task: Task,
  socket: UnixSocket,
  bytes: Uint8Array,
  files: readonly File[],
  how: How,
): Steps<number> {
  if (!socket.isStream && bytes.length > SEND_BUFFER) return -EMSGSIZE;
  yield* lock(socket.pair.lock);
  const result = yield* sendLocked(socket, bytes, files, how);
  unlock(socket.pair.lock);
  if (result === -EPIPE && socket.isStream && how.signals) {
    sendSignal(task, { signo: SIGPIPE, code: SI_KERNEL, address: 0, pid: 0, status: 0 });
  }
  return result;
}

/** Requires: the lock of the pair. */
function* sendLocked(
  socket: UnixSocket,
  bytes: Uint8Array,
  files: readonly File[],
  how: How,
): Steps<number> {
  let done = 0;
  for (;;) {
    const { peer } = socket;
    if (peer === null || socket.shutWrite || peer.shutRead) {
      if (done > 0) return done;
      return peer === null && socket.pair.type === SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
    }
    const room = SEND_BUFFER - peer.waiting;
    const left = bytes.length - done;
    if (room >= left || (socket.isStream && room > 0)) {
      const part = bytes.slice(done, done + Math.min(room, left));
      if (part.length > 0 || !socket.isStream) {
        peer.queue.push({ bytes: part, files: done === 0 ? files : [] });
      }
      done += part.length;
      peer.waiters.wakeAll();
      if (done === bytes.length) return done;
    }
    if (how.nonblock) return done > 0 ? done : -EAGAIN;
    if (!(yield* waitOn(socket, 'room in a socket'))) return done > 0 ? done : -EINTR;
  }
}

export interface Received {
  readonly bytes: Uint8Array;
  /** The caller's references now. */
  readonly files: readonly File[];
  /** The message was longer: the rest is gone. */
  readonly cut: boolean;
}

/**
 * Receives one message, or of a stream what has come, up to the next files.
 * @param peek leaves it there
 * @returns nothing at the end, or a negative errno. Requires: no lock. @linux unix_stream_recvmsg, unix_dgram_recvmsg
 */
export function* unixReceive(
  socket: UnixSocket,
  count: number,
  how: How,
  peek: boolean,
): Steps<Received | number> {
  yield* lock(socket.pair.lock);
  const result = yield* receiveLocked(socket, count, how, peek);
  unlock(socket.pair.lock);
  return result;
}

/** Requires: the lock of the pair. */
function* receiveLocked(
  socket: UnixSocket,
  count: number,
  how: How,
  peek: boolean,
): Steps<Received | number> {
  for (;;) {
    const [first] = socket.queue;
    if (first !== undefined && !socket.shutRead) {
      const got = socket.isStream ? takeStream(socket, count, peek) : takeOne(socket, count, peek);
      socket.peer?.waiters.wakeAll();
      return got;
    }
    const { error } = socket;
    socket.error = 0;
    if (error !== 0) return -error;
    const over = socket.shutRead || socket.peer === null || socket.peer.shutWrite;
    if (over && socket.pair.type !== SOCK_DGRAM) {
      return { bytes: new Uint8Array(0), files: [], cut: false };
    }
    if (how.nonblock) return -EAGAIN;
    if (!(yield* waitOn(socket, 'a message on a socket'))) return -EINTR;
  }
}

function takeOne(socket: UnixSocket, count: number, peek: boolean): Received {
  const message = peek ? socket.queue[0] : socket.queue.shift();
  const { bytes, files } = message ?? { bytes: new Uint8Array(0), files: [] };
  for (const file of peek ? files : []) file.refs++;
  return { bytes: bytes.slice(0, count), files, cut: bytes.length > count };
}

function takeStream(socket: UnixSocket, count: number, peek: boolean): Received {
  const parts: number[] = [];
  let files: readonly File[] = [];
  for (const message of [...socket.queue]) {
    if (parts.length === count || (message.files.length > 0 && parts.length > 0)) break;
    const part = message.bytes.subarray(0, count - parts.length);
    parts.push(...part);
    if (message.files.length > 0) ({ files } = message);
    for (const file of peek ? message.files : []) file.refs++;
    if (!peek) {
      message.files = [];
      message.bytes = message.bytes.subarray(part.length);
      if (message.bytes.length === 0) socket.queue.shift();
    }
    // What comes with files ends at the end of its message.
    if (files.length > 0) break;
  }
  return { bytes: Uint8Array.from(parts), files, cut: false };
}

/** Closes one or both directions. Requires: no lock. @linux unix_shutdown */
export function* unixShutdown(socket: UnixSocket, read: boolean, write: boolean): Steps<void> {
  yield* lock(socket.pair.lock);
  const { peer } = socket;
  socket.shutRead ||= read;
  socket.shutWrite ||= write;
  if (peer !== null) {
    peer.waiters.wakeAll();
  }
  socket.waiters.wakeAll();
  unlock(socket.pair.lock);
}

/** The last descriptor of an end is gone: what it had not received is dropped, files with it. */
function* release(task: Task, file: File): Steps<void> {
  const socket = socketOf(file);
  if (socket === null) return;
  yield* lock(socket.pair.lock);
  const { peer } = socket;
  const dropped = socket.queue.splice(0);
  if (peer !== null) {
    peer.peer = null;
    if (dropped.length > 0 && socket.pair.type !== SOCK_DGRAM) peer.error = ECONNRESET;
    peer.waiters.wakeAll();
  }
  unlock(socket.pair.lock);
  for (const { files } of dropped) for (const sent of files) yield* fput(task, sent);
}

function howOf(file: File): How {
  return { nonblock: (file.flags & O_NONBLOCK) !== 0, signals: true };
}

const OPS: FileOps = {
  kind: 'socket',
  *read(task, file, count) {
    const socket = socketOf(file);
    if (socket === null) return -EPIPE;
    const got = yield* unixReceive(socket, count, howOf(file), false);
    if (typeof got === 'number') return got;
    // read(2) has no room for files: they are closed.
    for (const sent of got.files) yield* fput(task, sent);
    return got.bytes;
  },
  *writeFrom(task, file, buffer, count) {
    const socket = socketOf(file);
    const bytes = count === 0 ? new Uint8Array(0) : yield* copyFromUser(task, buffer, count);
    if (typeof bytes === 'number') return bytes;
    return socket === null ? -EPIPE : yield* unixSend(task, socket, bytes, [], howOf(file));
  },
  poll(file) {
    const socket = socketOf(file);
    if (socket === null) return POLLERR;
    const { peer, queue, shutRead, shutWrite } = socket;
    const over = shutRead || peer === null || peer.shutWrite;
    const readable = queue.length > 0 || over ? POLLIN : 0;
    const hungUp = peer === null || (shutRead && shutWrite) ? POLLHUP : 0;
    const room = peer === null || peer.waiting < SEND_BUFFER ? POLLOUT : 0;
    return readable | hungUp | room | (socket.error === 0 ? 0 : POLLERR);
  },
  pollSource: (file) => socketOf(file)?.waiters ?? new Waiters(),
  stat: () => ({ size: 0, mode: S_IFSOCK | 0o777 }),
  release,
};

/** Two ends of a connection, each with one reference. @param flags O_NONBLOCK or 0 @linux unix_socketpair */
export function createSocketPair(type: number, flags: number): readonly [File, File] {
  const pair: Pair = { lock: new Lock(FILE_LOCK, 'socket'), type };
  const [a, b] = [new UnixSocket(pair), new UnixSocket(pair)];
  a.peer = b;
  b.peer = a;
  const file = (socket: UnixSocket): File => new File(OPS, O_RDWR | flags, socket, 'socket:');
  return [file(a), file(b)];
}

/**
 * Moving pages in and out of pipes without copying: a pipe then holds plain references to pages of a program's memory, or
 * of the page cache, and whoever reads it gets the bytes they have by then.
 *
 * Differs from Linux: what was taken out of a pipe for user memory that cannot be written is lost.
 *
 * @linux fs/splice.c; vmsplice(2), splice(2), tee(2)
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EINVAL } from '../../uapi/errno.ts';
import { SCRATCH_BASE, type Task } from '../core/task.ts';
import { getUserPagesFast } from '../mm/gup-fast.ts';
import { FOLL_GET } from '../mm/gup-flags.ts';
import { copyToUserPartly } from '../mm/user-access.ts';
import type { File } from './file.ts';
import {
  bufferBytes,
  type Pipe,
  type PipeBuffer,
  pipeRoom,
  takeBytes,
  untilReadable,
  untilWritable,
} from './pipe.ts';
import { fileInode } from './regular-file.ts';
import { folioToRead } from './shmem-file.ts';

/** Pages asked for at once. @linux iter_to_pipe */
const BATCH = 16;

export interface UserStretch {
  readonly base: number;
  /** Bytes. */
  readonly length: number;
}

/**
 * Puts pages of the caller's memory into a pipe, as many as fit.
 * @returns bytes, or a negative errno when there is none. @linux vmsplice_to_pipe
 */
export function* vmspliceToPipe(
  task: Task,
  pipe: Pipe,
  stretches: readonly UserStretch[],
  nonblock: boolean,
): Steps<number> {
  const error = yield* untilWritable(task, pipe, nonblock);
  if (error < 0) return error;
  let total = 0;
  let failed = 0;
  for (const { base, length } of stretches) {
    const done = yield* addUserPages(task, pipe, base, length);
    failed = done.error;
    total += done.bytes;
    if (failed < 0 || done.bytes < length) break;
  }
  pipe.waiters.wakeAll();
  unlock(pipe.lock);
  return total > 0 ? total : failed;
}

/** Requires: the pipe's lock. */
function* addUserPages(
  task: Task,
  pipe: Pipe,
  base: number,
  length: number,
): Steps<{ readonly bytes: number; readonly error: number }> {
  let bytes = 0;
  while (bytes < length && pipeRoom(pipe) > 0) {
    const offset = (base + bytes) % PAGE_SIZE;
    const start = base + bytes - offset;
    const pages = Math.ceil((offset + length - bytes) / PAGE_SIZE);
    const count = Math.min(BATCH, pages, pipeRoom(pipe));
    const got = yield* getUserPagesFast(task.mmOrDie, start, count, FOLL_GET);
    if (typeof got === 'number') return { bytes, error: got };
    for (const [i, pfn] of got.entries()) {
      const from = i === 0 ? offset : 0;
      const end = Math.min(PAGE_SIZE, from + length - bytes);
      pipe.buffers.push({ page: null, pfn, start: from, end });
      bytes += end - from;
    }
  }
  return { bytes, error: 0 };
}

/** Copies what a pipe holds to the caller's memory. @returns bytes, 0 at the end, or a negative errno. @linux vmsplice_to_user */
export function* vmspliceToUser(
  task: Task,
  pipe: Pipe,
  stretches: readonly UserStretch[],
  nonblock: boolean,
): Steps<number> {
  const ready = yield* untilReadable(pipe, nonblock);
  if (ready <= 0) return ready;
  let total = 0;
  let failed = false;
  for (const { base, length } of stretches) {
    const bytes = takeBytes(pipe, length);
    const copied = yield* copyToUserPartly(task, base, bytes);
    total += copied;
    failed = copied < bytes.length;
    if (failed || bytes.length < length) break;
  }
  pipe.waiters.wakeAll();
  unlock(pipe.lock);
  return total === 0 && failed ? -EFAULT : total;
}

/**
 * From one pipe to another: buffers move, or are shared (tee).
 * @returns bytes, 0 at the end, or a negative errno
 * Requires: two different pipes. @linux splice_pipe_to_pipe, link_pipe
 */
export function* pipeToPipe(
  task: Task,
  from: Pipe,
  to: Pipe,
  length: number,
  how: { readonly nonblock: boolean; readonly keep: boolean },
): Steps<number> {
  for (;;) {
    const ready = yield* untilReadable(from, how.nonblock);
    if (ready <= 0) return ready;
    unlock(from.lock);
    const error = yield* untilWritable(task, to, how.nonblock);
    if (error < 0) return error;
    unlock(to.lock);
    // Neither may be waited for with the other locked; what was seen before may be over. @linux pipe_double_lock
    const [first, second] = from.lock.cell < to.lock.cell ? [from, to] : [to, from];
    yield* lock(first.lock);
    yield* lock(second.lock);
    const done = how.keep ? shareBuffers(from, to, length) : moveBuffers(from, to, length);
    from.waiters.wakeAll();
    to.waiters.wakeAll();
    unlock(to.lock);
    unlock(from.lock);
    if (done > 0) return done;
  }
}

/** Requires: both locks. */
function moveBuffers(from: Pipe, to: Pipe, length: number): number {
  let done = 0;
  while (done < length && pipeRoom(to) > 0) {
    const [buffer] = from.buffers;
    if (buffer === undefined) break;
    const bytes = Math.min(length - done, buffer.end - buffer.start);
    if (bytes === buffer.end - buffer.start) {
      from.buffers.shift();
      to.buffers.push(buffer);
    } else {
      to.buffers.push(shared(buffer, bytes));
      buffer.start += bytes;
    }
    done += bytes;
  }
  return done;
}

/** Requires: both locks. */
function shareBuffers(from: Pipe, to: Pipe, length: number): number {
  let done = 0;
  for (const buffer of from.buffers) {
    if (done === length || pipeRoom(to) === 0) break;
    const bytes = Math.min(length - done, buffer.end - buffer.start);
    to.buffers.push(shared(buffer, bytes));
    done += bytes;
  }
  return done;
}

/** The first bytes of a buffer, with a reference of their own. @linux pipe_buf_get */
function shared({ page, pfn, start }: PipeBuffer, bytes: number): PipeBuffer {
  if (pfn !== 0) machine.frames.get(pfn);
  const copy = page === null ? null : page.slice();
  return { page: copy, pfn, start, end: start + bytes };
}

/**
 * Pages of a file of shared memory into a pipe, by reference; holes as zeroes.
 * @returns bytes, 0 at the end of the file, or a negative errno. @linux shmem_file_splice_read
 */
export function* fileToPipe(
  task: Task,
  file: File,
  offset: number,
  pipe: Pipe,
  length: number,
  nonblock: boolean,
): Steps<number> {
  const error = yield* untilWritable(task, pipe, nonblock);
  if (error < 0) return error;
  const inode = fileInode(file);
  let done = 0;
  let failed = 0;
  while (done < length && pipeRoom(pipe) > 0) {
    const at = offset + done;
    const start = at % PAGE_SIZE;
    const bytes = Math.min(length - done, inode.size - at, PAGE_SIZE - start);
    if (bytes <= 0) break;
    const pfn = yield* folioToRead(inode, Math.floor(at / PAGE_SIZE));
    if (pfn < 0) {
      failed = pfn;
      break;
    }
    const page = pfn === 0 ? new Uint8Array(PAGE_SIZE) : null;
    pipe.buffers.push({ page, pfn: pfn as Pfn | 0, start, end: start + bytes });
    done += bytes;
  }
  pipe.waiters.wakeAll();
  unlock(pipe.lock);
  return done > 0 ? done : failed;
}

/**
 * What a pipe holds into a file, as one write.
 * @param offset null: where the file stands
 * @returns bytes, 0 at the end, or a negative errno. @linux iter_file_splice_write
 */
export function* pipeToFile(
  task: Task,
  pipe: Pipe,
  file: File,
  offset: number | null,
  length: number,
  nonblock: boolean,
): Steps<number> {
  const { write, writeFrom } = file.ops;
  const ready = yield* untilReadable(pipe, nonblock);
  if (ready <= 0) return ready;
  const bytes = peekBytes(pipe, length);
  let done = -EINVAL;
  if (writeFrom !== undefined) {
    // Files copy from an address: for the length of the write the bytes lie in the task's window.
    const { scratch } = task;
    task.scratch = bytes;
    done = yield* writeFrom(task, file, SCRATCH_BASE, bytes.length, offset);
    task.scratch = scratch;
  } else if (write !== undefined) {
    done = yield* write(task, file, bytes, offset);
  }
  if (done > 0) takeBytes(pipe, done);
  pipe.waiters.wakeAll();
  unlock(pipe.lock);
  return done;
}

/** Requires: the pipe's lock. */
function peekBytes(pipe: Pipe, length: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const buffer of pipe.buffers) {
    const part = bufferBytes(buffer, length - size);
    parts.push(part);
    size += part.length;
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

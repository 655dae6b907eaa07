/** vmsplice(2), splice(2), tee(2). */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT } from '../../uapi/errno.ts';
import { O_ACCMODE, O_APPEND, O_NONBLOCK, O_RDONLY, O_WRONLY } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { type ErrnoRow, errnoTable, fail } from '../errno-row.ts';
import { type File, fget, fput } from '../fs/file.ts';
import { pipeInfo } from '../fs/pipe.ts';
import {
  fileToPipe,
  pipeToFile,
  pipeToPipe,
  vmspliceToPipe,
  vmspliceToUser,
} from '../fs/splice.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';
import { readIoVecs } from './iovec.ts';
import { address, fd, flags, length, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const SPLICE_F = {
  SPLICE_F_MOVE: 1,
  SPLICE_F_NONBLOCK: 2,
  SPLICE_F_MORE: 4,
  SPLICE_F_GIFT: 8,
} as const;
const ALL_FLAGS = 15;

const NO_ROOM = ['EAGAIN', 'nothing to read or no room, and SPLICE_F_NONBLOCK'] as const;
const NO_READER = ['EPIPE', 'nobody has the other end of the pipe open any more'] as const;
const SIGNAL = ['EINTR', 'a signal arrived'] as const;
const BAD_FLAGS = ['EINVAL', 'an unknown flag'] as const;

export const VMSPLICE_ERRORS = errnoTable('vmsplice', {
  flags: BAD_FLAGS,
  badFd: ['EBADF', 'fd is not open, or no pipe'],
  vector: ['EINVAL', 'more than 1024 stretches, or a length that is negative'],
  fault: ['EFAULT', 'the vector, or the first page, cannot be accessed'],
  reader: NO_READER,
  room: NO_ROOM,
  signal: SIGNAL,
});
export const SPLICE_ERRORS = errnoTable('splice', {
  flags: BAD_FLAGS,
  badFd: ['EBADF', 'a descriptor is not open, or not for reading or writing, as it must be'],
  pipeOffset: ['ESPIPE', 'an offset for a pipe, which has none'],
  noPipe: [
    'EINVAL',
    'neither is a pipe, both are the same one, or the file cannot be spliced, as one opened with O_APPEND',
  ],
  fault: ['EFAULT', 'the offset cannot be read or written'],
  reader: NO_READER,
  room: NO_ROOM,
  signal: SIGNAL,
});
export const TEE_ERRORS = errnoTable('tee', {
  flags: BAD_FLAGS,
  badFd: ['EBADF', 'a descriptor is not open, or not for reading or writing, as it must be'],
  noPipe: ['EINVAL', 'one of them is no pipe, or both are the same'],
  reader: NO_READER,
  room: NO_ROOM,
  signal: SIGNAL,
});

function* fileOf(task: Task, descriptor: number): Steps<File | null> {
  if (sched.wants()) yield* access('fd', task.files.cell, READ);
  return task.files.get(descriptor);
}
const reads = (file: File): boolean => (file.flags & O_ACCMODE) !== O_WRONLY;
const writes = (file: File): boolean => (file.flags & O_ACCMODE) !== O_RDONLY;

/** @linux fs/splice.c SYSCALL_DEFINE4(vmsplice) */
function* sysVmsplice(task: Task, [descriptor = -1, vector = 0, count = 0, how = 0]: SysArgs) {
  const E = VMSPLICE_ERRORS;
  if ((how & ~ALL_FLAGS) !== 0) return fail(E.flags);
  const file = yield* fileOf(task, descriptor);
  if (file === null) return fail(E.badFd);
  const vecs = yield* readIoVecs(task, vector, count);
  if (typeof vecs === 'number') return fail(vecs === -EFAULT ? E.fault : E.vector);
  if (vecs.every((v) => v.length === 0)) return 0;
  const pipe = pipeInfo(file);
  if (pipe === null) return fail(E.badFd);
  const nonblock = (how & SPLICE_F.SPLICE_F_NONBLOCK) !== 0;
  fget(file);
  const moved = yield* writes(file)
    ? vmspliceToPipe(task, pipe, vecs, nonblock)
    : vmspliceToUser(task, pipe, vecs, nonblock);
  yield* fput(task, file);
  return explained(E, moved);
}

/** @linux fs/splice.c SYSCALL_DEFINE4(tee) */
function* sysTee(task: Task, [from = -1, to = -1, size = 0, how = 0]: SysArgs): Steps<number> {
  const E = TEE_ERRORS;
  if ((how & ~ALL_FLAGS) !== 0) return fail(E.flags);
  if (size === 0) return 0;
  const source = yield* fileOf(task, from);
  const sink = yield* fileOf(task, to);
  if (source === null || sink === null || !reads(source) || !writes(sink)) return fail(E.badFd);
  const [input, output] = [pipeInfo(source), pipeInfo(sink)];
  if (input === null || output === null || input === output) return fail(E.noPipe);
  const nonblock = wantsNonblock(how, source, sink);
  fget(source);
  fget(sink);
  const moved = yield* pipeToPipe(task, input, output, size, { nonblock, keep: true });
  yield* fput(task, sink);
  yield* fput(task, source);
  return explained(E, moved);
}

function wantsNonblock(how: number, ...files: readonly File[]): boolean {
  return (
    (how & SPLICE_F.SPLICE_F_NONBLOCK) !== 0 || files.some((f) => (f.flags & O_NONBLOCK) !== 0)
  );
}

/** @linux fs/splice.c SYSCALL_DEFINE6(splice), do_splice */
function* sysSplice(task: Task, args: SysArgs): Steps<number> {
  const E = SPLICE_ERRORS;
  const [from = -1, fromAt = 0, to = -1, toAt = 0, size = 0, how = 0] = args;
  if (size === 0) return 0;
  if ((how & ~ALL_FLAGS) !== 0) return fail(E.flags);
  const source = yield* fileOf(task, from);
  const sink = yield* fileOf(task, to);
  if (source === null || sink === null) return fail(E.badFd);
  const [input, output] = [pipeInfo(source), pipeInfo(sink)];
  if ((input !== null && fromAt !== 0) || (output !== null && toAt !== 0))
    return fail(E.pipeOffset);
  if (!reads(source) || !writes(sink)) return fail(E.badFd);
  fget(source);
  fget(sink);
  const nonblock = wantsNonblock(how, ...(input === null ? [] : [source]));
  let moved = fail(E.noPipe);
  if (input !== null && output !== null && input !== output) {
    moved = yield* pipeToPipe(task, input, output, size, { nonblock, keep: false });
  } else if (input === null && output !== null && source.ops.kind === 'shmem') {
    moved = yield* atOffset(task, source, fromAt, (offset) =>
      fileToPipe(task, source, offset, output, size, nonblock),
    );
  } else if (input !== null && output === null && (sink.flags & O_APPEND) === 0) {
    moved = yield* atOffset(task, sink, toAt, (offset) =>
      pipeToFile(task, input, sink, offset, size, nonblock),
    );
  }
  yield* fput(task, sink);
  yield* fput(task, source);
  return explained(E, moved);
}

/** Moves bytes and the position with them. @param offsetAt where user space keeps it; 0: the file's own */
function* atOffset(
  task: Task,
  file: File,
  offsetAt: number,
  move: (offset: number) => Steps<number>,
): Steps<number> {
  let { offset } = file;
  if (offsetAt !== 0) {
    const bytes = yield* copyFromUser(task, offsetAt, 8);
    if (typeof bytes === 'number') return bytes;
    offset = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true));
  }
  const moved = yield* move(offset);
  if (moved <= 0) return moved;
  if (offsetAt === 0) {
    file.offset = offset + moved;
    return moved;
  }
  const after = new Uint8Array(8);
  new DataView(after.buffer).setBigInt64(0, BigInt(offset + moved), true);
  const error = yield* copyToUser(task, offsetAt, after);
  return error < 0 ? error : moved;
}

/** An error of what does the work, with the row that says why. */
function explained(table: Readonly<Record<string, ErrnoRow>>, result: number): number {
  if (result >= 0) return result;
  const row = Object.values(table).findLast((r) => r.errno === -result);
  return row === undefined ? result : fail(row);
}

const FLAGS = flags('flags', SPLICE_F);
const SUPPORTS = Object.keys(SPLICE_F);
const FULL = `Pipes hold 16 buffers of ${PAGE_SIZE} bytes; F_SETPIPE_SZ is not modelled.`;

export const rows: readonly SyscallRow[] = [
  {
    nr: 75,
    name: 'vmsplice',
    params: [fd('fd'), address('iov'), number('nr_segs'), FLAGS],
    handler: sysVmsplice,
    supports: SUPPORTS,
    gap: `SPLICE_F_GIFT gives nothing away. ${FULL}`,
  },
  {
    nr: 76,
    name: 'splice',
    params: [
      fd('fd_in'),
      address('off_in'),
      fd('fd_out'),
      address('off_out'),
      length('len'),
      FLAGS,
    ],
    handler: sysSplice,
    supports: SUPPORTS,
    gap: 'Of files only those of shared memory can be spliced from.',
  },
  {
    nr: 77,
    name: 'tee',
    params: [fd('fd_in'), fd('fd_out'), length('len'), FLAGS],
    handler: sysTee,
    supports: SUPPORTS,
    gap: '',
  },
];

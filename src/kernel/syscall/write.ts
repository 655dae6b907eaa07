/** write(2), writev(2), pwrite(2): bytes from user memory to a file. */
import type { Steps } from '../../sched/op.ts';
import { EBADF, EINVAL } from '../../uapi/errno.ts';
import { O_ACCMODE, O_RDONLY } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import type { File } from '../fs/file.ts';
import { copyFromUser } from '../mm/user-access.ts';
import { address, fd, length, number } from './params.ts';
import { MAX_RW_COUNT, readIoVecs } from './read.ts';
import type { SysArgs, SyscallRow } from './row.ts';

/** Bytes copied in and handed to the file at a time. */
const CHUNK = 65_536;

function* writeOnce(
  task: Task,
  file: File,
  buffer: number,
  count: number,
  offset: number | null,
): Steps<number> {
  // userfaultfd has no write: write(2) says EBADF for a file that was not opened for writing (measured on 6.18).
  if (file.ops.write === undefined || (file.flags & O_ACCMODE) === O_RDONLY) return -EBADF;
  const limit = Math.min(count, MAX_RW_COUNT);
  let done = 0;
  do {
    const part = Math.min(CHUNK, limit - done);
    const bytes = yield* copyFromUser(task, buffer + done, part);
    if (typeof bytes === 'number') return done > 0 ? done : bytes;
    const wrote = yield* file.ops.write(task, file, bytes, offset === null ? null : offset + done);
    if (wrote < 0) return done > 0 ? done : wrote;
    done += wrote;
    if (wrote < part) break;
  } while (done < limit);
  return done;
}

function* sysWrite(task: Task, args: SysArgs): Steps<number> {
  const [number_ = 0, buffer = 0, count = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  if (count < 0) return -EINVAL;
  return yield* writeOnce(task, file, buffer, count, null);
}

function* sysPwrite64(task: Task, args: SysArgs): Steps<number> {
  const [number_ = 0, buffer = 0, count = 0, offset = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  if (offset < 0 || count < 0) return -EINVAL;
  return yield* writeOnce(task, file, buffer, count, offset);
}

function* sysWritev(task: Task, args: SysArgs): Steps<number> {
  const [number_ = 0, pointer = 0, count = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  const vecs = yield* readIoVecs(task, pointer, count);
  if (typeof vecs === 'number') return vecs;
  let total = 0;
  for (const vec of vecs) {
    const wrote = yield* writeOnce(task, file, vec.base, vec.length, null);
    if (wrote < 0) return total > 0 ? total : wrote;
    total += wrote;
    if (wrote < vec.length) break;
  }
  return total;
}

const buffers = [fd('fd'), address('buf'), length('count')];

export const rows: readonly SyscallRow[] = [
  { nr: 64, name: 'write', params: buffers, handler: sysWrite, supports: [], gap: '' },
  {
    nr: 68,
    name: 'pwrite64',
    params: [...buffers, number('offset')],
    handler: sysPwrite64,
    supports: [],
    gap: '',
  },
  {
    nr: 66,
    name: 'writev',
    params: [fd('fd'), address('iov'), number('iovcnt')],
    handler: sysWritev,
    supports: [],
    gap: '',
  },
];

/** read(2), readv(2), pread(2): bytes from a file to user memory. */
import type { Steps } from '../../sched/op.ts';
import { EBADF, EFAULT, EINVAL, EISDIR } from '../../uapi/errno.ts';
import { O_ACCMODE, O_WRONLY } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { type File, fget, fput } from '../fs/file.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';
import { address, fd, length, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

/** The largest transfer of one call. @linux MAX_RW_COUNT */
export const MAX_RW_COUNT = 0x7ffff000;
const IOV_MAX = 1024;

export interface IoVec {
  readonly base: number;
  readonly length: number;
}

/** Copies in an array of struct iovec {void *base; size_t length}. Returns it, or a negative errno. readv(2) */
export function* readIoVecs(task: Task, pointer: number, count: number): Steps<IoVec[] | number> {
  if (count < 0 || count > IOV_MAX) return -EINVAL;
  if (count === 0) return [];
  const bytes = yield* copyFromUser(task, pointer, count * 16);
  if (typeof bytes === 'number') return -EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const vecs: IoVec[] = [];
  for (let i = 0; i < count; i++) {
    const base = Number(view.getBigUint64(i * 16, true));
    const size = Number(view.getBigInt64(i * 16 + 8, true));
    if (size < 0) return -EINVAL;
    vecs.push({ base, length: size });
  }
  return vecs;
}

function* readOnce(
  task: Task,
  file: File,
  buffer: number,
  count: number,
  offset: number | null,
): Steps<number> {
  if (file.ops.read === undefined) return file.ops.kind === 'dir' ? -EISDIR : -EINVAL;
  if ((file.flags & O_ACCMODE) === O_WRONLY) return -EBADF;
  fget(file);
  const got = yield* file.ops.read(task, file, Math.min(count, MAX_RW_COUNT), offset);
  yield* fput(task, file);
  if (typeof got === 'number') return got;
  const failed = yield* copyToUser(task, buffer, got);
  return failed < 0 ? failed : got.length;
}

export function* sysRead(task: Task, args: SysArgs): Steps<number> {
  const [number_ = 0, buffer = 0, count = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  if (count < 0) return -EINVAL;
  return yield* readOnce(task, file, buffer, count, null);
}

function* sysPread64(task: Task, args: SysArgs): Steps<number> {
  const [number_ = 0, buffer = 0, count = 0, offset = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  if (offset < 0 || count < 0) return -EINVAL;
  return yield* readOnce(task, file, buffer, count, offset);
}

function* sysReadv(task: Task, args: SysArgs): Steps<number> {
  const [number_ = 0, pointer = 0, count = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  const vecs = yield* readIoVecs(task, pointer, count);
  if (typeof vecs === 'number') return vecs;
  let total = 0;
  for (const vec of vecs) {
    const got = yield* readOnce(task, file, vec.base, vec.length, null);
    if (got < 0) return total > 0 ? total : got;
    total += got;
    if (got < vec.length) break;
  }
  return total;
}

const buffers = [fd('fd'), address('buf'), length('count')];

export const rows: readonly SyscallRow[] = [
  { nr: 63, name: 'read', params: buffers, handler: sysRead, supports: [], gap: '' },
  {
    nr: 67,
    name: 'pread64',
    params: [...buffers, number('offset')],
    handler: sysPread64,
    supports: [],
    gap: '',
  },
  {
    nr: 65,
    name: 'readv',
    params: [fd('fd'), address('iov'), number('iovcnt')],
    handler: sysReadv,
    supports: [],
    gap: '',
  },
];

/** read(2), readv(2), pread(2): bytes from a file to user memory. */
import type { Steps } from '../../sched/op.ts';
import { EBADF, EINVAL, EISDIR } from '../../uapi/errno.ts';
import { O_ACCMODE, O_WRONLY } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import type { File } from '../fs/file.ts';
import { copyToUser } from '../mm/user-access.ts';
import type { Handler, SyscallRow } from './row.ts';
import {
  BUFFER_PARAMS,
  POSITIONED_PARAMS,
  plain,
  positioned,
  VECTOR_PARAMS,
  vectored,
} from './transfer.ts';

function* readFile(
  task: Task,
  file: File,
  buffer: number,
  count: number,
  offset: number | null,
): Steps<number> {
  if ((file.flags & O_ACCMODE) === O_WRONLY) return -EBADF;
  if (file.ops.readTo !== undefined) {
    return yield* file.ops.readTo(task, file, buffer, count, offset);
  }
  if (file.ops.read === undefined) return file.ops.kind === 'dir' ? -EISDIR : -EINVAL;
  const got = yield* file.ops.read(task, file, count, offset);
  if (typeof got === 'number') return got;
  const failed = yield* copyToUser(task, buffer, got);
  return failed < 0 ? failed : got.length;
}

export const sysRead: Handler = plain(readFile);

export const rows: readonly SyscallRow[] = [
  { nr: 63, name: 'read', params: BUFFER_PARAMS, handler: sysRead, supports: [], gap: '' },
  {
    nr: 67,
    name: 'pread64',
    params: POSITIONED_PARAMS,
    handler: positioned(readFile),
    supports: [],
    gap: '',
  },
  {
    nr: 65,
    name: 'readv',
    params: VECTOR_PARAMS,
    handler: vectored(readFile),
    supports: [],
    gap: '',
  },
];

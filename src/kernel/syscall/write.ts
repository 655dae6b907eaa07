/** write(2), writev(2), pwrite(2): bytes from user memory to a file. */
import type { Steps } from '../../sched/op.ts';
import { EBADF } from '../../uapi/errno.ts';
import { O_ACCMODE, O_RDONLY } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import type { File } from '../fs/file.ts';
import { copyFromUser } from '../mm/user-access.ts';
import type { SyscallRow } from './row.ts';
import {
  BUFFER_PARAMS,
  POSITIONED_PARAMS,
  plain,
  positioned,
  VECTOR_PARAMS,
  vectored,
} from './transfer.ts';

/** Bytes copied in and handed to the file at a time. */
const CHUNK = 65_536;

function* writeFile(
  task: Task,
  file: File,
  buffer: number,
  count: number,
  offset: number | null,
): Steps<number> {
  // userfaultfd has no write: write(2) says EBADF for a file that was not opened for writing (measured on 6.18).
  if ((file.flags & O_ACCMODE) === O_RDONLY) return -EBADF;
  if (file.ops.writeFrom !== undefined) {
    return yield* file.ops.writeFrom(task, file, buffer, count, offset);
  }
  if (file.ops.write === undefined) return -EBADF;
  let done = 0;
  do {
    const part = Math.min(CHUNK, count - done);
    const bytes = yield* copyFromUser(task, buffer + done, part);
    if (typeof bytes === 'number') return done > 0 ? done : bytes;
    const wrote = yield* file.ops.write(task, file, bytes, offset === null ? null : offset + done);
    if (wrote < 0) return done > 0 ? done : wrote;
    done += wrote;
    if (wrote < part) break;
  } while (done < count);
  return done;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 64,
    name: 'write',
    params: BUFFER_PARAMS,
    handler: plain(writeFile),
    supports: [],
    gap: '',
  },
  {
    nr: 68,
    name: 'pwrite64',
    params: POSITIONED_PARAMS,
    handler: positioned(writeFile),
    supports: [],
    gap: '',
  },
  {
    nr: 66,
    name: 'writev',
    params: VECTOR_PARAMS,
    handler: vectored(writeFile),
    supports: [],
    gap: '',
  },
];

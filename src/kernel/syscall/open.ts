/** openat(2). */
import type { Steps } from '../../sched/op.ts';
import { EMFILE } from '../../uapi/errno.ts';
import {
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDWR,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
} from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { fput } from '../fs/file.ts';
import { openFile } from '../fs/open.ts';
import { fd, flags, number, string } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysOpenat(task: Task, args: SysArgs): Steps<number> {
  const [dirfd = 0, pointer = 0, how = 0, mode = 0] = args;
  const path = yield* readPath(task, pointer);
  if (typeof path === 'number') return path;
  const file = yield* openFile(task, dirfd, path, how, mode);
  if (typeof file === 'number') return file;
  const got = task.files.install(file, (how & O_CLOEXEC) !== 0);
  if (got === -EMFILE) yield* fput(task, file);
  return got;
}

const OPEN_FLAGS = {
  O_WRONLY,
  O_RDWR,
  O_CREAT,
  O_EXCL,
  O_TRUNC,
  O_APPEND,
  O_NONBLOCK,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_CLOEXEC,
  O_PATH,
  O_TMPFILE,
};

export const rows: readonly SyscallRow[] = [
  {
    nr: 56,
    name: 'openat',
    params: [fd('dirfd'), string('pathname'), flags('flags', OPEN_FLAGS), number('mode')],
    handler: sysOpenat,
    supports: Object.keys(OPEN_FLAGS),
    gap: 'O_DIRECT, O_SYNC and O_DSYNC change nothing; FIFOs and devices cannot be made. Nothing of the host is there.',
  },
];

/** fallocate(2), ftruncate(2) and truncate(2). */
import type { Steps } from '../../sched/op.ts';
import { EINVAL } from '../../uapi/errno.ts';
import {
  AT_FDCWD,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_ACCMODE,
  O_RDONLY,
  O_WRONLY,
} from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { fail } from '../errno-row.ts';
import { fget, fput } from '../fs/file.ts';
import { openFile } from '../fs/open.ts';
import { FALLOCATE_ERRORS, FTRUNCATE_ERRORS, MAX_LFS_FILESIZE } from '../fs/shmem-file.ts';
import { doTruncate, vfsFallocate } from '../fs/truncate.ts';
import { fd, flags, length, number, string } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysFtruncate(task: Task, args: SysArgs): Steps<number> {
  const [number_ = -1, size = 0] = args;
  if (size < 0) return fail(FTRUNCATE_ERRORS.negative);
  const file = task.files.get(number_);
  if (file === null) return fail(FTRUNCATE_ERRORS.badFd);
  const { inode } = file;
  if (inode === null || (file.flags & O_ACCMODE) === O_RDONLY) return fail(FTRUNCATE_ERRORS.kind);
  fget(file);
  const result = yield* doTruncate(inode, size);
  yield* fput(task, file);
  return result;
}

function* sysTruncate(task: Task, args: SysArgs): Steps<number> {
  const [pointer = 0, size = 0] = args;
  if (size < 0) return -EINVAL;
  const path = yield* readPath(task, pointer);
  if (typeof path === 'number') return path;
  const file = yield* openFile(task, AT_FDCWD, path, O_WRONLY, 0);
  if (typeof file === 'number') return file;
  const result = file.inode === null ? -EINVAL : yield* doTruncate(file.inode, size);
  yield* fput(task, file);
  return result;
}

function* sysFallocate(task: Task, args: SysArgs): Steps<number> {
  const E = FALLOCATE_ERRORS;
  const [number_ = -1, mode = 0, offset = 0, size = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return fail(E.badFd);
  if (offset < 0 || size <= 0) return fail(E.range);
  const punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (mode !== 0 && mode !== FALLOC_FL_KEEP_SIZE && mode !== punch) return fail(E.mode);
  if ((file.flags & O_ACCMODE) === O_RDONLY) return fail(E.readOnly);
  const { inode } = file;
  if (inode === null) return fail(file.ops.kind === 'pipe' ? E.pipe : E.kind);
  if (offset + size >= MAX_LFS_FILESIZE) return fail(E.tooBig);
  fget(file);
  const result = yield* vfsFallocate(inode, mode, offset, size);
  yield* fput(task, file);
  return result;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 46,
    name: 'ftruncate',
    params: [fd('fd'), length('length')],
    handler: sysFtruncate,
    supports: [],
    gap: '',
  },
  {
    nr: 45,
    name: 'truncate',
    params: [string('path'), length('length')],
    handler: sysTruncate,
    supports: [],
    gap: '',
  },
  {
    nr: 47,
    name: 'fallocate',
    params: [
      fd('fd'),
      flags('mode', { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE }),
      number('offset'),
      length('len'),
    ],
    handler: sysFallocate,
    supports: ['FALLOC_FL_KEEP_SIZE', 'FALLOC_FL_PUNCH_HOLE'],
    gap: 'Other modes are EOPNOTSUPP, on a disk too; what a failing allocation has made stays.',
  },
];

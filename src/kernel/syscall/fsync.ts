/** msync(2), fsync(2), fdatasync(2), sync_file_range(2), sync(2): dirty pages to the disk. */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { EBADF, EINVAL, ESPIPE } from '../../uapi/errno.ts';
import { MS_NAMES } from '../../uapi/mman.ts';
import type { Task } from '../core/task.ts';
import { fget, fput } from '../fs/file.ts';
import { doMsync } from '../mm/msync.ts';
import { syncAll } from '../mm/page-writeback.ts';
import { address, fd, flags, length, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysFsync(task: Task, args: SysArgs): Steps<number> {
  const file = task.files.get(args[0] ?? -1);
  if (file === null) return -EBADF;
  if (file.ops.fsync === undefined) return file.ops.kind === 'dir' ? 0 : -EINVAL;
  fget(file);
  const result = yield* file.ops.fsync(file, 0, Number.POSITIVE_INFINITY);
  yield* fput(task, file);
  return result;
}

/** SYNC_FILE_RANGE_WAIT_BEFORE, WRITE and WAIT_AFTER. */
const RANGE_FLAGS = 7;

function* sysSyncFileRange(task: Task, args: SysArgs): Steps<number> {
  const [number_ = -1, offset = 0, count = 0, how = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  if ((how & ~RANGE_FLAGS) !== 0 || offset < 0 || count < 0) return -EINVAL;
  if (file.inode === null && file.ops.kind !== 'dir') return -ESPIPE;
  if (file.ops.fsync === undefined || how === 0) return 0;
  const end = count === 0 ? Number.POSITIVE_INFINITY : Math.ceil((offset + count) / PAGE_SIZE);
  fget(file);
  const result = yield* file.ops.fsync(file, Math.floor(offset / PAGE_SIZE), end);
  yield* fput(task, file);
  return result;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 227,
    name: 'msync',
    params: [address('addr'), length('length'), flags('flags', MS_NAMES)],
    *handler(task, [start = 0, size = 0, how = 0]) {
      return yield* doMsync(task.mmOrDie, start, size, how);
    },
    supports: Object.keys(MS_NAMES),
    gap: '',
  },
  {
    nr: 82,
    name: 'fsync',
    params: [fd('fd')],
    handler: sysFsync,
    supports: [],
    gap: '',
  },
  {
    nr: 83,
    name: 'fdatasync',
    params: [fd('fd')],
    handler: sysFsync,
    supports: [],
    gap: '',
  },
  {
    nr: 84,
    name: 'sync_file_range',
    params: [fd('fd'), number('offset'), length('nbytes'), number('flags')],
    handler: sysSyncFileRange,
    supports: [],
    gap: 'Whatever the flags, the range is written and waited for.',
  },
  {
    nr: 81,
    name: 'sync',
    params: [],
    *handler() {
      yield* syncAll();
      return 0;
    },
    supports: [],
    gap: '',
  },
];

/** What reading and writing have in common: which file, which buffers, how far it came. @linux fs/read_write.c */
import type { Steps } from '../../sched/op.ts';
import { EBADF, EINVAL, ESPIPE } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { type File, fget, fput } from '../fs/file.ts';
import { readIoVecs } from './iovec.ts';
import { address, fd, length, number } from './params.ts';
import type { Handler, Param, SysArgs } from './row.ts';

/** The largest transfer of one call. @linux MAX_RW_COUNT */
const MAX_RW_COUNT = 0x7ffff000;

/** Moves at most `count` bytes between a file and one buffer. @param offset null: at the file's own position */
export type Transfer = (
  task: Task,
  file: File,
  buffer: number,
  count: number,
  offset: number | null,
) => Steps<number>;

export const BUFFER_PARAMS: readonly Param[] = [fd('fd'), address('buf'), length('count')];
export const POSITIONED_PARAMS: readonly Param[] = [...BUFFER_PARAMS, number('offset')];
export const VECTOR_PARAMS: readonly Param[] = [fd('fd'), address('iov'), number('iovcnt')];

/** (fd, buf, count). The file stays open while the call lasts, whoever closes the descriptor. */
export function plain(transfer: Transfer): Handler {
  return function* (task: Task, [descriptor = -1, buffer = 0, count = 0]: SysArgs) {
    const file = task.files.get(descriptor);
    if (file === null) return -EBADF;
    return yield* held(task, file, transfer, buffer, count, null);
  };
}

/** (fd, buf, count, offset). pread(2): a file that cannot seek has no positions, ESPIPE. */
export function positioned(transfer: Transfer): Handler {
  return function* (task: Task, [descriptor = -1, buffer = 0, count = 0, offset = 0]: SysArgs) {
    if (offset < 0) return -EINVAL;
    const file = task.files.get(descriptor);
    if (file === null) return -EBADF;
    if (file.ops.seek === undefined) return -ESPIPE;
    return yield* held(task, file, transfer, buffer, count, offset);
  };
}

/** (fd, iov, iovcnt): one buffer after the other until one is not filled or emptied whole. */
export function vectored(transfer: Transfer): Handler {
  return function* (task: Task, [descriptor = -1, pointer = 0, count = 0]: SysArgs) {
    const file = task.files.get(descriptor);
    if (file === null) return -EBADF;
    const vecs = yield* readIoVecs(task, pointer, count);
    if (typeof vecs === 'number') return vecs;
    let total = 0;
    for (const vec of vecs) {
      const moved = yield* held(task, file, transfer, vec.base, vec.length, null);
      if (moved < 0) return total > 0 ? total : moved;
      total += moved;
      if (moved < vec.length) break;
    }
    return total;
  };
}

function* held(
  task: Task,
  file: File,
  transfer: Transfer,
  buffer: number,
  count: number,
  offset: number | null,
): Steps<number> {
  if (count < 0) return -EINVAL;
  fget(file);
  const moved = yield* transfer(task, file, buffer, Math.min(count, MAX_RW_COUNT), offset);
  yield* fput(task, file);
  return moved;
}

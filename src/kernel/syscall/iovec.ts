/** struct iovec {void *base; size_t length} in user memory. readv(2) */
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EINVAL } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { copyFromUser } from '../mm/user-access.ts';

const IOV_MAX = 1024;
const IOVEC_BYTES = 16;

export interface IoVec {
  readonly base: number;
  /** Bytes. */
  readonly length: number;
}

/** Copies in an array of them. @returns it, or a negative errno: EINVAL for too many or a negative length, EFAULT */
export function* readIoVecs(task: Task, pointer: number, count: number): Steps<IoVec[] | number> {
  if (count < 0 || count > IOV_MAX) return -EINVAL;
  if (count === 0) return [];
  const bytes = yield* copyFromUser(task, pointer, count * IOVEC_BYTES);
  if (typeof bytes === 'number') return -EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const vecs: IoVec[] = [];
  for (let i = 0; i < count; i++) {
    const base = Number(view.getBigUint64(i * IOVEC_BYTES, true));
    const length = Number(view.getBigInt64(i * IOVEC_BYTES + 8, true));
    if (length < 0) return -EINVAL;
    vecs.push({ base, length });
  }
  return vecs;
}

/** struct timespec {s64 sec; s64 nsec} in user memory. */
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EINVAL } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';

export const NS_PER_SECOND = 1_000_000_000;
/** What the virtual wall clock says at boot: 2026-01-01T00:00:00Z, in ns. A constant, so that runs repeat. */
export const REALTIME_AT_BOOT: number = 1_767_225_600 * NS_PER_SECOND;

/** Nanoseconds, or a negative errno: EFAULT, EINVAL for a negative or unnormalised time. */
export function* readTimespec(task: Task, pointer: number): Steps<number> {
  const bytes = yield* copyFromUser(task, pointer, 16);
  if (typeof bytes === 'number') return -EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const seconds = Number(view.getBigInt64(0, true));
  const nanos = Number(view.getBigInt64(8, true));
  if (seconds < 0 || nanos < 0 || nanos >= NS_PER_SECOND) return -EINVAL;
  return seconds * NS_PER_SECOND + nanos;
}

/** Writes a time. @param ns nanoseconds @returns 0 or -EFAULT */
export function* writeTimespec(task: Task, pointer: number, ns: number): Steps<number> {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(Math.floor(ns / NS_PER_SECOND)), true);
  view.setBigInt64(8, BigInt(Math.round(ns % NS_PER_SECOND)), true);
  return yield* copyToUser(task, pointer, bytes);
}

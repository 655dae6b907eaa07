/** getrusage(2): faults and the most memory that was resident; also what wait4(2) says of a child. */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EINVAL } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import type { Usage } from '../core/thread-group.ts';
import { groupUsage, threadUsage } from '../core/usage.ts';
import { copyToUser } from '../mm/user-access.ts';
import { number, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const RUSAGE_SELF = 0;
const RUSAGE_CHILDREN = -1;
const RUSAGE_THREAD = 1;
/** struct rusage: two times of 16 bytes, then 14 numbers of 8. */
const RUSAGE_BYTES = 144;
const RU_MAXRSS = 32;
const RU_MINFLT = 64;
const RU_MAJFLT = 72;

/** @returns 0 or -EFAULT */
export function* putRusage(task: Task, pointer: number, usage: Usage): Steps<number> {
  const bytes = new Uint8Array(RUSAGE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(RU_MAXRSS, BigInt((usage.maxRss * PAGE_SIZE) / 1024), true);
  view.setBigInt64(RU_MINFLT, BigInt(usage.minFlt), true);
  view.setBigInt64(RU_MAJFLT, BigInt(usage.majFlt), true);
  return (yield* copyToUser(task, pointer, bytes)) < 0 ? -EFAULT : 0;
}

function usageOf(task: Task, who: number): Usage | null {
  switch (who | 0) {
    case RUSAGE_SELF:
      return groupUsage(task.group);
    case RUSAGE_CHILDREN:
      return task.group.childrenUsage;
    case RUSAGE_THREAD:
      return threadUsage(task);
    default:
      return null;
  }
}

function* sysGetrusage(task: Task, args: SysArgs): Steps<number> {
  const [who = 0, pointer = 0] = args;
  const usage = usageOf(task, who);
  return usage === null ? -EINVAL : yield* putRusage(task, pointer, usage);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 165,
    name: 'getrusage',
    params: [number('who'), struct('usage')],
    handler: sysGetrusage,
    supports: ['RUSAGE_SELF', 'RUSAGE_CHILDREN', 'RUSAGE_THREAD'],
    gap: 'Times, signals and switches are 0. A fault is a major one when it was tried again, not when it read something in.',
  },
];

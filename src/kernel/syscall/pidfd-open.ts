/** pidfd_open(2). */
import type { Steps } from '../../sched/op.ts';
import { EINVAL, ESRCH } from '../../uapi/errno.ts';
import { O_NONBLOCK } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { pidfdFile } from '../fs/pidfd.ts';
import { flags, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const PIDFD_NONBLOCK = O_NONBLOCK;

/** @linux kernel/pid.c SYSCALL_DEFINE2(pidfd_open) */
function* sysPidfdOpen(task: Task, [pid = 0, how = 0]: SysArgs): Steps<number> {
  if ((how & ~PIDFD_NONBLOCK) !== 0 || pid <= 0) return -EINVAL;
  const target = world.tasks.find((t) => t.tid === pid && !t.group.reaped);
  if (target === undefined) return -ESRCH;
  if (target.group.leader !== target) return -EINVAL;
  return task.files.install(pidfdFile(target.group, how), true);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 434,
    name: 'pidfd_open',
    params: [number('pid'), flags('flags', { PIDFD_NONBLOCK })],
    handler: sysPidfdOpen,
    supports: ['PIDFD_NONBLOCK'],
    gap: 'poll(2) says whether the process has ended but is not woken by its end; no PIDFD_THREAD.',
  },
];

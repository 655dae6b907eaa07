/** process_mrelease(2): what a process that is being killed has is taken before it gets to its end. Errnos measured on 6.18.44. */
import type { Steps } from '../../sched/op.ts';
import { EBADF } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { pidfdGetTask } from '../fs/pidfd.ts';
import { oomReapTaskMm } from '../mm/oom-kill.ts';
import { fd, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

export const PROCESS_MRELEASE_ERRORS = errnoTable('process_mrelease', {
  flags: ['EINVAL', 'flags must be 0'],
  badFd: ['EBADF', 'not the descriptor of a process'],
  gone: ['ESRCH', 'the process has ended, or has no memory any more'],
  alive: ['EINVAL', 'the process is not being killed'],
  busy: ['EAGAIN', 'its address space is being changed; try again'],
});

/** @linux mm/oom_kill.c SYSCALL_DEFINE2(process_mrelease) */
function* sysProcessMrelease(task: Task, args: SysArgs): Steps<number> {
  const E = PROCESS_MRELEASE_ERRORS;
  const [pidfd = -1, how = 0] = args;
  if (how !== 0) return fail(E.flags);
  const target = pidfdGetTask(task, pidfd);
  if (typeof target === 'number') return fail(target === -EBADF ? E.badFd : E.gone);
  const mm = target.group.threads.find((t) => t.mm !== null)?.mm ?? null;
  if (mm === null) return fail(E.gone);
  if (world.oom?.skip.has(mm) === true) return 0;
  if (!target.group.threads.some((t) => t.thread?.signal === 'fatal')) return fail(E.alive);
  return (yield* oomReapTaskMm(mm)) ? 0 : fail(E.busy);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 448,
    name: 'process_mrelease',
    params: [fd('pidfd'), number('flags')],
    handler: sysProcessMrelease,
    supports: [],
    gap: '',
  },
];

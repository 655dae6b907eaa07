/** userfaultfd(2): a descriptor on which faults of the caller's address space can be read. */
import type { Steps } from '../../sched/op.ts';
import { O_CLOEXEC, O_NONBLOCK } from '../../uapi/fcntl.ts';
import { UFFD_USER_MODE_ONLY } from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { fail } from '../errno-row.ts';
import { newUserfaultfd } from '../fs/userfaultfd-dev.ts';
import { USERFAULTFD_ERRNOS } from '../fs/userfaultfd-errnos.ts';
import { type Seam, seam } from '../seam.ts';
import { flags } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

/** Whether a task may watch faults of the kernel too. @linux userfaultfd_syscall_allowed */
export const mayCreate: Seam<(task: Task) => boolean> = seam(
  'userfaultfd.mayCreate',
  (task: Task): boolean => task.uid === 0 || world.sysctl.unprivilegedUserfaultfd !== 0,
);

/** @linux fs/userfaultfd.c SYSCALL_DEFINE1(userfaultfd) */
export function* sysUserfaultfd(task: Task, args: SysArgs): Steps<number> {
  const [wanted = 0] = args;
  if ((wanted & UFFD_USER_MODE_ONLY) === 0 && !mayCreate(task)) {
    return fail(USERFAULTFD_ERRNOS.notAllowed);
  }
  return newUserfaultfd(task, wanted);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 282,
    name: 'userfaultfd',
    params: [flags('flags', { O_CLOEXEC, O_NONBLOCK, UFFD_USER_MODE_ONLY })],
    handler: sysUserfaultfd,
    supports: ['O_CLOEXEC', 'O_NONBLOCK', 'UFFD_USER_MODE_ONLY'],
    gap: '',
  },
];

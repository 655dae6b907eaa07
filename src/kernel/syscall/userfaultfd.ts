/** userfaultfd(2): a descriptor on which faults of the caller's address space can be read. */
import type { Steps } from '../../sched/op.ts';
import { EMFILE } from '../../uapi/errno.ts';
import { O_CLOEXEC, O_NONBLOCK } from '../../uapi/fcntl.ts';
import { UFFD_USER_MODE_ONLY } from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { fail } from '../errno-row.ts';
import { UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import { USERFAULTFD_ERRNOS } from '../fs/userfaultfd-errnos.ts';
import { createUserfaultfdFile } from '../fs/userfaultfd-file.ts';
import { type Seam, seam } from '../seam.ts';
import { flags } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

/** The flags that this kernel version knows. */
export const userfaultfdFlags: Seam<() => number> = seam(
  'userfaultfd.flags',
  (): number => O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY,
);

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
  if ((wanted & ~userfaultfdFlags()) !== 0) return fail(USERFAULTFD_ERRNOS.badFlags);
  const ctx = new UserfaultfdCtx(task.mmOrDie, wanted);
  const fd = task.files.install(createUserfaultfdFile(ctx), (wanted & O_CLOEXEC) !== 0);
  return fd === -EMFILE ? fail(USERFAULTFD_ERRNOS.noFd) : fd;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 282,
    name: 'userfaultfd',
    params: [flags('flags', { O_CLOEXEC, O_NONBLOCK, UFFD_USER_MODE_ONLY })],
    handler: sysUserfaultfd,
    supports: ['O_CLOEXEC', 'O_NONBLOCK', 'UFFD_USER_MODE_ONLY'],
    gap: '/dev/userfaultfd is not there.',
  },
];

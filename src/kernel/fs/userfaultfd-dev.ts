/**
 * How a userfaultfd comes to be: by system call, or from /dev/userfaultfd, whose permissions say who may watch faults of the
 * kernel too. @linux fs/userfaultfd.c new_userfaultfd, userfaultfd_dev_ioctl; semantics.md section 9.1, measured on 6.18
 */
import type { Steps } from '../../sched/op.ts';
import { EINVAL, EMFILE, ENOENT } from '../../uapi/errno.ts';
import { O_CLOEXEC, O_NONBLOCK } from '../../uapi/fcntl.ts';
import { UFFD_USER_MODE_ONLY, USERFAULTFD_IOC_NEW } from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { fail } from '../errno-row.ts';
import { type Seam, seam } from '../seam.ts';
import { File, type FileOps } from './file.ts';
import { UserfaultfdCtx } from './userfaultfd-ctx.ts';
import { DEVICE_ERRNOS, USERFAULTFD_ERRNOS } from './userfaultfd-errnos.ts';
import { createUserfaultfdFile } from './userfaultfd-file.ts';

/** The flags that this kernel version knows. */
export const userfaultfdFlags: Seam<() => number> = seam(
  'userfaultfd.flags',
  (): number => O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY,
);

/** Whether there is the device: since 6.1. */
export const hasUserfaultfdDevice = seam('userfaultfd.hasDevice', (): boolean => true);

/** A descriptor for the caller's address space. @returns it, or a negative errno. @linux new_userfaultfd */
export function newUserfaultfd(task: Task, flags: number): number {
  if ((flags & ~userfaultfdFlags()) !== 0) return fail(USERFAULTFD_ERRNOS.badFlags);
  const ctx = new UserfaultfdCtx(task.mmOrDie, flags);
  const fd = task.files.install(createUserfaultfdFile(ctx), (flags & O_CLOEXEC) !== 0);
  return fd === -EMFILE ? fail(USERFAULTFD_ERRNOS.noFd) : fd;
}

const DEVICE_OPS: FileOps = {
  kind: 'userfaultfd device',
  *write(): Steps<number> {
    return -EINVAL;
  },
  // Whoever has the device open may watch everything: what the system call asks is not asked again.
  *ioctl(task, _file, cmd, flags): Steps<number> {
    return cmd === USERFAULTFD_IOC_NEW ? newUserfaultfd(task, flags) : fail(DEVICE_ERRNOS.unknown);
  },
};

/** Opens /dev/userfaultfd. */
export function openUserfaultfdDevice(_task: Task, flags: number, path: string): File | number {
  return hasUserfaultfdDevice() ? new File(DEVICE_OPS, flags, null, path) : -ENOENT;
}

/** Descriptors that name a process. @linux fs/pidfs.c, kernel/pid.c pidfd_get_task; pidfd_open(2) */
import { EBADF, ESRCH } from '../../uapi/errno.ts';
import { S_IFREG } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import type { ThreadGroup } from '../core/thread-group.ts';
import { File, type FileOps, POLLIN } from './file.ts';

/** In place of a descriptor: the calling thread, the calling process (6.14). @linux include/uapi/linux/pidfd.h */
export const PIDFD_SELF_THREAD = -10_000;
export const PIDFD_SELF_THREAD_GROUP = -10_001;

const PIDFD_OPS: FileOps = {
  kind: 'pidfd',
  poll: (file) => {
    const group = groupOf(file);
    return group.zombie || group.reaped ? POLLIN : 0;
  },
  fdinfo: (file) => `Pid:\t${groupOf(file).reaped ? -1 : groupOf(file).leader.tgid}\n`,
  stat: () => ({ size: 0, mode: S_IFREG | 0o700 }),
};

function groupOf(file: File): ThreadGroup {
  return file.data as ThreadGroup;
}

/** A file that names the process, alive or not. */
export function pidfdFile(group: ThreadGroup, flags: number): File {
  return new File(PIDFD_OPS, flags, group, 'anon_inode:[pidfd]');
}

/** The task that a descriptor (or PIDFD_SELF) names, or -EBADF, or -ESRCH once it was waited for. */
export function pidfdGetTask(task: Task, fd: number): Task | number {
  if (fd === PIDFD_SELF_THREAD) return task;
  if (fd === PIDFD_SELF_THREAD_GROUP) return task.group.leader;
  const file = task.files.get(fd);
  if (file === null || file.ops !== PIDFD_OPS) return -EBADF;
  const group = groupOf(file);
  return group.reaped ? -ESRCH : group.leader;
}

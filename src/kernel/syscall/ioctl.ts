/** ioctl(2): the few commands every descriptor knows, then what the kind of file makes of it. */
import type { Steps } from '../../sched/op.ts';
import { EBADF, EFAULT, ENOTTY } from '../../uapi/errno.ts';
import { O_NONBLOCK } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { type File, fget, fput } from '../fs/file.ts';
import { copyFromUser } from '../mm/user-access.ts';
import { address, fd, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const FIONBIO = 0x5421;
const FIONCLEX = 0x5450;
const FIOCLEX = 0x5451;

/** @linux fs/ioctl.c SYSCALL_DEFINE3(ioctl) */
export function* sysIoctl(task: Task, args: SysArgs): Steps<number> {
  const [descriptor = -1, command = 0, arg = 0] = args;
  const slot = task.files.slot(descriptor);
  if (slot === null) return -EBADF;
  const cmd = command >>> 0;
  switch (cmd) {
    case FIOCLEX:
    case FIONCLEX:
      slot.cloexec = cmd === FIOCLEX;
      return 0;
    case FIONBIO:
      return yield* setNonBlocking(task, slot.file, arg);
    default:
      return yield* fileIoctl(task, fget(slot.file), cmd, arg);
  }
}

function* fileIoctl(task: Task, file: File, cmd: number, arg: number): Steps<number> {
  const { ioctl } = file.ops;
  const result = ioctl === undefined ? -ENOTTY : yield* ioctl(task, file, cmd, arg);
  yield* fput(task, file);
  return result;
}

function* setNonBlocking(task: Task, file: File, arg: number): Steps<number> {
  const bytes = yield* copyFromUser(task, arg, 4);
  if (typeof bytes === 'number') return -EFAULT;
  const on = bytes.some((byte) => byte !== 0);
  file.flags = on ? file.flags | O_NONBLOCK : file.flags & ~O_NONBLOCK;
  return 0;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 29,
    name: 'ioctl',
    params: [fd('fd'), number('cmd'), address('arg')],
    handler: sysIoctl,
    supports: ['FIOCLEX', 'FIONCLEX', 'FIONBIO', 'userfaultfd', 'PAGEMAP_SCAN'],
    gap: 'Terminals and all other devices answer ENOTTY.',
  },
];

/** close(2), dup(2), fcntl(2), lseek(2), pipe(2), eventfd(2): calls on descriptors themselves. */
import type { Steps } from '../../sched/op.ts';
import { EBADF, EFAULT, EINVAL, EMFILE, ESPIPE } from '../../uapi/errno.ts';
import {
  F_ADD_SEALS,
  F_DUPFD,
  F_DUPFD_CLOEXEC,
  F_GET_SEALS,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  O_CLOEXEC,
  O_NONBLOCK,
} from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { createEventFd } from '../fs/eventfd.ts';
import { closeFd, type File, fput } from '../fs/file.ts';
import { memfdAddSeals, memfdGetSeals } from '../fs/memfd.ts';
import { createPipe } from '../fs/pipe.ts';
import { copyToUser } from '../mm/user-access.ts';
import { address, fd, flags, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const EFD_SEMAPHORE = 1;
const FD_LIMIT = 1024;

function* sysClose(task: Task, args: SysArgs): Steps<number> {
  return yield* closeFd(task, args[0] ?? -1);
}

function install(task: Task, file: File, cloexec: boolean, from: number): number {
  file.refs++;
  const got = task.files.install(file, cloexec, from);
  if (got < 0) file.refs--;
  return got;
}

function* sysDup(task: Task, args: SysArgs): Steps<number> {
  const file = task.files.get(args[0] ?? -1);
  return file === null ? -EBADF : install(task, file, false, 0);
}

function* sysDup3(task: Task, args: SysArgs): Steps<number> {
  const [from = -1, to = -1, how = 0] = args;
  const file = task.files.get(from);
  if ((how & ~O_CLOEXEC) !== 0 || from === to) return -EINVAL;
  if (file === null || to < 0 || to >= FD_LIMIT) return -EBADF;
  const old = task.files.remove(to);
  const got = install(task, file, (how & O_CLOEXEC) !== 0, to);
  if (old !== null) yield* fput(task, old);
  return got;
}

function* sysFcntl(task: Task, args: SysArgs): Steps<number> {
  const [number_ = -1, command = 0, value = 0] = args;
  const slot = task.files.slot(number_);
  if (slot === null) return -EBADF;
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      if (value < 0 || value >= FD_LIMIT) return -EINVAL;
      return install(task, slot.file, command === F_DUPFD_CLOEXEC, value);
    case F_GETFD:
      return slot.cloexec ? FD_CLOEXEC : 0;
    case F_SETFD:
      slot.cloexec = (value & FD_CLOEXEC) !== 0;
      return 0;
    case F_GETFL:
      return slot.file.flags;
    case F_SETFL:
      slot.file.flags = (slot.file.flags & ~O_NONBLOCK) | (value & O_NONBLOCK);
      return 0;
    case F_GET_SEALS:
      return memfdGetSeals(slot.file);
    case F_ADD_SEALS:
      return yield* memfdAddSeals(slot.file, value);
    default:
      return -EINVAL;
  }
}

function* sysLseek(task: Task, args: SysArgs): Steps<number> {
  const [number_ = -1, offset = 0, whence = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  return file.ops.seek === undefined ? -ESPIPE : file.ops.seek(file, offset, whence);
}

function* sysPipe2(task: Task, args: SysArgs): Steps<number> {
  const [pointer = 0, how = 0] = args;
  if ((how & ~(O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  const [readEnd, writeEnd] = createPipe(how & O_NONBLOCK);
  const cloexec = (how & O_CLOEXEC) !== 0;
  const first = task.files.install(readEnd, cloexec);
  if (first < 0) return -EMFILE;
  const second = task.files.install(writeEnd, cloexec);
  if (second < 0) {
    task.files.remove(first);
    return -EMFILE;
  }
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, first, true);
  view.setInt32(4, second, true);
  if ((yield* copyToUser(task, pointer, bytes)) >= 0) return 0;
  yield* closeFd(task, first);
  yield* closeFd(task, second);
  return -EFAULT;
}

function* sysEventfd2(task: Task, args: SysArgs): Steps<number> {
  const [count = 0, how = 0] = args;
  if ((how & ~(O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE)) !== 0) return -EINVAL;
  const file = createEventFd(count, (how & EFD_SEMAPHORE) !== 0, how & O_NONBLOCK);
  return task.files.install(file, (how & O_CLOEXEC) !== 0);
}

const creationFlags = flags('flags', { O_CLOEXEC, O_NONBLOCK });

export const rows: readonly SyscallRow[] = [
  { nr: 57, name: 'close', params: [fd('fd')], handler: sysClose, supports: [], gap: '' },
  { nr: 23, name: 'dup', params: [fd('oldfd')], handler: sysDup, supports: [], gap: '' },
  {
    nr: 24,
    name: 'dup3',
    params: [fd('oldfd'), fd('newfd'), creationFlags],
    handler: sysDup3,
    supports: ['O_CLOEXEC'],
    gap: '',
  },
  {
    nr: 25,
    name: 'fcntl',
    params: [fd('fd'), number('cmd'), number('arg')],
    handler: sysFcntl,
    supports: [
      'F_DUPFD',
      'F_DUPFD_CLOEXEC',
      'F_GETFD',
      'F_SETFD',
      'F_GETFL',
      'F_SETFL',
      'F_ADD_SEALS',
      'F_GET_SEALS',
    ],
    gap: 'Locks, leases and owners return EINVAL.',
  },
  {
    nr: 62,
    name: 'lseek',
    params: [fd('fd'), number('offset'), number('whence')],
    handler: sysLseek,
    supports: ['SEEK_SET', 'SEEK_CUR', 'SEEK_END', 'SEEK_DATA', 'SEEK_HOLE'],
    gap: '',
  },
  {
    nr: 59,
    name: 'pipe2',
    params: [address('pipefd'), creationFlags],
    handler: sysPipe2,
    supports: ['O_CLOEXEC', 'O_NONBLOCK'],
    gap: '',
  },
  {
    nr: 19,
    name: 'eventfd2',
    params: [number('initval'), creationFlags],
    handler: sysEventfd2,
    supports: ['EFD_CLOEXEC', 'EFD_NONBLOCK', 'EFD_SEMAPHORE'],
    gap: '',
  },
];

/** swapon(2), swapoff(2): the device that the machine was given, on and off. Errnos measured on 6.18.44. */
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EINTR, ENOENT } from '../../uapi/errno.ts';
import { AT_FDCWD } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { walkAt } from '../fs/open.ts';
import { SWAP_PATH, type SwapDevice } from '../mm/swapfile.ts';
import { swapDeviceOn, swapoff } from '../mm/swapoff.ts';
import { flags, string } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

/** @linux include/linux/swap.h */
const SWAP_FLAG_PREFER = 0x8000;
const SWAP_FLAG_PRIO_MASK = 0x7fff;
const SWAP_FLAGS = {
  SWAP_FLAG_PREFER,
  SWAP_FLAG_DISCARD: 0x10000,
  SWAP_FLAG_DISCARD_ONCE: 0x20000,
  SWAP_FLAG_DISCARD_PAGES: 0x40000,
};
const SWAP_FLAGS_VALID = 0x7ffff;

const PATH = {
  pointer: ['EFAULT', 'the path leads to memory that cannot be accessed'],
  long: ['ENAMETOOLONG', 'the path has no end within 4096 bytes'],
  missing: ['ENOENT', 'there is no such file'],
  directory: ['EISDIR', 'the path names a directory'],
} as const;
export const SWAPON_ERRORS = errnoTable('swapon', {
  flags: ['EINVAL', 'an unknown flag'],
  notAllowed: ['EPERM', 'the caller may not (CAP_SYS_ADMIN)'],
  ...PATH,
  device: ['EINVAL', 'no swap device: neither a block device nor a file that has blocks'],
  busy: ['EBUSY', 'the device is in use already'],
});
export const SWAPOFF_ERRORS = errnoTable('swapoff', {
  notAllowed: ['EPERM', 'the caller may not (CAP_SYS_ADMIN)'],
  ...PATH,
  device: ['EINVAL', 'the file is no swap device in use'],
  memory: ['ENOMEM', 'there is no room for what is on the device; it stays in use'],
  signal: ['EINTR', 'a signal arrived; the device stays in use'],
});

type Errors = Pick<typeof SWAPOFF_ERRORS, keyof typeof PATH | 'device'>;

/** The device that a path in user memory names, or a negative errno. */
function* deviceAt(task: Task, pointer: number, E: Errors): Steps<SwapDevice | number> {
  const path = yield* readPath(task, pointer);
  if (typeof path === 'number') return fail(path === -EFAULT ? E.pointer : E.long);
  if (path === SWAP_PATH && world.swap !== null) return world.swap;
  const walked = yield* walkAt(task, AT_FDCWD, path, true);
  if (typeof walked === 'number') return walked === -ENOENT ? fail(E.missing) : walked;
  if (walked.dentry === null && walked.file === null) return fail(E.missing);
  return fail(walked.dentry?.node.isDirectory === true ? E.directory : E.device);
}

/** @linux mm/swapfile.c SYSCALL_DEFINE2(swapon) */
function* sysSwapon(task: Task, args: SysArgs): Steps<number> {
  const E = SWAPON_ERRORS;
  const [pointer = 0, how = 0] = args;
  if ((how & ~SWAP_FLAGS_VALID) !== 0) return fail(E.flags);
  if (task.uid !== 0) return fail(E.notAllowed);
  const device = yield* deviceAt(task, pointer, E);
  if (typeof device === 'number') return device;
  if (!device.freed) return fail(E.busy);
  swapDeviceOn(device, (how & SWAP_FLAG_PREFER) !== 0 ? how & SWAP_FLAG_PRIO_MASK : -2);
  return 0;
}

/** @linux mm/swapfile.c SYSCALL_DEFINE1(swapoff) */
function* sysSwapoff(task: Task, args: SysArgs): Steps<number> {
  const E = SWAPOFF_ERRORS;
  if (task.uid !== 0) return fail(E.notAllowed);
  const device = yield* deviceAt(task, args[0] ?? 0, E);
  if (typeof device === 'number') return device;
  return device.writable ? yield* swapoffWhy(device) : fail(E.device);
}

/** swapoff(2) of a device in use; an error is explained. */
export function* swapoffWhy(device: SwapDevice): Steps<number> {
  const error = yield* swapoff(device);
  if (error === 0) return 0;
  return fail(error === -EINTR ? SWAPOFF_ERRORS.signal : SWAPOFF_ERRORS.memory);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 224,
    name: 'swapon',
    params: [string('path'), flags('swapflags', SWAP_FLAGS)],
    handler: sysSwapon,
    supports: ['the device of --swap', ...Object.keys(SWAP_FLAGS)],
    gap: 'One device, whose content needs no header; files in memory are refused, as Linux does, and those on disks too.',
  },
  {
    nr: 225,
    name: 'swapoff',
    params: [string('path')],
    handler: sysSwapoff,
    supports: ['the device of --swap'],
    gap: '',
  },
];

/** process_vm_readv(2), process_vm_writev(2). */
import { TASK_SIZE } from '../../machine/geometry.ts';
import { access } from '../../sched/access.ts';
import { cellOf, READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT } from '../../uapi/errno.ts';
import { CELL_TASK } from '../cells.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { mmput } from '../mm/exit-mmap.ts';
import { mmgetNotZero } from '../mm/mm-users.ts';
import { processVmRw } from '../mm/process-vm-access.ts';
import { type IoVec, readIoVecs } from './iovec.ts';
import { address, number } from './params.ts';
import type { Handler, SyscallRow } from './row.ts';

/** The order is that of 6.18, measured: an empty side gives 0 before anybody looks at the process. */
const CHECKS = {
  flags: ['EINVAL', 'flags must be 0'],
  localVector: ['EINVAL', 'more than 1024 local stretches, or a length that is negative'],
  localFault: ['EFAULT', 'the local vector cannot be read, or names addresses outside user space'],
  remoteVector: ['EINVAL', 'more than 1024 remote stretches, or a length that is negative'],
  remoteFault: ['EFAULT', 'the remote vector cannot be read'],
  gone: ['ESRCH', 'no such process, or it has no memory any more'],
  notAllowed: ['EPERM', 'the caller may not trace the process'],
  fault: ['EFAULT', 'the first page of the one side or of the other cannot be accessed'],
} as const;
export const PROCESS_VM_READV_ERRORS = errnoTable('process_vm_readv', CHECKS);
export const PROCESS_VM_WRITEV_ERRORS = errnoTable('process_vm_writev', CHECKS);

/** @linux mm/process_vm_access.c process_vm_rw */
function processVm(write: boolean): Handler {
  const E = write ? PROCESS_VM_WRITEV_ERRORS : PROCESS_VM_READV_ERRORS;
  return function* (task, [pid = 0, localAt = 0, localCount = 0, at = 0, count = 0, flags = 0]) {
    if (flags !== 0) return fail(E.flags);
    const local = yield* readIoVecs(task, localAt, localCount);
    if (typeof local === 'number') return fail(E[local === -EFAULT ? 'localFault' : 'localVector']);
    if (local.some(outside)) return fail(E.localFault);
    if (empty(local)) return 0;
    const remote = yield* readIoVecs(task, at, count);
    if (typeof remote === 'number') {
      return fail(E[remote === -EFAULT ? 'remoteFault' : 'remoteVector']);
    }
    if (empty(remote)) return 0;
    const target = yield* taskOf(pid);
    const mm = target?.mm ?? null;
    if (target === null) return fail(E.gone);
    if (task.uid !== 0 && task.uid !== target.uid) return fail(E.notAllowed);
    if (mm === null || !mmgetNotZero(mm)) return fail(E.gone);
    const copied = yield* processVmRw(task, mm, local, remote, write);
    yield* mmput(mm);
    return copied < 0 ? fail(E.fault) : copied;
  };
}

function* taskOf(pid: number): Steps<Task | null> {
  if (sched.wants()) yield* access('find task', cellOf(CELL_TASK, 0), READ);
  return world.tasks.find((t) => t.tid === pid && !t.group.reaped) ?? null;
}

function outside({ base, length }: IoVec): boolean {
  return base < 0 || base + length > TASK_SIZE;
}
function empty(vectors: readonly IoVec[]): boolean {
  return vectors.every((v) => v.length === 0);
}

const PARAMS = [
  number('pid'),
  address('local_iov'),
  number('liovcnt'),
  address('remote_iov'),
  number('riovcnt'),
  number('flags'),
];

export const rows: readonly SyscallRow[] = [
  {
    nr: 270,
    name: 'process_vm_readv',
    params: PARAMS,
    handler: processVm(false),
    supports: [],
    gap: 'Who may trace whom is decided by the user id alone.',
  },
  {
    nr: 271,
    name: 'process_vm_writev',
    params: PARAMS,
    handler: processVm(true),
    supports: [],
    gap: 'Who may trace whom is decided by the user id alone.',
  },
];

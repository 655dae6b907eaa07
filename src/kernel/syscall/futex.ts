/** futex(2). */
import { machine } from '../../machine/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EINVAL, ENOSYS } from '../../uapi/errno.ts';
import { FUTEX_BITSET_MATCH_ANY, futexRequeue, futexWait, futexWake } from '../core/futex.ts';
import type { Task } from '../core/task.ts';
import { deadlineOf } from './clock.ts';
import { address, flags, number, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';
import { readTimespec } from './timespec.ts';

const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const FUTEX_REQUEUE = 3;
const FUTEX_CMP_REQUEUE = 4;
const FUTEX_WAIT_BITSET = 9;
const FUTEX_WAKE_BITSET = 10;
const FUTEX_PRIVATE_FLAG = 128;
const FUTEX_CLOCK_REALTIME = 256;

function* wait(task: Task, args: SysArgs, command: number, realtime: boolean): Steps<number> {
  const [uaddr = 0, , value = 0, timeout = 0, , mask = 0] = args;
  const bitset = command === FUTEX_WAIT_BITSET ? mask >>> 0 : FUTEX_BITSET_MATCH_ANY;
  if (bitset === 0) return -EINVAL;
  let deadline: number | null = null;
  if (timeout !== 0) {
    const ns = yield* readTimespec(task, timeout);
    if (ns < 0) return ns;
    // FUTEX_WAIT's time-out is relative, FUTEX_WAIT_BITSET's absolute. futex(2)
    if (command === FUTEX_WAIT) deadline = machine.clock.now + ns;
    else deadline = realtime ? deadlineOf(0, ns) : ns;
  }
  return yield* futexWait(task, uaddr, value, deadline, bitset);
}

function* sysFutex(task: Task, args: SysArgs): Steps<number> {
  const [uaddr = 0, op = 0, value = 0, timeout = 0, uaddr2 = 0, value3 = 0] = args;
  if (uaddr % 4 !== 0) return -EINVAL;
  if (uaddr < 0) return -EFAULT;
  const command = op & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
  switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
      return yield* wait(task, args, command, (op & FUTEX_CLOCK_REALTIME) !== 0);
    case FUTEX_WAKE:
      return yield* futexWake(task, uaddr, value, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
      return value3 === 0 ? -EINVAL : yield* futexWake(task, uaddr, value, value3 >>> 0);
    case FUTEX_REQUEUE:
      return yield* futexRequeue(task, uaddr, uaddr2, value, timeout, null);
    case FUTEX_CMP_REQUEUE:
      return yield* futexRequeue(task, uaddr, uaddr2, value, timeout, value3);
    default:
      return -ENOSYS;
  }
}

/** As <linux/futex.h> has them: the _PRIVATE ones include FUTEX_PRIVATE_FLAG. */
const OPERATIONS: Readonly<Record<string, number>> = {
  FUTEX_WAIT,
  FUTEX_WAKE,
  FUTEX_REQUEUE,
  FUTEX_CMP_REQUEUE,
  FUTEX_WAIT_BITSET,
  FUTEX_WAKE_BITSET,
  FUTEX_WAIT_PRIVATE: FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
  FUTEX_WAKE_PRIVATE: FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
  FUTEX_REQUEUE_PRIVATE: FUTEX_REQUEUE | FUTEX_PRIVATE_FLAG,
  FUTEX_CMP_REQUEUE_PRIVATE: FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG,
  FUTEX_WAIT_BITSET_PRIVATE: FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
  FUTEX_WAKE_BITSET_PRIVATE: FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG,
  FUTEX_CLOCK_REALTIME,
};

export const rows: readonly SyscallRow[] = [
  {
    nr: 98,
    name: 'futex',
    params: [
      address('uaddr'),
      flags('op', OPERATIONS),
      number('val'),
      struct('timeout'),
      address('uaddr2'),
      number('val3'),
    ],
    handler: sysFutex,
    supports: ['WAIT', 'WAKE', 'REQUEUE', 'CMP_REQUEUE', 'WAIT_BITSET', 'WAKE_BITSET'],
    gap: 'FUTEX_WAKE_OP and the priority-inheritance operations return ENOSYS.',
  },
];

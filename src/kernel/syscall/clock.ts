/** clock_gettime(2), clock_nanosleep(2) and relatives, on the virtual clock. */
import { machine } from '../../machine/current.ts';
import { giveWay } from '../../sched/access.ts';
import type { Steps } from '../../sched/op.ts';
import { Sleeper, sleep } from '../../sched/wait.ts';
import { EFAULT, EINTR, EINVAL } from '../../uapi/errno.ts';
import { CELL_WOKEN } from '../cells.ts';
import type { Task } from '../core/task.ts';
import { copyToUser } from '../mm/user-access.ts';
import { flags, number, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';
import { NS_PER_SECOND, REALTIME_AT_BOOT, readTimespec, writeTimespec } from './timespec.ts';

const CLOCK_REALTIME = 0;
const CLOCK_REALTIME_COARSE = 5;
const LAST_CLOCK = 11;
const TIMER_ABSTIME = 1;

/** What a clock reads now, in ns; null for a clock that does not exist. CPU clocks run with the machine's. */
function readClock(clock: number): number | null {
  if (clock < 0 || clock > LAST_CLOCK) return null;
  const wall = clock === CLOCK_REALTIME || clock === CLOCK_REALTIME_COARSE;
  return machine.clock.now + (wall ? REALTIME_AT_BOOT : 0);
}

/** Converts an absolute time of a clock to ns since boot. */
export function deadlineOf(clock: number, absolute: number): number {
  return clock === CLOCK_REALTIME ? absolute - REALTIME_AT_BOOT : absolute;
}

function* sysClockGettime(task: Task, args: SysArgs): Steps<number> {
  const [clock = 0, pointer = 0] = args;
  const now = readClock(clock);
  return now === null ? -EINVAL : yield* writeTimespec(task, pointer, now);
}

function* sysClockGetres(task: Task, args: SysArgs): Steps<number> {
  const [clock = 0, pointer = 0] = args;
  if (readClock(clock) === null) return -EINVAL;
  return pointer === 0 ? 0 : yield* writeTimespec(task, pointer, 1);
}

function* sysGettimeofday(task: Task, args: SysArgs): Steps<number> {
  const [pointer = 0] = args;
  if (pointer === 0) return 0;
  const now = machine.clock.now + REALTIME_AT_BOOT;
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(Math.floor(now / NS_PER_SECOND)), true);
  view.setBigInt64(8, BigInt(Math.floor((now % NS_PER_SECOND) / 1000)), true);
  return yield* copyToUser(task, pointer, bytes);
}

/** Sleeps until a time. @param deadline ns since boot @returns 'timeout' or 'signal' */
export function* sleepUntil(deadline: number): Steps<'timeout' | 'signal'> {
  const sleeper = new Sleeper(CELL_WOKEN);
  const cancel = machine.clock.at(deadline, () => undefined);
  const expired = (): boolean => machine.clock.now >= deadline;
  const why = yield* sleep(sleeper, 'interruptible', 'a timer', expired);
  cancel();
  return why === 'signal' ? 'signal' : 'timeout';
}

function* nanosleep(
  task: Task,
  deadline: number,
  remaining: number,
  absolute: boolean,
): Steps<number> {
  if ((yield* sleepUntil(deadline)) === 'timeout') return 0;
  if (remaining !== 0 && !absolute) {
    const left = Math.max(0, deadline - machine.clock.now);
    if ((yield* writeTimespec(task, remaining, left)) < 0) return -EFAULT;
  }
  return -EINTR;
}

function* sysNanosleep(task: Task, args: SysArgs): Steps<number> {
  const [request = 0, remaining = 0] = args;
  const ns = yield* readTimespec(task, request);
  if (ns < 0) return ns;
  return yield* nanosleep(task, machine.clock.now + ns, remaining, false);
}

function* sysClockNanosleep(task: Task, args: SysArgs): Steps<number> {
  const [clock = 0, how = 0, request = 0, remaining = 0] = args;
  if (readClock(clock) === null) return -EINVAL;
  const ns = yield* readTimespec(task, request);
  if (ns < 0) return ns;
  const absolute = (how & TIMER_ABSTIME) !== 0;
  const deadline = absolute ? deadlineOf(clock, ns) : machine.clock.now + ns;
  return yield* nanosleep(task, deadline, remaining, absolute);
}

function* sysSchedYield(): Steps<number> {
  yield* giveWay('sched_yield');
  return 0;
}

const spec = struct('timespec');

export const rows: readonly SyscallRow[] = [
  {
    nr: 113,
    name: 'clock_gettime',
    params: [number('clockid'), spec],
    handler: sysClockGettime,
    supports: [],
    gap: 'CPU-time clocks read the machine clock.',
  },
  {
    nr: 114,
    name: 'clock_getres',
    params: [number('clockid'), spec],
    handler: sysClockGetres,
    supports: [],
    gap: '',
  },
  {
    nr: 115,
    name: 'clock_nanosleep',
    params: [number('clockid'), flags('flags', { TIMER_ABSTIME }), spec, struct('remain')],
    handler: sysClockNanosleep,
    supports: ['TIMER_ABSTIME'],
    gap: '',
  },
  {
    nr: 101,
    name: 'nanosleep',
    params: [spec, struct('remain')],
    handler: sysNanosleep,
    supports: [],
    gap: '',
  },
  {
    nr: 169,
    name: 'gettimeofday',
    params: [struct('tv'), struct('tz')],
    handler: sysGettimeofday,
    supports: [],
    gap: '',
  },
  { nr: 124, name: 'sched_yield', params: [], handler: sysSchedYield, supports: [], gap: '' },
];

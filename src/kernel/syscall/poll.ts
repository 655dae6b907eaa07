/** ppoll(2): waits until one of several files is ready. */
import { machine } from '../../machine/current.ts';
import type { Steps } from '../../sched/op.ts';
import { Sleeper, sleep } from '../../sched/wait.ts';
import { EFAULT, EINTR, EINVAL } from '../../uapi/errno.ts';
import { CELL_WOKEN } from '../cells.ts';
import { recalcSigPending } from '../core/signal.ts';
import type { Task } from '../core/task.ts';
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT } from '../fs/file.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';
import { number, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';
import { readTimespec } from './timespec.ts';

const POLLFD_BYTES = 8;
const MAX_FDS = 1024;

/** Fills in revents of every pollfd and returns how many are not zero. */
function scan(task: Task, view: DataView, count: number): number {
  let ready = 0;
  for (let i = 0; i < count; i++) {
    const fd = view.getInt32(i * POLLFD_BYTES, true);
    const wanted = view.getInt16(i * POLLFD_BYTES + 4, true);
    let revents = 0;
    if (fd >= 0) {
      const file = task.files.get(fd);
      if (file === null) revents = POLLNVAL;
      else {
        const now = file.ops.poll === undefined ? POLLIN | POLLOUT : file.ops.poll(file);
        revents = now & (wanted | POLLERR | POLLHUP);
      }
    }
    view.setInt16(i * POLLFD_BYTES + 6, revents, true);
    if (revents !== 0) ready++;
  }
  return ready;
}

/** Calls `wake` when any of the files may have become ready; returns what undoes that. */
function subscribe(task: Task, view: DataView, count: number, wake: () => void): () => void {
  const cancels: (() => void)[] = [];
  for (let i = 0; i < count; i++) {
    const file = task.files.get(view.getInt32(i * POLLFD_BYTES, true));
    const source = file?.ops.pollSource?.(file);
    if (source !== undefined) cancels.push(source.subscribe(wake));
  }
  return () => {
    for (const cancel of cancels) cancel();
  };
}

/** Waits for readiness. @returns ready descriptors, 0 on time-out, -EINTR */
function* doPoll(
  task: Task,
  view: DataView,
  count: number,
  deadline: number | null,
): Steps<number> {
  const cancelTimer = deadline === null ? null : machine.clock.at(deadline, () => undefined);
  const expired = deadline === null ? null : (): boolean => machine.clock.now >= deadline;
  try {
    for (;;) {
      const sleeper = new Sleeper(CELL_WOKEN);
      const unsubscribe = subscribe(task, view, count, () => sleeper.wake());
      const ready = scan(task, view, count);
      if (ready > 0 || expired?.() === true) {
        unsubscribe();
        return ready;
      }
      const why = yield* sleep(sleeper, 'interruptible', 'a file to become ready', expired);
      unsubscribe();
      if (why === 'signal') return -EINTR;
    }
  } finally {
    cancelTimer?.();
  }
}

function* sysPpoll(task: Task, args: SysArgs): Steps<number> {
  const [pointer = 0, count = 0, timeout = 0, mask = 0, maskSize = 0] = args;
  if (count < 0 || count > MAX_FDS) return -EINVAL;
  let deadline: number | null = null;
  if (timeout !== 0) {
    const ns = yield* readTimespec(task, timeout);
    if (ns < 0) return ns;
    deadline = machine.clock.now + ns;
  }
  const fds = count === 0 ? new Uint8Array(0) : yield* copyFromUser(task, pointer, count * 8);
  if (typeof fds === 'number') return -EFAULT;
  if (mask !== 0) {
    if (maskSize !== 8) return -EINVAL;
    const bytes = yield* copyFromUser(task, mask, 8);
    if (typeof bytes === 'number') return -EFAULT;
    task.savedMask = task.blocked;
    task.blocked = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
    recalcSigPending(task);
  }
  const view = new DataView(fds.buffer, fds.byteOffset, fds.byteLength);
  const ready = yield* doPoll(task, view, count, deadline);
  if (ready !== -EINTR && task.savedMask !== null) {
    task.blocked = task.savedMask;
    task.savedMask = null;
    recalcSigPending(task);
  }
  if (ready < 0) return ready;
  return (yield* copyToUser(task, pointer, fds)) < 0 ? -EFAULT : ready;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 73,
    name: 'ppoll',
    params: [
      struct('fds'),
      number('nfds'),
      struct('timeout'),
      struct('sigmask'),
      number('sigsetsize'),
    ],
    handler: sysPpoll,
    supports: ['POLLIN', 'POLLOUT', 'POLLERR', 'POLLHUP', 'POLLNVAL'],
    gap: 'Error EFAULT is found before waiting only for the first page of the array.',
  },
];

/** eventfd(2): a 64-bit counter to wait on. @linux fs/eventfd.c */
import { Lock, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { Sleeper, sleep } from '../../sched/wait.ts';
import { EAGAIN, EINTR, EINVAL } from '../../uapi/errno.ts';
import { O_NONBLOCK, O_RDWR, S_IFREG } from '../../uapi/fcntl.ts';
import { CELL_WOKEN } from '../cells.ts';
import type { Task } from '../core/task.ts';
import { FILE_LOCK } from '../lock-classes.ts';
import { File, type FileOps, POLLIN, POLLOUT } from './file.ts';
import { Waiters } from './waiters.ts';

const MAX = 0xffff_ffff_ffff_fffen;

class EventFd {
  readonly lock: Lock = new Lock(FILE_LOCK, 'eventfd');
  count: bigint;
  readonly semaphore: boolean;
  readonly waiters: Waiters = new Waiters();

  constructor(count: bigint, semaphore: boolean) {
    this.count = count;
    this.semaphore = semaphore;
  }
}

function* waitOn(event: EventFd, what: string): Steps<boolean> {
  const sleeper = new Sleeper(CELL_WOKEN);
  const cancel = event.waiters.subscribe(() => sleeper.wake());
  unlock(event.lock);
  const why = yield* sleep(sleeper, 'interruptible', what);
  cancel();
  return why === 'woken';
}

function* readEvent(_task: Task, file: File, count: number): Steps<Uint8Array | number> {
  if (count < 8) return -EINVAL;
  const event = file.data as EventFd;
  for (;;) {
    yield* lock(event.lock);
    if (event.count > 0n) {
      const value = event.semaphore ? 1n : event.count;
      event.count -= value;
      event.waiters.wakeAll();
      unlock(event.lock);
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, value, true);
      return bytes;
    }
    if ((file.flags & O_NONBLOCK) !== 0) {
      unlock(event.lock);
      return -EAGAIN;
    }
    if (!(yield* waitOn(event, 'a write to the eventfd'))) return -EINTR;
  }
}

function* writeEvent(_task: Task, file: File, data: Uint8Array): Steps<number> {
  if (data.length < 8) return -EINVAL;
  const add = new DataView(data.buffer, data.byteOffset).getBigUint64(0, true);
  if (add > MAX) return -EINVAL;
  const event = file.data as EventFd;
  for (;;) {
    yield* lock(event.lock);
    if (event.count + add <= MAX) {
      event.count += add;
      event.waiters.wakeAll();
      unlock(event.lock);
      return 8;
    }
    if ((file.flags & O_NONBLOCK) !== 0) {
      unlock(event.lock);
      return -EAGAIN;
    }
    if (!(yield* waitOn(event, 'a read from the eventfd'))) return -EINTR;
  }
}

const OPS: FileOps = {
  kind: 'eventfd',
  read: readEvent,
  write: writeEvent,
  poll: (file) => {
    const { count } = file.data as EventFd;
    return (count > 0n ? POLLIN : 0) | (count < MAX ? POLLOUT : 0);
  },
  pollSource: (file) => (file.data as EventFd).waiters,
  stat: () => ({ size: 0, mode: S_IFREG | 0o600 }),
};

export function createEventFd(count: number, semaphore: boolean, flags: number): File {
  const event = new EventFd(BigInt(count >>> 0), semaphore);
  return new File(OPS, O_RDWR | flags, event, 'anon_inode:[eventfd]');
}

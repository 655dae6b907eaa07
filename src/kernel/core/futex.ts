/**
 * Fast user-space mutexes: wait queues named by an address, or by a place in shared memory. futex(2); @linux kernel/futex
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { Lock, type LockClass, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { Sleeper, sleep } from '../../sched/wait.ts';
import { EAGAIN, EFAULT, EINTR, ETIMEDOUT } from '../../uapi/errno.ts';
import { CELL_UFFD_QUEUE, CELL_WOKEN } from '../cells.ts';
import { world } from '../current.ts';
import { vmaLookup } from '../mm/mmap-lock.ts';
import { linearPageIndex } from '../mm/rmap.ts';
import { copyFromUser, copyFromUserNofault } from '../mm/user-access.ts';
import { has, VM_SHARED } from '../mm/vm-flags.ts';
import type { Task } from './task.ts';

const FUTEX_LOCK: LockClass = {
  name: 'futex bucket',
  rank: 79,
  nests: false,
  spins: true,
  cellClass: CELL_UFFD_QUEUE,
};
export const FUTEX_BITSET_MATCH_ANY = 0xffffffff;

interface Waiter {
  key: string;
  readonly bitset: number;
  readonly sleeper: Sleeper;
}

/** All waiters of one World, under one lock: the hash buckets of a machine with one bucket. */
export class FutexTable {
  readonly lock: Lock = new Lock(FUTEX_LOCK, 'futex bucket');
  waiters: Waiter[] = [];
}

/**
 * In shared memory the place in the file, so that processes meet there; else the address in its address space. A
 * private operation on shared memory gets the key of the file too: nobody is woken less. @linux get_futex_key
 */
function keyOf(task: Task, address: number): string {
  const mm = task.mmOrDie;
  const vma = vmaLookup(mm, address);
  const inode = vma?.file?.inode ?? null;
  if (vma === null || inode === null || !has(vma.flags, VM_SHARED)) return `${mm.id}:${address}`;
  const page = linearPageIndex(vma, address);
  return `file ${inode.mapping.id}:${page * PAGE_SIZE + (address % PAGE_SIZE)}`;
}

function word(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getInt32(0, true);
}

/** Reads the futex word under the bucket lock, faulting it in with the lock dropped as often as needed. */
function* lockAndRead(task: Task, address: number): Steps<number | null> {
  for (;;) {
    yield* lock(world.futexes.lock);
    const now = yield* copyFromUserNofault(task, address, 4);
    if (typeof now !== 'number') return word(now);
    unlock(world.futexes.lock);
    const faulted = yield* copyFromUser(task, address, 4);
    if (typeof faulted === 'number') return null;
  }
}

/**
 * FUTEX_WAIT: sleeps if the word still is `expected`.
 * @param deadline ns since boot, or null
 * @returns 0 woken, -EAGAIN the word differs, -EINTR, -ETIMEDOUT, -EFAULT
 */
export function* futexWait(
  task: Task,
  address: number,
  expected: number,
  deadline: number | null,
  bitset: number,
): Steps<number> {
  const value = yield* lockAndRead(task, address);
  if (value === null) return -EFAULT;
  if (value !== (expected | 0)) {
    unlock(world.futexes.lock);
    return -EAGAIN;
  }
  const waiter: Waiter = { key: keyOf(task, address), bitset, sleeper: new Sleeper(CELL_WOKEN) };
  world.futexes.waiters.push(waiter);
  unlock(world.futexes.lock);
  const cancel = deadline === null ? null : machine.clock.at(deadline, () => undefined);
  const expired = deadline === null ? null : (): boolean => machine.clock.now >= deadline;
  const awaits = `FUTEX_WAKE on 0x${address.toString(16)}`;
  const why = yield* sleep(waiter.sleeper, 'interruptible', awaits, expired);
  cancel?.();
  if (why === 'woken') return 0;
  yield* lock(world.futexes.lock);
  world.futexes.waiters = world.futexes.waiters.filter((w) => w !== waiter);
  unlock(world.futexes.lock);
  if (waiter.sleeper.woken) return 0;
  return why === 'signal' ? -EINTR : -ETIMEDOUT;
}

/** FUTEX_WAKE: wakes up to `most` waiters whose bitset meets `bitset`, oldest first; returns how many. */
export function* futexWake(
  task: Task,
  address: number,
  most: number,
  bitset: number,
): Steps<number> {
  yield* lock(world.futexes.lock);
  const woken = takeWaiters(keyOf(task, address), most, bitset);
  unlock(world.futexes.lock);
  return woken;
}

/**
 * FUTEX_REQUEUE and FUTEX_CMP_REQUEUE: wakes some waiters and moves others to a second word.
 * @param expected what the first word must hold, or null for the version without comparison
 * @returns waiters woken (plus moved, with a comparison), -EAGAIN, -EFAULT
 */
export function* futexRequeue(
  task: Task,
  from: number,
  to: number,
  wake: number,
  move: number,
  expected: number | null,
): Steps<number> {
  const value = yield* lockAndRead(task, from);
  if (value === null) return -EFAULT;
  if (expected !== null && value !== (expected | 0)) {
    unlock(world.futexes.lock);
    return -EAGAIN;
  }
  const key = keyOf(task, from);
  const target = keyOf(task, to);
  const woken = takeWaiters(key, wake, FUTEX_BITSET_MATCH_ANY);
  let moved = 0;
  for (const waiter of world.futexes.waiters) {
    if (waiter.key !== key || moved >= move) continue;
    waiter.key = target;
    moved++;
  }
  unlock(world.futexes.lock);
  return expected === null ? woken : woken + moved;
}

function takeWaiters(key: string, most: number, bitset: number): number {
  let woken = 0;
  world.futexes.waiters = world.futexes.waiters.filter((w) => {
    if (woken >= most || w.key !== key || (w.bitset & bitset) === 0) return true;
    w.sleeper.wake();
    woken++;
    return false;
  });
  return woken;
}

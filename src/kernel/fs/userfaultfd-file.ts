/**
 * The file a userfaultfd is: reading messages, polling, closing. @linux fs/userfaultfd.c userfaultfd_fops;
 * semantics.md sections 9.10 and 9.11
 */

import { must } from '../../base/assert.ts';
import { access, until } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, take, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { interrupts } from '../../sched/wait.ts';
import { EAGAIN, EINTR, EINVAL } from '../../uapi/errno.ts';
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY } from '../../uapi/fcntl.ts';
import {
  _UFFDIO_CONTINUE,
  _UFFDIO_WRITEPROTECT,
  encodeUffdMsg,
  UFFD_API,
  UFFD_API_IOCTLS,
  UFFD_MSG_SIZE,
  UFFDIO_CONTINUE,
  UFFDIO_WRITEPROTECT,
} from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { mmput } from '../mm/exit-mmap.ts';
import { mmgetNotZero } from '../mm/mm-users.ts';
import { mmapWriteLock, mmapWriteUnlock } from '../mm/mmap-lock.ts';
import { File, type FileOps, POLLERR, POLLIN } from './file.ts';
import { remove, wakeUserfault } from './userfaultfd.ts';
import { initializedBit } from './userfaultfd-api.ts';
import { UserfaultfdCtx } from './userfaultfd-ctx.ts';
import { knownIoctl, uffdIoctl } from './userfaultfd-ioctl.ts';
import { clearVma, rangeIoctls } from './userfaultfd-register.ts';

/** The context behind a userfaultfd, or null for any other file. */
export function ctxOfFile(file: File | null): UserfaultfdCtx | null {
  return file !== null && file.data instanceof UserfaultfdCtx ? file.data : null;
}

/** A file for a context: userfaultfd(2), and whoever reads a FORK message. */
export function createUserfaultfdFile(ctx: UserfaultfdCtx): File {
  return new File(OPS, O_RDONLY | (ctx.flags & O_NONBLOCK), ctx, 'anon_inode:[userfaultfd]');
}

function ctxOf(file: File): UserfaultfdCtx {
  return must(ctxOfFile(file), 'userfaultfd context');
}

/** As many whole messages as there are; waits only for the first. @linux userfaultfd_read_iter */
function* read(task: Task, file: File, count: number): Steps<Uint8Array | number> {
  const ctx = ctxOf(file);
  if (!ctx.initialized) return -EINVAL;
  const room = Math.floor(count / UFFD_MSG_SIZE);
  if (room === 0) return -EINVAL;
  const messages: Uint8Array[] = [];
  let wait = (file.flags & O_NONBLOCK) === 0;
  while (messages.length < room) {
    const message = yield* readOne(task, ctx, wait);
    if (typeof message === 'number') {
      if (messages.length === 0) return message;
      break;
    }
    messages.push(message);
    wait = false;
  }
  const bytes = new Uint8Array(messages.length * UFFD_MSG_SIZE);
  for (const [i, message] of messages.entries()) bytes.set(message, i * UFFD_MSG_SIZE);
  return bytes;
}

/** One message, or -EAGAIN, -EINTR. @linux userfaultfd_ctx_read */
function* readOne(task: Task, ctx: UserfaultfdCtx, wait: boolean): Steps<Uint8Array | number> {
  const { thread } = task;
  const signalled = (): boolean => thread !== null && interrupts(thread, 'interruptible');
  if (wait) {
    // Waiting and taking are one step: the queue lock is never held across steps.
    const ready = (): boolean => ctx.readable || signalled();
    yield* until('read uffd', ctx.queueCell, READ, ready, 'a userfaultfd message');
    take(ctx.queueLock);
  } else {
    yield* lock(ctx.queueLock);
    sched.touch(ctx.queueCell, READ);
  }
  if (wait && thread !== null) sched.touch(sched.signalCell(thread), READ);
  const message = takeMessage(task, ctx);
  unlock(ctx.queueLock);
  if (message !== null) return message;
  return wait && signalled() ? -EINTR : -EAGAIN;
}

/** Takes the next message: pending faults first, then events. Requires: queueLock. */
function takeMessage(task: Task, ctx: UserfaultfdCtx): Uint8Array | number | null {
  const fault = ctx.pendingFaults.shift();
  if (fault !== undefined) {
    sched.touch(ctx.queueCell, WRITE);
    ctx.faults.push(fault);
    return encodeUffdMsg(fault.msg);
  }
  const event = ctx.events[0];
  if (event === undefined) return null;
  let { msg } = event;
  if (event.newCtx !== null) {
    // The child's context becomes a descriptor of whoever reads; when that fails, the event waits for another reader.
    const { newCtx } = event;
    const cloexec = (newCtx.flags & O_CLOEXEC) !== 0;
    const ufd = task.files.install(createUserfaultfdFile(newCtx), cloexec);
    if (ufd < 0) return ufd;
    msg = { event: 'fork', ufd };
  }
  sched.touch(ctx.queueCell, WRITE);
  remove(ctx.events, event);
  event.taken = true;
  event.sleeper.wake();
  return encodeUffdMsg(msg);
}

/** @linux userfaultfd_poll */
function poll(file: File): number {
  const ctx = ctxOf(file);
  if (!ctx.initialized) return POLLERR;
  // A blocking descriptor and poll(2) do not go together: the fault may be gone when read comes.
  if ((file.flags & O_NONBLOCK) === 0) return POLLERR;
  sched.touch(ctx.queueCell, READ);
  return ctx.readable ? POLLIN : 0;
}

/** Nobody will resolve faults any more: VMAs are unregistered, everybody goes on. @linux userfaultfd_release */
function* release(task: Task, file: File): Steps<void> {
  const ctx = ctxOf(file);
  if (sched.wants()) yield* access('release uffd', ctx.releasedCell, WRITE);
  ctx.setReleased();
  const { mm } = ctx;
  // Its own threads keep an address space alive; a foreign process has to hold it.
  if (task.mm === mm || mmgetNotZero(mm)) {
    yield* mmapWriteLock(mm);
    for (const vma of mm.vmas) {
      if (vma.uffd === ctx) yield* clearVma(vma, vma.start, vma.end);
    }
    mmapWriteUnlock(mm);
    if (task.mm !== mm) yield* mmput(mm);
  }
  yield* wakeUserfault(ctx, 0, 0);
  yield* lock(ctx.queueLock);
  sched.touch(ctx.queueCell, WRITE);
  for (const event of ctx.events.splice(0)) event.sleeper.wake();
  unlock(ctx.queueLock);
  ctx.notifyPollers();
}

/** @linux userfaultfd_show_fdinfo */
function fdinfo(file: File): string {
  const ctx = ctxOf(file);
  const pending = ctx.pendingFaults.length;
  const total = pending + ctx.faults.length;
  const features = ctx.features < 0 ? 0 : ctx.features + initializedBit();
  // Every range ioctl there is, whatever was registered.
  const more = FDINFO_RANGE_IOCTLS.filter(([cmd]) => knownIoctl(cmd));
  const range = more.reduce((bits, [, bit]) => bits | (1 << bit), rangeIoctls());
  const ioctls = (UFFD_API_IOCTLS | BigInt(range)).toString(16);
  const api = `${UFFD_API.toString(16)}:${features.toString(16)}:${ioctls}`;
  return `pending:\t${pending}\ntotal:\t${total}\nAPI:\t${api}\n`;
}
const FDINFO_RANGE_IOCTLS: readonly (readonly [number, number])[] = [
  [UFFDIO_WRITEPROTECT, _UFFDIO_WRITEPROTECT],
  [UFFDIO_CONTINUE, _UFFDIO_CONTINUE],
];

const OPS: FileOps = {
  kind: 'userfaultfd',
  read,
  poll,
  pollSource: (file) => ctxOf(file),
  release,
  fdinfo,
  ioctl: (task, file, cmd, arg) => uffdIoctl(task, ctxOf(file), cmd, arg),
};

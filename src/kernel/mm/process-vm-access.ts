/**
 * Copying between the caller's memory and another process's, without that process's help: its pages are pinned, some at a
 * time, and the copy goes page by page.
 * @linux mm/process_vm_access.c; semantics.md section 19
 */
import { contentCell } from '../../machine/cells.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { getUserPagesUnlocked } from './gup.ts';
import { FOLL_PIN, FOLL_REMOTE, FOLL_WRITE, type FollFlags, withFoll } from './gup-flags.ts';
import { unpinUserPagesDirtyLock } from './gup-pin.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { copyFromUser, copyToUserPartly, readContent, writeContent } from './user-access.ts';

/** Pages pinned at once. @linux PVM_MAX_USER_PAGES */
const BATCH = 1024;

/** A stretch of memory, as struct iovec says it. */
export interface Stretch {
  readonly base: Vaddr;
  /** Bytes. */
  readonly length: number;
}

/** Where the caller's bytes come from or go to: its stretches, one after the other. @linux struct iov_iter */
class Local {
  readonly task: Task;
  readonly stretches: readonly Stretch[];
  at = 0;
  /** Bytes done of the stretch that is at. */
  into = 0;
  /** Bytes left in all. */
  left: number;

  constructor(task: Task, stretches: readonly Stretch[]) {
    this.task = task;
    this.stretches = stretches;
    this.left = stretches.reduce((sum, s) => sum + s.length, 0);
  }

  /** The next part that lies in one stretch, at most `length` bytes; null at the end. */
  next(length: number): Stretch | null {
    for (;;) {
      const stretch = this.stretches[this.at];
      if (stretch === undefined) return null;
      const room = stretch.length - this.into;
      if (room > 0) return { base: stretch.base + this.into, length: Math.min(room, length) };
      this.at++;
      this.into = 0;
    }
  }

  advance(bytes: number): void {
    this.into += bytes;
    this.left -= bytes;
  }
}

/**
 * Copies from the other process's stretches to the caller's, or the other way.
 * @returns bytes copied; -EFAULT when not even one could be
 * Requires: a use of the mm, no lock. @linux process_vm_rw_core
 */
export function* processVmRw(
  task: Task,
  mm: Mm,
  local: readonly Stretch[],
  remote: readonly Stretch[],
  write: boolean,
): Steps<number> {
  const iter = new Local(task, local);
  const total = iter.left;
  let error = 0;
  for (const stretch of remote) {
    if (iter.left === 0 || error < 0) break;
    error = yield* rwStretch(mm, iter, stretch, write);
  }
  const copied = total - iter.left;
  return copied > 0 ? copied : error;
}

/** @returns 0 or a negative errno. @linux process_vm_rw_single_vec */
function* rwStretch(mm: Mm, iter: Local, { base, length }: Stretch, write: boolean): Steps<number> {
  const asked = withFoll(FOLL_PIN, FOLL_REMOTE, write ? FOLL_WRITE : (0 as FollFlags));
  let address = base;
  const end = base + length;
  while (address < end && iter.left > 0) {
    const first = Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
    const count = Math.min(BATCH, Math.ceil((end - first) / PAGE_SIZE));
    const pages = yield* getUserPagesUnlocked(mm, first, count, asked);
    if (typeof pages === 'number' || pages.length === 0) return -EFAULT;
    const until = Math.min(end, first + pages.length * PAGE_SIZE);
    const error = yield* rwPages(iter, pages, address - first, until - address, write);
    yield* unpinUserPagesDirtyLock(pages, write);
    if (error < 0) return error;
    address = until;
  }
  return 0;
}

/** @param offset into the first page. @linux process_vm_rw_pages */
function* rwPages(
  iter: Local,
  pages: readonly Pfn[],
  offset: number,
  length: number,
  write: boolean,
): Steps<number> {
  let into = offset;
  let left = length;
  for (const pfn of pages) {
    const chunk = Math.min(left, PAGE_SIZE - into);
    if (!(yield* rwPage(iter, pfn, into, chunk, write))) return -EFAULT;
    left -= chunk;
    into = 0;
  }
  return 0;
}

/** @returns false when the caller's own memory fails it */
function* rwPage(
  iter: Local,
  pfn: Pfn,
  offset: number,
  length: number,
  write: boolean,
): Steps<boolean> {
  for (let done = 0; done < length; ) {
    const part = iter.next(length - done);
    if (part === null) return true;
    const copied = write
      ? yield* copyIn(iter.task, part, pfn, offset + done)
      : yield* copyOut(iter.task, part, pfn, offset + done);
    iter.advance(copied);
    if (copied < part.length) return false;
    done += copied;
  }
  return true;
}

function* copyOut(task: Task, part: Stretch, pfn: Pfn, offset: number): Steps<number> {
  if (sched.wants()) yield* access('read page', contentCell(pfn), READ);
  const bytes = new Uint8Array(part.length);
  readContent(pfn, offset, bytes);
  return yield* copyToUserPartly(task, part.base, bytes);
}

/** Page by page of the caller's, so that what comes before a bad one is copied. */
function* copyIn(task: Task, part: Stretch, pfn: Pfn, offset: number): Steps<number> {
  for (let done = 0; done < part.length; ) {
    const from = part.base + done;
    const chunk = Math.min(part.length - done, PAGE_SIZE - (from % PAGE_SIZE));
    const bytes = yield* copyFromUser(task, from, chunk);
    if (typeof bytes === 'number') return done;
    if (sched.wants()) yield* access('write page', contentCell(pfn), WRITE);
    writeContent(pfn, offset + done, bytes);
    done += chunk;
  }
  return part.length;
}

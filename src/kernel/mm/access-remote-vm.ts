/**
 * Reading and writing another address space the way debuggers do: ptrace(2) and /proc/PID/mem. Nothing is waited for: a
 * page that userfaultfd would have to fill ends the access (measured on 6.18: EIO).
 * @linux mm/memory.c access_remote_vm; semantics.md section 19
 */
import { contentCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { lockMmAndFindVma } from './expand-stack.ts';
import { getUserPages } from './gup.ts';
import { FOLL_GET, FOLL_REMOTE, FOLL_WRITE, type FollFlags, withFoll } from './gup-flags.ts';
import { setPageDirtyLock } from './gup-pin.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { mmapReadUnlock } from './mmap-lock.ts';
import { readContent, writeContent } from './user-access.ts';

/**
 * Bytes of an address space up to the first page that cannot be had.
 * @param flags FOLL_FORCE: also where it may not be read
 * @returns how much there was: 0 to `length` bytes
 * Requires: a use of the mm, no lock of it.
 */
export function* readRemoteVm(
  mm: Mm,
  address: Vaddr,
  length: number,
  flags: FollFlags,
): Steps<Uint8Array> {
  const bytes = new Uint8Array(length);
  const done = yield* eachPage(mm, address, length, flags, (pfn, offset, from, to) => {
    readContent(pfn, offset, bytes.subarray(from, to));
  });
  return bytes.subarray(0, done);
}

/**
 * Writes bytes to an address space up to the first page that cannot be had.
 * @param flags FOLL_FORCE: also to private memory that may not be written, in a copy of its own
 * @returns bytes written
 * Requires: a use of the mm, no lock of it.
 */
export function* writeRemoteVm(
  mm: Mm,
  address: Vaddr,
  bytes: Uint8Array,
  flags: FollFlags,
): Steps<number> {
  const how = withFoll(flags, FOLL_WRITE);
  return yield* eachPage(mm, address, bytes.length, how, (pfn, offset, from, to) => {
    writeContent(pfn, offset, bytes.subarray(from, to));
  });
}

/** Page by page under one hold of mmap_lock. @returns bytes done. @linux __access_remote_vm */
function* eachPage(
  mm: Mm,
  address: Vaddr,
  length: number,
  flags: FollFlags,
  touch: (pfn: Pfn, offset: number, from: number, to: number) => void,
): Steps<number> {
  if (length === 0 || (yield* lockMmAndFindVma(mm, address)) === null) return 0;
  const write = (flags & FOLL_WRITE) !== 0;
  let done = 0;
  while (done < length) {
    const offset = (address + done) % PAGE_SIZE;
    const chunk = Math.min(length - done, PAGE_SIZE - offset);
    const how = withFoll(flags, FOLL_GET, FOLL_REMOTE);
    const pages = yield* getUserPages(mm, address + done - offset, 1, how);
    const pfn = typeof pages === 'number' ? undefined : pages[0];
    if (pfn === undefined) break;
    const name = write ? 'write page' : 'read page';
    if (sched.wants()) yield* access(name, contentCell(pfn), write ? WRITE : READ);
    touch(pfn, offset, done, done + chunk);
    if (write) yield* setPageDirtyLock(pfn);
    machine.frames.put(pfn, world.owner());
    done += chunk;
  }
  mmapReadUnlock(mm);
  return done;
}

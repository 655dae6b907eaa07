/**
 * Locked memory: mlock(2), mlock2(2), munlock(2), mlockall(2), munlockall(2).
 * @linux mm/mlock.c; semantics.md section 7
 */
import { machine } from '../../machine/current.ts';
import { PG_MLOCKED } from '../../machine/frames.ts';
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import { ptePfn, ptePresent, pteSpecial } from '../../machine/pte.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EHWPOISON, EINTR, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT } from '../../uapi/mman.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { canDoMlock, withinMemlockLimit } from './mlock-limit.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock } from './mmap-lock.ts';
import { pmdAddrEnd, skipMissing } from './pgtable.ts';
import { mmPopulate } from './populate.ts';
import { entryAt, lockEntries } from './pte-offset-map.ts';
import {
  has,
  VM_DROPPABLE,
  VM_HUGETLB,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_NONE,
  VM_SPECIAL,
  type VmFlags,
  withFlag,
  withoutFlag,
} from './vm-flags.ts';
import { pageAlign, pageStart } from './vm-prot.ts';
import { vmaModify } from './vma.ts';

export const MLOCK_ERRORS = errnoTable('mlock', {
  flags: ['EINVAL', 'a flag other than MLOCK_ONFAULT'],
  notAllowed: ['EPERM', 'RLIMIT_MEMLOCK is 0 and the caller may not lock memory anyway'],
  limit: ['ENOMEM', 'more would be locked than RLIMIT_MEMLOCK allows'],
  wraps: ['EINVAL', 'addr + len is beyond the end of the address space'],
  hole: ['ENOMEM', 'part of the range is not mapped; what lies before the hole is locked'],
  tooMany: ['ENOMEM', 'locking part of a mapping would make more mappings than max_map_count'],
  populate: ['ENOMEM', 'a page cannot be brought in; the range is locked all the same'],
  noMemory: ['EAGAIN', 'no memory to bring the pages in; the range is locked all the same'],
  killed: ['EINTR', 'a fatal signal arrived'],
});
const E = MLOCK_ERRORS;
export const MLOCKALL_ERRORS = errnoTable('mlockall', {
  flags: ['EINVAL', 'no flag, an unknown flag, or MCL_ONFAULT alone'],
  notAllowed: ['EPERM', 'RLIMIT_MEMLOCK is 0 and the caller may not lock memory anyway'],
  limit: ['ENOMEM', 'more is mapped than RLIMIT_MEMLOCK allows to lock'],
});

const LOCKED_MASK: VmFlags = (VM_LOCKED | VM_LOCKONFAULT) as VmFlags;

/**
 * Locks [start, start + length) and brings its pages in. The address is rounded down.
 * @param flags MLOCK_ONFAULT: pages are locked as they come, none is brought in
 * @returns 0 or a negative errno; what lies before a hole is locked, and so is all of it when pages do not come
 * Requires: no lock. @linux mm/mlock.c do_mlock
 */
export function* doMlock(mm: Mm, start: Vaddr, length: number, flags: number): Steps<number> {
  if ((flags & ~MLOCK_ONFAULT) !== 0) return fail(E.flags);
  if (!canDoMlock()) return fail(E.notAllowed);
  const [from, end] = bounds(start, length);
  if (end < from) return fail(E.wraps);
  const wanted = flags === 0 ? VM_LOCKED : LOCKED_MASK;
  yield* mmapWriteLock(mm);
  const fits = withinMemlockLimit(
    mm.lockedVm + (end - from) / PAGE_SIZE - alreadyLocked(mm, from, end),
  );
  const error = fits ? yield* applyVmaLockFlags(mm, from, end, wanted) : fail(E.limit);
  mmapWriteUnlock(mm);
  if (error < 0) return error;
  return populateErrno(yield* mmPopulate(mm, from, end, false));
}

/** Unlocks [start, start + length). @returns 0 or a negative errno. Requires: no lock. */
export function* doMunlock(mm: Mm, start: Vaddr, length: number): Steps<number> {
  const [from, end] = bounds(start, length);
  if (end < from) return fail(E.wraps);
  yield* mmapWriteLock(mm);
  const error = yield* applyVmaLockFlags(mm, from, end, VM_NONE);
  mmapWriteUnlock(mm);
  return error;
}

/** Register values are signed here: a negative length ends below its start, as one that wraps does in Linux. */
function bounds(start: Vaddr, length: number): readonly [Vaddr, Vaddr] {
  const from = pageStart(start);
  const end = from + pageAlign(length + (start - from));
  return [from, start < 0 || length < 0 ? from - PAGE_SIZE : end];
}

/**
 * Locks what is mapped now (MCL_CURRENT), what will be mapped from now on (MCL_FUTURE), or both. Pages that cannot be
 * brought in are nobody's error.
 * @returns 0 or a negative errno. Requires: no lock
 */
export function* doMlockall(mm: Mm, flags: number): Steps<number> {
  const M = MLOCKALL_ERRORS;
  const known = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
  if (flags === 0 || (flags & ~known) !== 0 || flags === MCL_ONFAULT) return fail(M.flags);
  if (!canDoMlock()) return fail(M.notAllowed);
  const current = (flags & MCL_CURRENT) !== 0;
  yield* mmapWriteLock(mm);
  const fits = !current || withinMemlockLimit(mm.totalVm);
  if (fits) yield* applyMlockallFlags(mm, flags);
  mmapWriteUnlock(mm);
  if (!fits) return fail(M.limit);
  if (current) yield* mmPopulate(mm, 0, TASK_SIZE);
  return 0;
}

/** Unlocks everything, now and in future. Requires: no lock. */
export function* doMunlockall(mm: Mm): Steps<number> {
  yield* mmapWriteLock(mm);
  yield* applyMlockallFlags(mm, 0);
  mmapWriteUnlock(mm);
  return 0;
}

/** @linux mm/mlock.c apply_mlockall_flags */
function* applyMlockallFlags(mm: Mm, flags: number): Steps<void> {
  const locked = (flags & MCL_ONFAULT) !== 0 ? LOCKED_MASK : VM_LOCKED;
  mm.defFlags = withoutFlag(mm.defFlags, LOCKED_MASK);
  if ((flags & MCL_FUTURE) !== 0) {
    mm.defFlags = withFlag(mm.defFlags, locked);
    if ((flags & MCL_CURRENT) === 0) return;
  }
  const add = (flags & MCL_CURRENT) !== 0 ? locked : VM_NONE;
  for (const vma of mm.vmas.range(0, TASK_SIZE)) {
    yield* mlockFixup(vma, vma.start, vma.end, withFlag(withoutFlag(vma.flags, LOCKED_MASK), add));
  }
}

/** @linux mm/mlock.c apply_vma_lock_flags */
function* applyVmaLockFlags(mm: Mm, start: Vaddr, end: Vaddr, flags: VmFlags): Steps<number> {
  let address = start;
  for (const vma of mm.vmas.range(start, end)) {
    if (vma.start > address) break;
    const to = Math.min(vma.end, end);
    const wanted = withFlag(withoutFlag(vma.flags, LOCKED_MASK), flags);
    const error = yield* mlockFixup(vma, address, to, wanted);
    if (error < 0) return error;
    address = to;
  }
  return address < end ? fail(E.hole) : 0;
}

/**
 * One VMA, or part of it. Kinds that cannot be locked are passed over in silence.
 * Requires: mmap_lock for writing. @linux mm/mlock.c mlock_fixup
 */
function* mlockFixup(vma: Vma, start: Vaddr, end: Vaddr, flags: VmFlags): Steps<number> {
  const { mm } = vma;
  const before = vma.flags;
  const never = (VM_SPECIAL | VM_HUGETLB | VM_DROPPABLE) as VmFlags;
  if (flags === before || has(before, never)) return 0;
  const changed = yield* vmaModify(vma, start, end, { flags });
  if (typeof changed === 'number') return fail(E.tooMany);
  const pages = (end - start) / PAGE_SIZE;
  mm.lockedVm += has(flags, VM_LOCKED) ? (has(before, VM_LOCKED) ? 0 : pages) : -pages;
  return 0;
}

/** Pages of the range that count as locked already. @linux mm/mlock.c count_mm_mlocked_page_nr */
function alreadyLocked(mm: Mm, start: Vaddr, end: Vaddr): number {
  let pages = 0;
  for (const vma of mm.vmas.range(start, end)) {
    if (!has(vma.flags, VM_LOCKED)) continue;
    pages += (Math.min(end, vma.end) - Math.max(start, vma.start)) / PAGE_SIZE;
  }
  return pages;
}

/** @linux mm/mlock.c __mlock_posix_error_return */
function populateErrno(result: number): number {
  switch (result) {
    case 0:
      return 0;
    case -ENOMEM:
      return fail(E.noMemory);
    case -EINTR:
      return fail(E.killed);
    case -EFAULT:
    case -EINVAL:
    case -EHWPOISON:
      return fail(E.populate);
    default:
      return result;
  }
}

/**
 * The mapping is not locked any more, and nobody unlocks its pages: reclaim passes them over as long as they live
 * (measured on 6.18.44, after MREMAP_DONTUNMAP of a part). Requires: mmap_lock for writing
 */
export function* leavePagesLocked({ mm, start, end }: Vma): Steps<void> {
  for (let address = skipMissing(mm, start, end); address < end; ) {
    const entries = yield* lockEntries(mm, address);
    if (entries === null) {
      address = skipMissing(mm, pmdAddrEnd(address, end), end);
      continue;
    }
    const pte = entryAt(entries, 0);
    if (ptePresent(pte) && !pteSpecial(pte)) machine.frames.setFlag(ptePfn(pte), PG_MLOCKED);
    unlock(entries.lock);
    address += PAGE_SIZE;
  }
}

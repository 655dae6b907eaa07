/**
 * Pages of user memory for the kernel's own use: found in the page tables, faulted in where they are not there yet, and
 * returned with a reference or a pin. This is the slow way, under mmap_lock; gup-fast.ts takes none.
 *
 *   mmap_lock | VMA allows it? | page-table lock: entry allows it? take a reference | else a fault, and look again
 *
 * A fault that waits drops mmap_lock; then everything is looked up again from that page on.
 * @linux mm/gup.c
 */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON, PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  type Pfn,
  type Pte,
  pteDirty,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteUffdWp,
  pteWrite,
} from '../../machine/pte.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { interrupts } from '../../sched/wait.ts';
import { EFAULT, EHWPOISON, EINTR, ENOMEM } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import {
  FOLL_ANON,
  FOLL_DUMP,
  FOLL_FORCE,
  FOLL_HWPOISON,
  FOLL_INTERRUPTIBLE,
  FOLL_LONGTERM,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_TOUCH,
  FOLL_TRIED,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
  type FollFlags,
  foll,
  withFoll,
} from './gup-flags.ts';
import { grabFolio } from './gup-pin.ts';
import { handleMmFault } from './memory.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock, vmaLookup } from './mmap-lock.ts';
import { entryAt, lockEntries } from './pte-offset-map.ts';
import { folioMarkDirty } from './rmap.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_INTERRUPTIBLE,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  type FaultFlags,
  faultHas,
  VM_FAULT_ERROR,
  VM_FAULT_HWPOISON,
  VM_FAULT_NONE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  type VmFault,
} from './vm-fault.ts';
import {
  has,
  isCowMapping,
  VM_IO,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  type VmFlags,
} from './vm-flags.ts';

/** What a look at one page came to besides a frame: nothing there, or a page that must become the mapping's own first. */
const NO_PAGE = 0;
const MUST_UNSHARE = -1;
const NOT_ALLOWED = -2;

/** A walk over pages: how far it came and whether mmap_lock is still held. */
interface Gup {
  readonly mm: Mm;
  readonly pages: Pfn[];
  locked: boolean;
}

/**
 * Pages of [start, start + count pages), in order, each with what the flags ask for.
 * @param start page aligned
 * @returns as many as could be had without letting go of mmap_lock, or the negative errno of the first
 * Requires: mmap_lock for reading, which stays held. @linux get_user_pages_remote with locked == NULL
 */
export function* getUserPages(
  mm: Mm,
  start: Vaddr,
  count: number,
  flags: FollFlags,
): Steps<Pfn[] | number> {
  assert(!foll(flags, FOLL_UNLOCKABLE), 'mmap_lock is the caller’s');
  const gup: Gup = { mm, pages: [], locked: true };
  if (foll(flags, FOLL_PIN)) mm.setHasPinned();
  const error = yield* gupLoop(gup, start, count, flags);
  return gup.pages.length > 0 || error === 0 ? gup.pages : error;
}

/**
 * The same from no lock to no lock, waiting where a page has to be waited for.
 * @returns the pages up to the first that cannot be had, or its negative errno when it is the very first: -EFAULT,
 *   -ENOMEM, -EHWPOISON (where asked for), -EINTR when a signal ended the wait
 * Requires: no lock of the mm. @linux get_user_pages_unlocked, pin_user_pages_remote
 */
export function* getUserPagesUnlocked(
  mm: Mm,
  start: Vaddr,
  count: number,
  asked: FollFlags,
): Steps<Pfn[] | number> {
  const flags = withFoll(asked, FOLL_UNLOCKABLE);
  const gup: Gup = { mm, pages: [], locked: true };
  if (foll(flags, FOLL_PIN)) mm.setHasPinned();
  yield* mmapReadLock(mm);
  let error = yield* gupLoop(gup, start, count, flags);
  while (!gup.locked && gup.pages.length < count) {
    if (gupSignalPending(flags)) {
      error = -EINTR;
      break;
    }
    yield* mmapReadLock(mm);
    gup.locked = true;
    // The page that was waited for goes first and alone; only then is a fault that has been tried tried again.
    const done = gup.pages.length;
    error = yield* gupLoop(gup, start + done * PAGE_SIZE, 1, withFoll(flags, FOLL_TRIED));
    if (!gup.locked) continue;
    if (error !== 0 || gup.pages.length === count) break;
    const next = gup.pages.length;
    error = yield* gupLoop(gup, start + next * PAGE_SIZE, count - next, flags);
  }
  if (gup.locked) mmapReadUnlock(mm);
  return gup.pages.length > 0 || error === 0 ? gup.pages : error;
}

/** @returns 0, also when mmap_lock was dropped on the way (gup.locked), or a negative errno. @linux __get_user_pages */
function* gupLoop(gup: Gup, start: Vaddr, count: number, flags: FollFlags): Steps<number> {
  const { mm, pages } = gup;
  const end = start + count * PAGE_SIZE;
  let how = flags;
  for (let address = start; address < end; ) {
    const vma = vmaLookup(mm, address);
    if (vma === null) return -EFAULT;
    const refused = checkVmaFlags(vma, flags);
    if (refused !== 0) return refused;
    const got = yield* followPageInVma(vma, address, how);
    if (got > 0) {
      pages.push(got as Pfn);
      address += PAGE_SIZE;
      how = flags;
      continue;
    }
    if (killed()) return -EINTR;
    if (got === NOT_ALLOWED) return -EFAULT;
    const error = yield* faultinPage(gup, vma, address, how, got === MUST_UNSHARE);
    if (error !== 0 || !gup.locked) return error;
    how = flagsAfterFault(vma, how);
  }
  return 0;
}

/** Whether the mapping allows the access at all. @linux check_vma_flags */
export function checkVmaFlags(vma: Vma, flags: FollFlags): number {
  const vm = vma.flags;
  if (has(vm, (VM_IO | VM_PFNMAP) as VmFlags)) return -EFAULT;
  if (foll(flags, FOLL_ANON) && vma.file !== null) return -EFAULT;
  const force = foll(flags, FOLL_FORCE);
  if (foll(flags, FOLL_WRITE)) {
    // Forced writes go to private copies; nobody may change what others share and he may not write.
    return has(vm, VM_WRITE) || (force && isCowMapping(vm)) ? 0 : -EFAULT;
  }
  return has(vm, VM_READ) || (force && has(vm, VM_MAYREAD)) ? 0 : -EFAULT;
}

/** The page as the tables have it, or why it cannot be taken as it is. Requires: mmap_lock. @linux follow_page_pte */
function* followPageInVma(vma: Vma, address: Vaddr, flags: FollFlags): Steps<number> {
  const entries = yield* lockEntries(vma.mm, address);
  if (entries === null) return foll(flags, FOLL_DUMP) && vma.file === null ? NOT_ALLOWED : NO_PAGE;
  const pte = entryAt(entries, 0);
  const pfn = pageOfPte(vma, pte, flags, entries.huge);
  if (pfn > 0) {
    grabFolio(pfn as Pfn, flags);
    if (foll(flags, FOLL_TOUCH) && foll(flags, FOLL_WRITE) && !pteDirty(pte)) {
      folioMarkDirty(pfn as Pfn);
    }
  }
  unlock(entries.lock);
  return pfn;
}

/**
 * @param huge the entry is part of a huge page: whether that is exclusive its head says
 * Requires: the page-table lock.
 */
function pageOfPte(vma: Vma, pte: Pte, flags: FollFlags, huge: boolean): number {
  if (!ptePresent(pte)) return NO_PAGE;
  if (foll(flags, FOLL_WRITE) && !canFollowWritePte(vma, pte, flags)) return NO_PAGE;
  if (pteSpecial(pte) && foll(flags, FOLL_DUMP)) return NOT_ALLOWED;
  if (!pteWrite(pte) && gupMustUnshare(vma, ownerOf(ptePfn(pte), huge), flags)) return MUST_UNSHARE;
  return ptePfn(pte);
}

/** The frame whose AnonExclusive counts. */
export function ownerOf(pfn: Pfn, huge: boolean): Pfn {
  return huge ? machine.frames.head(pfn) : pfn;
}

/**
 * Whether the page may be written although nobody made a fault for it: the entry is writable, or a forced write has its
 * private copy already. It is the copy and its exclusivity that say so, not the memory of having made one: that page may
 * have been dropped since (CVE-2016-5195).
 * Requires: the page-table lock. @linux can_follow_write_pte
 */
export const canFollowWritePte = seam(
  'gup.canFollowWritePte',
  (vma: Vma, pte: Pte, flags: FollFlags): boolean => {
    if (pteWrite(pte)) return true;
    const { flags: vm } = vma;
    if (!foll(flags, FOLL_FORCE) || has(vm, (VM_MAYSHARE | VM_SHARED | VM_WRITE) as VmFlags)) {
      return false;
    }
    if (!has(vm, VM_MAYWRITE) || pteSpecial(pte)) return false;
    const { frames } = machine;
    const pfn = ptePfn(pte);
    if (!frames.hasFlag(pfn, PG_ANON) || !frames.hasFlag(pfn, PG_ANON_EXCLUSIVE)) return false;
    return !pteUffdWp(pte);
  },
);

/**
 * Whether a page that is pinned for reading could be replaced by a copy at the next write, so that the pin would show
 * what nobody sees any more: then the copy is made first. Since 5.19.
 * @param vma null: not known (GUP-fast), the answer is on the safe side. @linux gup_must_unshare
 */
export const gupMustUnshare = seam(
  'gup.mustUnshare',
  (vma: Vma | null, pfn: Pfn, flags: FollFlags): boolean => {
    if (!foll(flags, FOLL_PIN) || foll(flags, FOLL_WRITE)) return false;
    const { frames } = machine;
    if (!frames.hasFlag(pfn, PG_ANON)) {
      return foll(flags, FOLL_LONGTERM) && (vma === null || isCowMapping(vma.flags));
    }
    return !frames.hasFlag(pfn, PG_ANON_EXCLUSIVE);
  },
);

/** With what the page is looked for after a fault. Before 4.9 a forced write that had its copy no longer looked for one. */
export const flagsAfterFault = seam(
  'gup.flagsAfterFault',
  (_vma: Vma, flags: FollFlags): FollFlags => flags,
);

/** @returns 0: look again (unless mmap_lock is gone); a negative errno. Requires: mmap_lock. @linux faultin_page */
function* faultinPage(
  gup: Gup,
  vma: Vma,
  address: Vaddr,
  flags: FollFlags,
  unshare: boolean,
): Steps<number> {
  if (foll(flags, FOLL_NOFAULT)) return -EFAULT;
  const how = faultFlagsOf(flags, unshare);
  const result = yield* handleMmFault(vma, world.current, address, how);
  if (faultHas(result, VM_FAULT_ERROR)) {
    const error = faultErrno(result);
    return error === -EHWPOISON && !foll(flags, FOLL_HWPOISON) ? -EFAULT : error;
  }
  if (faultHas(result, VM_FAULT_RETRY)) {
    // Who may not wait is told so with mmap_lock still held.
    if ((how & FAULT_FLAG_RETRY_NOWAIT) !== 0) return -EFAULT;
    gup.locked = false;
  }
  return 0;
}

function faultFlagsOf(flags: FollFlags, unshare: boolean): FaultFlags {
  let how = 0;
  if (unshare) how |= FAULT_FLAG_UNSHARE;
  else if (foll(flags, FOLL_WRITE)) how |= FAULT_FLAG_WRITE;
  if (foll(flags, FOLL_REMOTE)) how |= FAULT_FLAG_REMOTE;
  if (foll(flags, FOLL_UNLOCKABLE)) {
    how |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
    if (foll(flags, FOLL_INTERRUPTIBLE)) how |= FAULT_FLAG_INTERRUPTIBLE;
  }
  if (foll(flags, FOLL_NOWAIT)) how |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT;
  if (foll(flags, FOLL_TRIED)) how |= FAULT_FLAG_TRIED;
  return how as FaultFlags;
}

/** @linux gup_signal_pending */
function gupSignalPending(flags: FollFlags): boolean {
  if (killed()) return true;
  const { thread } = world.current;
  return foll(flags, FOLL_INTERRUPTIBLE) && thread !== null && interrupts(thread, 'interruptible');
}

/** Whether the running task is being killed. */
export function killed(): boolean {
  const { thread } = world.current;
  return thread !== null && interrupts(thread, 'killable');
}

/** @linux vm_fault_to_errno */
export function faultErrno(result: VmFault): number {
  if (result === VM_FAULT_NONE) return 0;
  if (faultHas(result, VM_FAULT_OOM)) return -ENOMEM;
  return faultHas(result, VM_FAULT_HWPOISON) ? -EHWPOISON : -EFAULT;
}

/**
 * What userfaultfd ioctls do to page tables: filling empty slots, and write-protecting ranges.
 * Steps are those of semantics.md section 22, COPY and WP; each re-validation is a seam. @linux mm/userfaultfd.c
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { lockRead, takeRead, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { UFFD_FEATURE_WP_UNPOPULATED } from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import type { ErrnoRow } from '../errno-row.ts';
import type { UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import { type FillErrnos, WRITEPROTECT_ERRNOS } from '../fs/userfaultfd-errnos.ts';
import { type Seam, seam } from '../seam.ts';
import { anonVmaPrepare, hasAnonVma } from './anon-vma.ts';
import { vmaIsShmem } from './filemap.ts';
import { copyPages, fillHugePages } from './hugetlb-mfill.ts';
import { isVmHugetlb, vmaPageSize } from './hugetlb-vma.ts';
import { fillPage, type Mfill, type Progress } from './mfill-page.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import {
  lockVmaUnderRcu,
  mmapReadLock,
  mmapReadUnlock,
  vmaEndRead,
  vmaLookup,
} from './mmap-lock.ts';
import { changeProtection } from './mprotect.ts';
import { allocPage } from './page-alloc.ts';
import { allocPte, pmdSlot } from './pgtable.ts';
import { copyUserPage } from './user-access.ts';
import { has, VM_SHARED, VM_SPECIAL, VM_UFFD_WP } from './vm-flags.ts';

/**
 * Fills [dst, dst + len) page by page until something stops it.
 * @returns bytes filled, or why not even the first page was
 * Requires: no lock; a use of ctx.mm. @linux mfill_atomic
 */
export function* mfillAtomic(task: Task, fill: Mfill): Steps<number | ErrnoRow> {
  const { ctx, dst, len, errnos } = fill;
  const progress: Progress = { done: 0, page: 0 };
  let stop: ErrnoRow | null = null;
  for (let retry = false; ; retry = true) {
    const vma = yield* lockDst(ctx.mm, dst, errnos);
    if (!isVma(vma)) {
      stop = vma;
      break;
    }
    const valid = retry ? dstStillValid(vma, dst, len) : dstValid(vma, dst, len);
    if (!valid) {
      unlockDst(vma);
      stop = errnos.notRegistered;
      break;
    }
    yield* lockRead(ctx.mapChangingLock);
    const unchanged = retry ? stillNotChanging(ctx) : notChanging(ctx);
    const outcome = unchanged
      ? (refusedByVma(vma, fill) ?? (yield* fillAny(task, vma, fill, progress)))
      : errnos.changing;
    unlockRead(ctx.mapChangingLock);
    unlockDst(vma);
    if (outcome !== 'source') {
      stop = outcome;
      break;
    }
    // The source is not there: fault it in with no lock held, then look at everything again.
    if ((yield* copyPages(task, fill.src + progress.done, progress.page as Pfn, false)) < 0) {
      stop = errnos.sourceFault;
      break;
    }
  }
  if (progress.page !== 0) machine.frames.put(progress.page, world.owner());
  return progress.done > 0 || stop === null ? progress.done : stop;
}

/** As the VMA is now: base pages, or huge ones. A page of the other kind that was prepared before is of no use. */
function* fillAny(
  task: Task,
  vma: Vma,
  fill: Mfill,
  progress: Progress,
): Steps<ErrnoRow | null | 'source'> {
  const huge = isVmHugetlb(vma);
  if (progress.page !== 0 && machine.frames.order(progress.page) > 0 !== huge) {
    // It was huge pages when the source was not there, and is not any more. @linux mfill_atomic_hugetlb
    if (!huge) return fill.errnos.notRegistered;
    machine.frames.put(progress.page, world.owner());
    progress.page = 0;
  }
  return huge
    ? yield* fillHugePages(task, vma, fill, progress)
    : yield* fillPages(task, vma, fill, progress);
}

export function isVma(found: Vma | ErrnoRow): found is Vma {
  return 'flags' in found;
}

/**
 * Whether fills lock one VMA; before 6.9 they held mmap_lock for reading all along.
 * @linux mm/userfaultfd.c uffd_mfill_lock
 */
export const fillLocksVma: Seam<() => boolean> = seam('mfill.fillLocksVma', (): boolean => true);

/** Finds the VMA at an address and read-locks it; private ones get their anon_vma. @linux uffd_lock_vma */
export function* lockDst(
  mm: Mm,
  address: Vaddr,
  errnos: Pick<FillErrnos, 'notRegistered' | 'noMemory'>,
): Steps<Vma | ErrnoRow> {
  const perVma = fillLocksVma();
  if (perVma) {
    const quick = yield* lockVmaUnderRcu(mm, address);
    if (quick !== null) {
      if (has(quick.flags, VM_SHARED) || hasAnonVma(quick)) return quick;
      vmaEndRead(quick);
    }
  }
  yield* mmapReadLock(mm);
  const vma = vmaLookup(mm, address);
  if (vma === null || (!has(vma.flags, VM_SHARED) && !(yield* anonVmaPrepare(vma)))) {
    mmapReadUnlock(mm);
    return vma === null ? errnos.notRegistered : errnos.noMemory;
  }
  if (perVma) {
    // Nobody can hold it for writing: that takes mmap_lock for writing.
    takeRead(vma.lock);
    mmapReadUnlock(mm);
  }
  return vma;
}

export function unlockDst(vma: Vma): void {
  if (fillLocksVma()) vmaEndRead(vma);
  else mmapReadUnlock(vma.mm);
}

function coversRegistered(vma: Vma, dst: Vaddr, len: number): boolean {
  return vma.uffd !== null && dst + len <= vma.end;
}

type DstCheck = (vma: Vma, dst: Vaddr, len: number) => boolean;

/** @linux validate_dst_vma */
export const dstValid: Seam<DstCheck> = seam(
  'mfill.dstValid',
  coversRegistered,
  'COPY: chk VMA registered and range inside it under VMA-R: the caller only guesses what is mapped at dst',
);
export const dstStillValid: Seam<DstCheck> = seam(
  'mfill.dstStillValid',
  coversRegistered,
  'COPY: chk again after the faulting copy: without locks dst may have been unmapped, shrunk or unregistered',
);
export const notChanging: Seam<(ctx: UserfaultfdCtx) => boolean> = seam(
  'mfill.notChanging',
  (ctx: UserfaultfdCtx): boolean => !ctx.isMmapChanging(),
  'COPY: chk counter under map_changing-R: after a REMOVE or UNMAP event was queued no stale page may be filled in',
);
export const stillNotChanging: Seam<(ctx: UserfaultfdCtx) => boolean> = seam(
  'mfill.stillNotChanging',
  (ctx: UserfaultfdCtx): boolean => !ctx.isMmapChanging(),
  'COPY: chk counter again after the faulting copy: an event may have been queued while no lock was held',
);

/** What the VMA says against this fill. Requires: the VMA lock. */
function refusedByVma(vma: Vma, fill: Mfill): ErrnoRow | null {
  if (fill.wp && !has(vma.flags, VM_UFFD_WP)) return fill.errnos.notWp;
  if (isVmHugetlb(vma)) return fill.mode === 'zeropage' ? fill.errnos.noHugeZero : null;
  const shmem = vmaIsShmem(vma);
  if (!shmem && (vma.file !== null || has(vma.flags, VM_SPECIAL))) return fill.errnos.wrongKind;
  // Only pages of a page cache can be mapped without being brought.
  return fill.mode === 'continue' && !shmem ? fill.errnos.wrongKind : null;
}

/**
 * Fills pages while the locks are held.
 * @returns null: all done; a row: why not; 'source': the data of the next page has to be faulted in
 */
function* fillPages(
  task: Task,
  vma: Vma,
  fill: Mfill,
  progress: Progress,
): Steps<ErrnoRow | null | 'source'> {
  while (progress.done < fill.len) {
    const address = fill.dst + progress.done;
    const slot = yield* allocPte(vma.mm, address);
    if (slot < 0) return slot === -1 ? fill.errnos.noMemory : fill.errnos.exists;
    const pmd = pmdSlot(vma.mm, address);
    if (fill.mode === 'copy' && progress.page === 0) {
      const page = yield* allocPage();
      if (page === 0) return fill.errnos.noMemory;
      progress.page = page;
      if ((yield* copyUserPage(task, fill.src + progress.done, page, true)) < 0) return 'source';
    }
    const stop = yield* fillPage({ vma, address, slot, pmd }, fill, progress);
    if (stop !== null) return stop;
    progress.done += PAGE_SIZE;
    if (task.thread?.signal === 'fatal') return fill.errnos.killed;
  }
  return null;
}

/**
 * Whether [start, end) may be write-protected in one call. Today VMA by VMA, holes included; before 6.4 the range had
 * to lie in one VMA. @linux mwriteprotect_range
 */
export const wpRangeAllowed: Seam<(mm: Mm, start: Vaddr, end: Vaddr) => boolean> = seam(
  'mwriteprotect.wpRangeAllowed',
  (_mm: Mm, _start: Vaddr, _end: Vaddr): boolean => true,
);

export const wpNotChanging: Seam<(ctx: UserfaultfdCtx) => boolean> = seam(
  'mwriteprotect.notChanging',
  (ctx: UserfaultfdCtx): boolean => !ctx.isMmapChanging(),
  'WP: chk counter under map_changing-R: an event may have been queued since the ioctl looked at its start',
);

/**
 * Sets or clears write protection in [start, start + len), VMA by VMA; what is done before an error stays done.
 * @returns null, or why it stopped
 * Requires: no lock; a use of ctx.mm. @linux mwriteprotect_range
 */
export function* mwriteprotectRange(
  ctx: UserfaultfdCtx,
  start: Vaddr,
  len: number,
  enable: boolean,
): Steps<ErrnoRow | null> {
  const { mm } = ctx;
  const end = start + len;
  yield* mmapReadLock(mm);
  yield* lockRead(ctx.mapChangingLock);
  const stop = wpNotChanging(ctx)
    ? yield* writeprotectVmas(mm, start, end, enable)
    : WRITEPROTECT_ERRNOS.changing;
  unlockRead(ctx.mapChangingLock);
  mmapReadUnlock(mm);
  return stop;
}

function* writeprotectVmas(
  mm: Mm,
  start: Vaddr,
  end: Vaddr,
  enable: boolean,
): Steps<ErrnoRow | null> {
  if (!wpRangeAllowed(mm, start, end)) return WRITEPROTECT_ERRNOS.oneVma;
  let any = false;
  for (const vma of mm.vmas.range(start, end)) {
    any = true;
    if (!has(vma.flags, VM_UFFD_WP)) return WRITEPROTECT_ERRNOS.notRegistered;
    if ((end - start) % vmaPageSize(vma) !== 0 || start % vmaPageSize(vma) !== 0) {
      return WRITEPROTECT_ERRNOS.cutsHuge;
    }
    const from = Math.max(start, vma.start);
    const to = Math.min(end, vma.end);
    const markers = vma.uffd?.has(UFFD_FEATURE_WP_UNPOPULATED) === true;
    const change = enable ? { uffdWp: true, markers } : { uffdWpResolve: true };
    const changed = yield* changeProtection(vma, from, to, change);
    if (changed < 0) return WRITEPROTECT_ERRNOS.noMemory;
  }
  return any ? null : WRITEPROTECT_ERRNOS.noVma;
}

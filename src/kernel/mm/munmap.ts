/**
 * Unmapping: split at the ends, take the VMAs out of the tree, then empty their page tables with only a read hold of
 * mmap_lock left, so that other threads can fault elsewhere meanwhile. @linux mm/vma.c do_vmi_align_munmap
 */
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import { assertHeldWrite } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { fput } from '../fs/file.ts';
import {
  type UserfaultfdUnmapCtx,
  userfaultfdUnmapComplete,
  userfaultfdUnmapPrep,
} from '../fs/userfaultfd-events.ts';
import { unlinkAnonVmas } from './anon-vma.ts';
import { unlinkFileVma } from './filemap.ts';
import { hugetlbVmaClose, isVmHugetlb, mayCut } from './hugetlb-vma.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import {
  mmapReadUnlock,
  mmapWriteDowngrade,
  mmapWriteLock,
  mmapWriteUnlock,
  vmaStartWrite,
} from './mmap-lock.ts';
import { tlbFinishMmu, tlbGatherMmu } from './mmu-gather.ts';
import { has, VM_LOCKED, VM_SEALED } from './vm-flags.ts';
import { pageAlign } from './vm-prot.ts';
import { detachVma, splitVmaUnlimited } from './vma.ts';
import { freePgtables, unmapPageRange } from './zap.ts';

export const MUNMAP_ERRORS = errnoTable('munmap', {
  unaligned: ['EINVAL', 'addr is not a multiple of the page size'],
  beyond: ['EINVAL', 'the range reaches beyond user space'],
  empty: ['EINVAL', 'the length is 0'],
  tooMany: ['ENOMEM', 'a hole in a mapping would make more mappings than max_map_count'],
  sealed: ['EPERM', 'a mapping in the range is sealed'],
  unalignedHuge: ['EINVAL', 'a mapping of huge pages would be cut within one of them'],
});

/**
 * munmap(2): takes everything in [start, start + length) away and tells monitors that asked for EVENT_UNMAP.
 * @param length bytes; rounded up to pages
 * @returns 0, also when nothing was mapped there, or a negative errno
 */
export function* doMunmap(mm: Mm, start: Vaddr, length: number): Steps<number> {
  const error = checkRange(start, length);
  if (error < 0) return error;
  const heard: UserfaultfdUnmapCtx[] = [];
  yield* mmapWriteLock(mm);
  const result = yield* unmapRegion(mm, start, start + pageAlign(length), heard, true);
  yield* userfaultfdUnmapComplete(mm, heard);
  return result;
}

function checkRange(start: Vaddr, length: number): number {
  const E = MUNMAP_ERRORS;
  if (start % PAGE_SIZE !== 0) return fail(E.unaligned);
  const inside = start >= 0 && start <= TASK_SIZE && length >= 0 && length <= TASK_SIZE - start;
  if (!inside) return fail(E.beyond);
  return length === 0 ? fail(E.empty) : 0;
}

/**
 * Takes [start, end) away.
 * @param heard gets the userfaultfd contexts that must hear of it once mmap_lock is dropped
 * @param release whether to downgrade mmap_lock for the long part and to drop it at the end, whatever the result
 * @returns 0 or a negative errno, with nothing unmapped
 * Requires: mmap_lock for writing.
 */
export function* unmapRegion(
  mm: Mm,
  start: Vaddr,
  end: Vaddr,
  heard: UserfaultfdUnmapCtx[],
  release: boolean,
): Steps<number> {
  assertHeldWrite(mm.mmapLock);
  const doomed: Vma[] = [];
  const error = yield* gather(mm, start, end, heard, doomed);
  const [first] = doomed;
  if (error < 0 || first === undefined) {
    if (release) mmapWriteUnlock(mm);
    return error;
  }
  mm.hiwaterVm = Math.max(mm.hiwaterVm, mm.totalVm);
  for (const vma of doomed) {
    detachVma(vma);
    mm.totalVm -= (vma.end - vma.start) / PAGE_SIZE;
    if (has(vma.flags, VM_LOCKED)) mm.lockedVm -= (vma.end - vma.start) / PAGE_SIZE;
  }
  if (release) mmapWriteDowngrade(mm);
  yield* clear(mm, doomed, start, end);
  if (release) mmapReadUnlock(mm);
  for (const vma of doomed) {
    hugetlbVmaClose(vma);
    if (vma.file !== null) yield* fput(world.current, vma.file);
  }
  return 0;
}

/** Splits at the ends and write-locks what is in between. @linux mm/vma.c vms_gather_munmap_vmas */
function* gather(
  mm: Mm,
  start: Vaddr,
  end: Vaddr,
  heard: UserfaultfdUnmapCtx[],
  doomed: Vma[],
): Steps<number> {
  const E = MUNMAP_ERRORS;
  const first = mm.vmas.findFrom(start);
  if (first === null || first.start >= end) return 0;
  if (start > first.start) {
    // Only a hole adds a mapping for good; cutting an end off may be one over the limit for a moment.
    if (end < first.end && mm.mapCount >= world.sysctl.maxMapCount) return fail(E.tooMany);
    if (has(first.flags, VM_SEALED)) return fail(E.sealed);
    if (isVmHugetlb(first) && !mayCut(first, start)) return fail(E.unalignedHuge);
    yield* splitVmaUnlimited(first, start, true);
  }
  for (const vma of mm.vmas.range(start, end)) {
    // What was split before a sealed mapping is met stays split (measured on 6.18).
    if (has(vma.flags, VM_SEALED)) return fail(E.sealed);
    if (isVmHugetlb(vma) && vma.end > end && !mayCut(vma, end)) return fail(E.unalignedHuge);
    if (vma.end > end) yield* splitVmaUnlimited(vma, end, false);
    yield* vmaStartWrite(vma);
    const error = yield* userfaultfdUnmapPrep(vma, start, end, heard);
    if (error < 0) return error;
    doomed.push(vma);
  }
  return 0;
}

/** Empties the page tables of detached VMAs and frees those nobody else needs. @linux mm/vma.c unmap_region */
function* clear(mm: Mm, doomed: readonly Vma[], start: Vaddr, end: Vaddr): Steps<void> {
  const floor = mm.vmas.findBelow(start)?.end ?? 0;
  const ceiling = mm.vmas.findFrom(end)?.start ?? Number.POSITIVE_INFINITY;
  const tlb = tlbGatherMmu(mm);
  for (const vma of doomed) {
    yield* unmapPageRange(tlb, vma, vma.start, vma.end, { dropMarker: true });
  }
  for (const vma of doomed) {
    yield* unlinkAnonVmas(vma);
    yield* unlinkFileVma(vma);
  }
  yield* freePgtables(tlb, start, end, floor, ceiling);
  yield* tlbFinishMmu(tlb);
}

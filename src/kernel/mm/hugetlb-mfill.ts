/**
 * COPY, CONTINUE and POISON of huge pages. Each page is filled under its fault mutex, so that a fault never takes a page
 * of the pool for what is being filled. @linux mm/userfaultfd.c mfill_atomic_hugetlb, mm/hugetlb.c hugetlb_mfill_atomic_pte
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkMarker,
  type Pfn,
  PTE_DIRTY,
  PTE_MARKER_POISONED,
  PTE_NONE,
  pteIsMarker,
  withFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import type { ErrnoRow } from '../errno-row.ts';
import { seam } from '../seam.ts';
import type { AddressSpace } from './address-space.ts';
import { filemapLockFolio, peekFolio } from './filemap.ts';
import { folioSetLocked, folioUnlock, folioUnlockPut } from './folio-lock.ts';
import { allocTemporaryFolio } from './hugetlb.ts';
import {
  allocHugetlbFolio,
  copyHugeFolio,
  hugetlbAddNewAnonRmap,
  hugetlbAddRmap,
  hugetlbAddToPageCache,
  makeHugePte,
  putUnused,
} from './hugetlb-folio.ts';
import { hugetlbFaultMutex, hugetlbVmaLockRead, hugetlbVmaUnlockRead } from './hugetlb-lock.ts';
import { hugePteAlloc } from './hugetlb-pte.ts';
import { hstateVma, hugetlbMapping } from './hugetlb-vma.ts';
import type { Mfill, Progress } from './mfill-page.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { mkUffdWp } from './page-prot.ts';
import { ptLockOf } from './pgtable.ts';
import { linearPageIndex } from './rmap.ts';
import { copyUserPage } from './user-access.ts';
import { has, VM_SHARED } from './vm-flags.ts';

/** Where one huge page goes. */
interface Place {
  readonly vma: Vma;
  readonly address: Vaddr;
  readonly slot: number;
  readonly mapping: AddressSpace;
  readonly index: number;
}

/**
 * Fills pages while the locks are held.
 * @returns null: all done; a row: why not; 'source': the data of the next page has to be faulted in
 * Requires: the VMA lock, map_changing_lock
 */
export function* fillHugePages(
  task: Task,
  vma: Vma,
  fill: Mfill,
  progress: Progress,
): Steps<ErrnoRow | null | 'source'> {
  const h = hstateVma(vma);
  const { errnos } = fill;
  if (fill.dst % h.size !== 0 || fill.len % h.size !== 0) return errnos.cutsHuge;
  while (progress.done < fill.len) {
    const stop = yield* fillHugePage(task, vma, fill, progress);
    if (stop !== null) return stop;
    progress.done += h.size;
    if (task.thread?.signal === 'fatal') return errnos.killed;
  }
  return null;
}

function* fillHugePage(
  task: Task,
  vma: Vma,
  fill: Mfill,
  progress: Progress,
): Steps<ErrnoRow | null | 'source'> {
  const address = fill.dst + progress.done;
  const mapping = hugetlbMapping(vma);
  const index = linearPageIndex(vma, address);
  const mutex = hugetlbFaultMutex(mapping, index);
  yield* lock(mutex);
  yield* hugetlbVmaLockRead(vma);
  const slot = yield* hugePteAlloc(vma, address);
  let stop: ErrnoRow | null | 'source' = fill.errnos.noMemory;
  if (slot >= 0) {
    const place: Place = { vma, address, slot, mapping, index };
    stop =
      fill.mode === 'poison'
        ? yield* poison(place, fill)
        : fill.mode === 'continue'
          ? yield* fillContinue(place, fill)
          : yield* fillCopy(task, place, fill, progress);
  }
  hugetlbVmaUnlockRead(vma);
  unlock(mutex);
  return stop;
}

/** Never in place of anything, not even of a marker. */
function* poison({ slot }: Place, fill: Mfill): Steps<ErrnoRow | null> {
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  const free = getPte(slot) === PTE_NONE;
  if (free) setPte(slot, mkMarker(PTE_MARKER_POISONED));
  unlock(ptl);
  return free ? null : fill.errnos.exists;
}

/** A page that the file has already. */
function* fillContinue(place: Place, fill: Mfill): Steps<ErrnoRow | null> {
  const pfn = yield* filemapLockFolio(place.mapping, place.index);
  if (pfn === 0) return fill.errnos.notCached;
  const stop = yield* install(place, fill, pfn, true);
  if (stop === null) folioUnlock(pfn);
  else folioUnlockPut(pfn);
  return stop;
}

function* fillCopy(
  task: Task,
  place: Place,
  fill: Mfill,
  progress: Progress,
): Steps<ErrnoRow | null | 'source'> {
  const { vma, address, slot, mapping, index } = place;
  const { errnos } = fill;
  const { frames } = machine;
  const now = getPte(slot);
  if (now !== PTE_NONE && !pteIsMarker(now)) return errnos.exists;
  const shared = has(vma.flags, VM_SHARED);
  if (shared && peekFolio(mapping, index) !== 0) return errnos.cached;
  const pfn = yield* allocHugetlbFolio(vma, address);
  if (pfn === 0) return noHugePageRow(fill);
  if (progress.page === 0) {
    if ((yield* copyPages(task, fill.src + progress.done, pfn, true)) < 0) {
      // What is faulted in meanwhile lies in a page that is nobody's promise.
      putUnused(vma, address, pfn);
      const aside = allocTemporaryFolio(hstateVma(vma));
      if (aside === 0) return errnos.noMemory;
      progress.page = aside;
      return 'source';
    }
  } else {
    yield* copyHugeFolio(pfn, progress.page);
    frames.put(progress.page, world.owner());
    progress.page = 0;
  }
  folioSetLocked(pfn);
  const stop = shared
    ? yield* addAndInstall(place, fill, pfn)
    : yield* install(place, fill, pfn, false);
  folioUnlock(pfn);
  if (stop !== null) {
    // Once in the page cache it is the file's, whoever mapped something there first.
    if (frames.mappingOf(pfn) === 0) putUnused(vma, address, pfn);
    else frames.put(pfn, world.owner());
  }
  return stop;
}

/** What a COPY says when the pool is empty: since 6.15 as if the page were there. */
export const noHugePageRow = seam(
  'mfill.noHugePageRow',
  (fill: Mfill): ErrnoRow => fill.errnos.noHugePage,
);

/** A new page for the file itself. */
function* addAndInstall(place: Place, fill: Mfill, pfn: Pfn): Steps<ErrnoRow | null> {
  const { vma, mapping, index } = place;
  const inode = vma.file?.inode ?? null;
  if (inode === null || index * PAGE_SIZE >= inode.size) return fill.errnos.beyondEnd;
  if (!(yield* hugetlbAddToPageCache(mapping, index, pfn))) return fill.errnos.cached;
  return yield* install(place, fill, pfn, true);
}

/** Under the page-table lock: may the slot be taken? A marker's place may. */
export const hugeSlotFree = seam(
  'mfill.hugeSlotFree',
  (slot: number): boolean => getPte(slot) === PTE_NONE || pteIsMarker(getPte(slot)),
  'COPY: chk slot none or marker under PTL, of a huge page',
);

/** @returns null: the entry owns the caller's reference. Requires: the folio lock */
function* install(
  { vma, address, slot }: Place,
  fill: Mfill,
  pfn: Pfn,
  cached: boolean,
): Steps<ErrnoRow | null> {
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  const free = hugeSlotFree(slot);
  if (free) {
    if (cached) hugetlbAddRmap(pfn, vma);
    else hugetlbAddNewAnonRmap(pfn, vma, address);
    const borrowed = fill.mode === 'continue' && !has(vma.flags, VM_SHARED);
    const entry = withFlags(makeHugePte(vma, pfn, !fill.wp && !borrowed), PTE_DIRTY);
    setPte(slot, fill.wp ? mkUffdWp(entry) : entry);
  }
  unlock(ptl);
  return free ? null : fill.errnos.exists;
}

/**
 * Fills a folio with user memory, page by page.
 * @returns 0 or -EFAULT. Requires: as copyUserPage
 */
export function* copyPages(task: Task, src: Vaddr, head: Pfn, nofault: boolean): Steps<number> {
  const pages = 1 << machine.frames.order(head);
  for (let i = 0; i < pages; i++) {
    const error = yield* copyUserPage(task, src + i * PAGE_SIZE, (head + i) as Pfn, nofault);
    if (error < 0) return error;
  }
  return 0;
}

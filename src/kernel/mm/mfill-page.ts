/**
 * One page of COPY, ZEROPAGE, CONTINUE or POISON: from "the slot is known" to the entry in it.
 * @linux mm/userfaultfd.c mfill_atomic_pte, mm/shmem.c shmem_mfill_atomic_pte
 */
import { machine } from '../../machine/current.ts';
import { ZERO_PFN } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkMarker,
  mkPte,
  type Pfn,
  PTE_MARKER_POISONED,
  PTE_SPECIAL,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  pteIsMarker,
  pteNone,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { EINVAL } from '../../uapi/errno.ts';
import type { ErrnoRow } from '../errno-row.ts';
import type { Inode } from '../fs/inode.ts';
import type { UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import type { FillErrnos } from '../fs/userfaultfd-errnos.ts';
import { type Seam, seam } from '../seam.ts';
import { filemapAddFolio, filemapRemoveFolio, folioMarkUptodate, vmaInode } from './filemap.ts';
import { folioSetLocked, folioUnlock, folioUnlockPut } from './folio-lock.ts';
import { isPoisoned } from './hwpoison.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { uffdWpBit } from './mprotect.ts';
import { allocPage } from './page-alloc.ts';
import { pageProt } from './page-prot.ts';
import { ptLockOf } from './pgtable.ts';
import { tableStillThere } from './pte-offset-map.ts';
import { folioAddFileRmap, folioAddNewAnonRmap, linearPageIndex } from './rmap.ts';
import { shmemGetFolio } from './shmem.ts';
import { dirtyBits } from './soft-dirty.ts';
import { has, VM_SHARED, VM_WRITE } from './vm-flags.ts';

/** What a fill puts into a slot. @linux enum mfill_atomic_mode */
export type MfillMode = 'copy' | 'zeropage' | 'continue' | 'poison';

export interface Mfill {
  readonly ctx: UserfaultfdCtx;
  readonly mode: MfillMode;
  readonly dst: Vaddr;
  /** COPY: where the data is, in the caller's address space. */
  readonly src: Vaddr;
  readonly len: number;
  /** The new pages are write-protected. */
  readonly wp: boolean;
  readonly errnos: FillErrnos;
}

/** How far a fill has come. */
export interface Progress {
  /** Bytes. */
  done: number;
  /** A frame with the data of the page at `done`, copied while no lock was held; 0 none. */
  page: Pfn | 0;
}

/** Where a page goes. */
export interface Place {
  readonly vma: Vma;
  readonly address: Vaddr;
  readonly slot: number;
  /** Slot of the PMD entry that led to `slot`. */
  readonly pmd: number;
}

/** One page. @returns null, or why not. Requires: the VMA lock. @linux mfill_atomic_pte */
export function* fillPage(place: Place, fill: Mfill, progress: Progress): Steps<ErrnoRow | null> {
  const { vma, address } = place;
  const inode = vmaInode(vma);
  if (inode === null || fill.mode === 'poison') return yield* installAt(place, fill, progress, 0);
  const index = linearPageIndex(vma, address);
  if (fill.mode === 'continue') return yield* fillContinue(place, fill, progress, inode, index);
  // Private copies of a file's pages do not go through the page cache.
  if (!has(vma.flags, VM_SHARED)) return yield* installAt(place, fill, progress, 0);
  return yield* fillShmem(place, fill, progress, inode, index);
}

/** A new page for the file itself. @linux mm/shmem.c shmem_mfill_atomic_pte */
function* fillShmem(
  place: Place,
  fill: Mfill,
  progress: Progress,
  inode: Inode,
  index: number,
): Steps<ErrnoRow | null> {
  const { frames } = machine;
  const page = progress.page === 0 ? yield* allocPage() : progress.page;
  if (page === 0) return fill.errnos.noMemory;
  if (progress.page === 0) frames.zero(page);
  progress.page = page;
  if (index * PAGE_SIZE >= inode.size) return fill.errnos.beyondEnd;
  folioSetLocked(page);
  if (!(yield* filemapAddFolio(inode.mapping, index, page))) {
    folioUnlock(page);
    return fill.errnos.cached;
  }
  folioMarkUptodate(page);
  const stop = yield* installAt(place, fill, progress, page);
  if (stop !== null) filemapRemoveFolio(inode.mapping, index, page);
  folioUnlock(page);
  if (stop === null) progress.page = 0;
  return stop;
}

/** A page that the file has already. @linux mm/userfaultfd.c mfill_atomic_pte_continue */
function* fillContinue(
  place: Place,
  fill: Mfill,
  progress: Progress,
  inode: Inode,
  index: number,
): Steps<ErrnoRow | null> {
  const got = yield* shmemGetFolio(inode, index, 'noalloc', null);
  if (got.kind !== 'folio') {
    const beyond = got.kind === 'error' && got.errno === EINVAL;
    return beyond ? fill.errnos.continueBeyondEnd : fill.errnos.notCached;
  }
  const stop = isPoisoned(got.pfn)
    ? fill.errnos.poisoned
    : yield* installAt(place, fill, progress, got.pfn);
  if (stop === null) folioUnlock(got.pfn);
  else folioUnlockPut(got.pfn);
  return stop;
}

/**
 * Puts the entry in, if the slot may be taken.
 * @param cached a locked page of the file, whose reference the entry takes over; 0: progress.page or no page
 * @returns null, or why not
 */
function* installAt(
  place: Place,
  fill: Mfill,
  progress: Progress,
  cached: Pfn | 0,
): Steps<ErrnoRow | null> {
  const { vma, address, slot, pmd } = place;
  const { errnos } = fill;
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  let stop: ErrnoRow | null = null;
  // A page of the file takes markers' place whichever call brings it.
  const mode = cached === 0 ? fill.mode : 'copy';
  if (!tableStillThere(pmd, slot)) stop = errnos.tableGone;
  else if (!withinFile(vma, address)) stop = errnos.beyondEnd;
  else if (!slotFree(getPte(slot), mode)) stop = errnos.exists;
  else if (cached === 0) install(vma, address, slot, fill, progress);
  else installCached(vma, slot, fill, cached);
  unlock(ptl);
  return stop;
}

/** Under the page-table lock: does the file still reach as far as the page? @linux mfill_file_over_size */
export const withinFile: Seam<(vma: Vma, address: Vaddr) => boolean> = seam(
  'mfill.withinFile',
  (vma: Vma, address: Vaddr): boolean => {
    const inode = vmaInode(vma);
    return inode === null || linearPageIndex(vma, address) * PAGE_SIZE < inode.size;
  },
  'COPY: chk i_size under PTL: a truncation that has unmapped the page already would leave the new one mapped',
);

/** Requires: the page-table lock, the VMA lock, the folio lock. @linux mfill_atomic_install_pte */
function installCached(vma: Vma, slot: number, fill: Mfill, page: Pfn): void {
  let flags = pageProt(vma.flags) | dirtyBits() | PTE_YOUNG;
  if (fill.wp) flags |= uffdWpBit();
  else if (has(vma.flags, VM_SHARED) && has(vma.flags, VM_WRITE)) flags |= PTE_WRITE;
  folioAddFileRmap(page, vma);
  setPte(slot, mkPte(page, flags));
}

/** Whether a fill may take the slot. COPY replaces markers of every kind, the others only take empty slots. */
export const slotFree: Seam<(pte: Pte, mode: MfillMode) => boolean> = seam(
  'mfill.slotFree',
  (pte: Pte, mode: MfillMode): boolean => pteNone(pte) || (mode === 'copy' && pteIsMarker(pte)),
  'COPY: chk slot none or marker under PTL: somebody else may have filled it, and that page must not be lost',
);

/** Requires: the page-table lock, the VMA lock. @linux mfill_atomic_install_pte */
function install(vma: Vma, address: Vaddr, slot: number, fill: Mfill, progress: Progress): void {
  if (fill.mode === 'poison') {
    setPte(slot, mkMarker(PTE_MARKER_POISONED));
    return;
  }
  if (fill.mode === 'zeropage') {
    setPte(slot, mkPte(ZERO_PFN, pageProt(vma.flags) | PTE_SPECIAL | PTE_YOUNG));
    return;
  }
  const page = progress.page as Pfn;
  let flags = pageProt(vma.flags) | dirtyBits() | PTE_YOUNG;
  if (fill.wp) flags |= uffdWpBit();
  else if (has(vma.flags, VM_WRITE)) flags |= PTE_WRITE;
  folioAddNewAnonRmap(page, vma, address);
  setPte(slot, mkPte(page, flags));
  progress.page = 0;
}

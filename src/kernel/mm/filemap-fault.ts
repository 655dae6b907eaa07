/**
 * Faults on files on a disk: bringing the page in, and asking the file before a page is first written.
 * @linux mm/filemap.c filemap_fault, mm/memory.c do_page_mkwrite; semantics.md section 22, F-file
 */
import { must } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { type Pfn, ptePfn } from '../../machine/pte.ts';
import { getPte } from '../../machine/tables.ts';
import { lock, lockRead, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { fget, fput } from '../fs/file.ts';
import type { Inode } from '../fs/inode.ts';
import { type Seam, seam } from '../seam.ts';
import { filemapLockFolio, folioStillCached } from './filemap.ts';
import { readaheadPages, readFolio, readPages } from './filemap-read.ts';
import { folioLock, folioUnlock, folioUnlockPut } from './folio-lock.ts';
import type { Vma } from './mm-types.ts';
import { fileAsksFirst } from './page-prot.ts';
import { ptLockOf } from './pgtable.ts';
import { tableStillThere } from './pte-offset-map.ts';
import { folioMarkDirty } from './rmap.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  flagged,
  VM_FAULT_NONE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_RAND_READ, VM_SEQ_READ } from './vm-flags.ts';
import { type Fault, releaseFaultLock } from './vmf.ts';

/**
 * Under the folio lock: does the file still reach to the page? A truncation that has cut the file and has yet to remove the
 * page would unmap it again, so this decides only how early the access ends in SIGBUS.
 */
function stillInFile(inode: Inode, index: number): boolean {
  return index * PAGE_SIZE < inode.size;
}

/**
 * The page for a fault, locked and with a reference, or what the fault comes to. When the page must be read, the fault
 * lets its lock go and starts again, if it may. @linux filemap_fault
 */
export function* filemapFault(
  vmf: Fault,
  inode: Inode,
  index: number,
): Steps<Pfn | { readonly result: VmFault }> {
  const { mapping } = inode;
  for (;;) {
    if (index * PAGE_SIZE >= inode.size) return { result: VM_FAULT_SIGBUS };
    const pfn = yield* filemapLockFolio(mapping, index);
    if (pfn === 0) {
      const result = yield* readAround(vmf, inode, index);
      if (result !== VM_FAULT_NONE) return { result };
      continue;
    }
    // A read that failed, or a write that has yet to fill the page.
    yield* readFolio(mapping, index, pfn);
    if (stillInFile(inode, index)) return pfn;
    folioUnlockPut(pfn);
    return { result: VM_FAULT_SIGBUS };
  }
}

/** Reads the page and what lies around it. @returns VM_FAULT_NONE: look again. @linux do_sync_mmap_readahead, maybe_unlock_mmap_for_io */
function* readAround(vmf: Fault, inode: Inode, index: number): Steps<VmFault> {
  const { flags, vma } = vmf;
  const drops =
    flagged(flags, FAULT_FLAG_ALLOW_RETRY) &&
    !flagged(flags, FAULT_FLAG_TRIED) &&
    !flagged(flags, FAULT_FLAG_RETRY_NOWAIT);
  const [first, end] = readWindow(vma, index);
  const file = fget(must(vma.file, 'a file'));
  if (drops) releaseFaultLock(vmf);
  const error = yield* readPages(inode, first, end, index);
  yield* fput(world.current, file);
  if (drops) return VM_FAULT_RETRY;
  return error < 0 ? VM_FAULT_OOM : VM_FAULT_NONE;
}

/** Which pages a fault reads: one, those that follow, or those around (measured on 6.18). */
function readWindow(vma: Vma, index: number): readonly [number, number] {
  if (has(vma.flags, VM_RAND_READ)) return [index, index + 1];
  const pages = readaheadPages();
  if (has(vma.flags, VM_SEQ_READ)) return [index, index + pages];
  const first = Math.max(0, index - Math.floor(pages / 2));
  return [first, first + pages];
}

/**
 * Tells the file that a page is about to be written through a mapping: it is dirty from now on.
 * @returns true with the folio locked; false when the page is no longer the file's, and the access starts again
 * Requires: a reference; no page-table lock. @linux filemap_page_mkwrite
 */
export const pageMkwrite = seam(
  'filemap.pageMkwrite',
  function* (inode: Inode, index: number, pfn: Pfn): Steps<boolean> {
    const invalidate = must(inode.mapping.invalidateLock, 'invalidate_lock');
    yield* lockRead(invalidate);
    yield* folioLock(pfn);
    const same = folioStillCached(inode.mapping, index, pfn) && stillInFile(inode, index);
    if (same) folioMarkDirty(pfn);
    else folioUnlock(pfn);
    unlockRead(invalidate);
    return same;
  },
);

/** Under the page-table lock again: is it still the entry whose file was asked? */
export const slotSameAfterMkwrite: Seam<(vmf: Fault) => boolean> = seam(
  'memory.slotSameAfterMkwrite',
  (vmf: Fault): boolean => getPte(vmf.slot) === vmf.orig,
  'F-wp: chk same after mkwrite: while the file was asked the page may have been unmapped or written back',
);

/**
 * The first write to a page of a file on a disk: the file is told, then the entry becomes writable.
 * @param reuse makes the entry of the fault writable
 * Requires: the page-table lock, which it releases. @linux mm/memory.c wp_page_shared, finish_mkwrite_fault
 */
export function* wpPageShared(
  vmf: Fault,
  inode: Inode,
  reuse: (vmf: Fault) => void,
): Steps<VmFault> {
  const { slot } = vmf;
  const ptl = ptLockOf(slot);
  const pfn = ptePfn(vmf.orig);
  machine.frames.get(pfn);
  unlock(ptl);
  if (yield* pageMkwrite(inode, machine.frames.indexOf(pfn), pfn)) {
    yield* lock(ptl);
    if (tableStillThere(vmf.pmd, slot) && slotSameAfterMkwrite(vmf)) reuse(vmf);
    unlock(ptl);
    folioUnlock(pfn);
  }
  putFolio(pfn);
  return VM_FAULT_NONE;
}

/** The inode whose file must be asked before a page of a mapping is written, or null. */
export function inodeToAsk(vma: Vma): Inode | null {
  const inode = vma.file?.inode ?? null;
  return inode === null || inode.mapping.disk === null ? null : inode;
}

/** The inode that wants to be asked before a page of a mapping is written, or null. */
export function inodeToTell(vma: Vma): Inode | null {
  const inode = vma.file?.inode ?? null;
  return inode !== null && fileAsksFirst(inode) ? inode : null;
}

/** Drops a reference that a fault took. */
export function putFolio(pfn: Pfn): void {
  machine.frames.put(pfn, world.owner());
}

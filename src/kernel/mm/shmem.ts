/**
 * Shared memory: files that live in the page cache, or on the swap device (shmem-swap.ts), alone. memfds and
 * MAP_SHARED|MAP_ANONYMOUS memory are such files. A page goes only when a hole is punched, the file is truncated, or the
 * file goes.
 * @linux mm/shmem.c
 */
import { contentCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access, until } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { EINVAL, ENOENT, ENOMEM } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import { handleUserfault } from '../fs/userfaultfd.ts';
import { type Seam, seam } from '../seam.ts';
import {
  filemapAddFolio,
  filemapAddLarge,
  filemapGetFolio,
  filemapIndices,
  filemapLockFolio,
  filemapRemoveFolio,
  filemapRemoveLarge,
  folioMarkUptodate,
  folioStillCached,
  unmapMappingFolio,
  unmapMappingRange,
} from './filemap.ts';
import { folioLock, folioSetLocked, folioUnlockPut } from './folio-lock.ts';
import { splitFolio } from './huge-split.ts';
import { isPoisoned } from './hwpoison.ts';
import { allocPage } from './page-alloc.ts';
import { pmdOrder } from './pgtable.ts';
import { folioMarkDirty } from './rmap.ts';
import { peekSwapped, shmemFreeSwap } from './shmem-swap.ts';
import { shmemSwapinFolio } from './shmem-swapin.ts';
import { thpAllowable, usesHugePages } from './thp-policy.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  flagged,
  VM_FAULT_HWPOISON,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_UFFD_MINOR, VM_UFFD_MISSING } from './vm-flags.ts';
import { type Fault, releaseFaultLock } from './vmf.ts';
import type { ZapDetails } from './zap.ts';

/**
 * What is wanted of a page: to read it, to fault it in, only if it exists, to write it, to have it beyond the end too.
 * @linux include/linux/shmem_fs.h enum sgp_type
 */
export type Sgp = 'read' | 'noalloc' | 'cache' | 'write' | 'falloc';

/** What came of it. A folio is locked and has a reference for the caller. */
export type GotFolio =
  | { readonly kind: 'folio'; readonly pfn: Pfn }
  | { readonly kind: 'hole' }
  | { readonly kind: 'error'; readonly errno: number }
  | { readonly kind: 'userfault'; readonly result: VmFault };

const HOLE: GotFolio = { kind: 'hole' };

function error(errno: number): GotFolio {
  return { kind: 'error', errno };
}

/** Whether a page lies beyond the end of the file for who may not reach there. */
function beyondSize(inode: Inode, index: number, sgp: Sgp): boolean {
  return sgp !== 'write' && sgp !== 'falloc' && index * PAGE_SIZE >= inode.size;
}

/** After a new page went into the cache: is it still within the file? */
export const stillWithinSize: Seam<(inode: Inode, index: number, sgp: Sgp) => boolean> = seam(
  'shmem.stillWithinSize',
  (inode: Inode, index: number, sgp: Sgp): boolean => !beyondSize(inode, index, sgp),
  'F-file: chk i_size under folio lock: a truncation that has passed the index already would never remove the page',
);

/**
 * Finds or makes the page of a file at an index.
 * @param vmf of a fault: its VMA may want userfaultfd to be asked instead
 * @linux mm/shmem.c shmem_get_folio_gfp
 */
export function* shmemGetFolio(
  inode: Inode,
  index: number,
  sgp: Sgp,
  vmf: Fault | null,
): Steps<GotFolio> {
  const { mapping } = inode;
  for (;;) {
    const found = yield* filemapGetFolio(mapping, index);
    const slot = found === 0 ? peekSwapped(mapping, index) : 0;
    if (beyondSize(inode, index, sgp)) {
      if (found !== 0) machine.frames.put(found, world.owner());
      return error(EINVAL);
    }
    if ((found !== 0 || slot !== 0) && vmf !== null && has(vmf.vma.flags, VM_UFFD_MINOR)) {
      if (found !== 0) machine.frames.put(found, world.owner());
      return { kind: 'userfault', result: yield* handleUserfault(vmf, 'minor') };
    }
    if (slot !== 0) {
      const pfn = yield* shmemSwapinFolio(mapping, index, slot);
      if (pfn === null) continue;
      return pfn === 0 ? error(ENOMEM) : { kind: 'folio', pfn };
    }
    if (found !== 0) {
      yield* folioLock(found);
      if (folioStillCached(mapping, index, found)) {
        // A second fallocate makes good what the first one promised.
        if (sgp !== 'read') folioMarkUptodate(found);
        return { kind: 'folio', pfn: found };
      }
      folioUnlockPut(found);
      continue;
    }
    if (sgp === 'read') return HOLE;
    if (sgp === 'noalloc') return error(ENOENT);
    if (vmf !== null && has(vmf.vma.flags, VM_UFFD_MISSING)) {
      return { kind: 'userfault', result: yield* handleUserfault(vmf, 'missing') };
    }
    const huge = vmf === null ? null : yield* allocAndAddHuge(inode, index, vmf);
    if (huge !== null) return huge;
    const made = yield* allocAndAdd(inode, index, sgp);
    if (made !== null) return made;
  }
}

/** A huge folio around the page, where the mapping wants them and nothing is in the way. @returns null: a small one */
function* allocAndAddHuge(inode: Inode, index: number, vmf: Fault): Steps<GotFolio | null> {
  if (!usesHugePages() || !thpAllowable(vmf.vma, 'fault', vmf.address)) return null;
  const head = machine.frames.allocFolio(world.owner(), pmdOrder());
  if (head === 0) return null;
  folioSetLocked(head);
  const first = index - (index % machine.geometry.ptrsPerPte);
  if (!(yield* filemapAddLarge(inode.mapping, first, head))) {
    folioUnlockPut(head);
    return null;
  }
  for (let i = 0; i < machine.geometry.ptrsPerPte; i++) machine.frames.zero((head + i) as Pfn);
  folioMarkUptodate(head);
  return { kind: 'folio', pfn: (head + index - first) as Pfn };
}

/** @returns null when somebody else added a page first: look again. @linux shmem_alloc_and_add_folio */
function* allocAndAdd(inode: Inode, index: number, sgp: Sgp): Steps<GotFolio | null> {
  const { mapping } = inode;
  const pfn = yield* allocPage();
  if (pfn === 0) return error(ENOMEM);
  machine.frames.zero(pfn);
  folioSetLocked(pfn);
  if (!(yield* filemapAddFolio(mapping, index, pfn))) {
    folioUnlockPut(pfn);
    return null;
  }
  if (sgp !== 'falloc') folioMarkUptodate(pfn);
  if (stillWithinSize(inode, index, sgp)) return { kind: 'folio', pfn };
  filemapRemoveFolio(mapping, index, pfn);
  folioUnlockPut(pfn);
  return error(EINVAL);
}

/** A page for a fault, or what the fault comes to. @linux mm/shmem.c shmem_fault */
export function* shmemFault(vmf: Fault, inode: Inode, index: number): Steps<Pfn | VmFaultResult> {
  if (inPunchedHole(inode, index)) return { result: yield* shmemFallocWait(vmf, inode) };
  const got = yield* shmemGetFolio(inode, index, 'cache', vmf);
  switch (got.kind) {
    case 'folio':
      if (!isPoisoned(got.pfn)) return got.pfn;
      folioUnlockPut(got.pfn);
      return { result: VM_FAULT_HWPOISON };
    case 'userfault':
      return { result: got.result };
    default:
      return {
        result: got.kind === 'error' && got.errno === ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS,
      };
  }
}

/** A fault that brought no page. */
export interface VmFaultResult {
  readonly result: VmFault;
}

/**
 * Whether a fault has to wait for a hole that is being punched; otherwise it could bring pages back as fast as they are
 * taken out, and the punch would never end. 3.16 and later. @linux mm/shmem.c shmem_fault
 */
export const inPunchedHole: Seam<(inode: Inode, index: number) => boolean> = seam(
  'shmem.inPunchedHole',
  (inode: Inode, index: number): boolean => {
    const { punching } = inode;
    return punching !== null && index >= punching.start && index < punching.end;
  },
);

/** Waits for the punch with the fault's lock dropped, where the fault allows that. @linux shmem_falloc_wait */
function* shmemFallocWait(vmf: Fault, inode: Inode): Steps<VmFault> {
  const { flags } = vmf;
  const drops =
    flagged(flags, FAULT_FLAG_ALLOW_RETRY) &&
    !flagged(flags, FAULT_FLAG_TRIED) &&
    !flagged(flags, FAULT_FLAG_RETRY_NOWAIT);
  if (drops) releaseFaultLock(vmf);
  const done = (): boolean => inode.punching === null;
  yield* until('hole being punched', inode.punchCell, READ, done, 'the end of a hole punch');
  return drops ? VM_FAULT_RETRY : VM_FAULT_NOPAGE;
}

/**
 * How truncation and hole punching unmap a range before they remove its pages: write-protection stays behind, since a
 * fault may bring the page back before it is removed.
 */
export const firstUnmap: Seam<(evenCows: boolean) => ZapDetails> = seam(
  'shmem.firstUnmap',
  (evenCows: boolean): ZapDetails => ({ dropMarker: false, evenCows }),
);

/**
 * Changes the size of a file. Shrinking unmaps what is beyond the new end, removes the pages, and unmaps again, since a
 * fault may have made private copies meanwhile.
 * Requires: the inode lock; seals allow it. @linux mm/shmem.c shmem_setattr
 */
export function* shmemSetSize(inode: Inode, size: number): Steps<void> {
  const { mapping } = inode;
  const before = inode.size;
  if (sched.wants()) yield* access('set size', inode.sizeCell, WRITE);
  if (size !== before) inode.size = size;
  if (size > before) return;
  const first = Math.ceil(size / PAGE_SIZE);
  const unmaps = before > first * PAGE_SIZE;
  if (unmaps) yield* unmapMappingRange(mapping, first, Number.POSITIVE_INFINITY, firstUnmap(true));
  yield* zeroPart(inode, size, first * PAGE_SIZE);
  while (yield* removePages(inode, first, Number.POSITIVE_INFINITY));
  if (unmaps) yield* unmapMappingRange(mapping, first, Number.POSITIVE_INFINITY, firstUnmap(true));
}

/**
 * Punches a hole: whole pages go, bytes of partial pages become zero; private copies stay.
 * Requires: the inode lock; seals allow it. @linux mm/shmem.c shmem_fallocate
 */
export function* shmemPunchHole(inode: Inode, offset: number, length: number): Steps<void> {
  const end = offset + length;
  const first = Math.ceil(offset / PAGE_SIZE);
  const last = Math.floor(end / PAGE_SIZE);
  if (sched.wants()) yield* access('punch hole', inode.punchCell, WRITE);
  inode.punching = { start: Math.floor(offset / PAGE_SIZE), end: Math.ceil(end / PAGE_SIZE) };
  // A hole that ends within the first page of the file unmaps all that follows its beginning (measured on 6.18.44).
  const until = last === 0 ? Number.POSITIVE_INFINITY : last;
  if (until > first) yield* unmapMappingRange(inode.mapping, first, until, firstUnmap(false));
  if (first > last) {
    yield* zeroPart(inode, offset, end);
  } else {
    yield* zeroPart(inode, offset, first * PAGE_SIZE);
    yield* removePages(inode, first, last);
    yield* zeroPart(inode, last * PAGE_SIZE, end);
  }
  if (sched.wants()) yield* access('punched', inode.punchCell, WRITE);
  inode.punching = null;
}

/** @returns whether there were any. @linux mm/shmem.c shmem_undo_range, mm/truncate.c truncate_inode_folio */
function* removePages(inode: Inode, first: number, end: number): Steps<boolean> {
  const { mapping } = inode;
  const indices = yield* filemapIndices(mapping, first, end);
  for (const index of indices) {
    const pfn = yield* filemapLockFolio(mapping, index);
    if (pfn === 0) {
      shmemFreeSwap(mapping, index);
      continue;
    }
    if (machine.frames.mapcount(pfn) > 0) yield* unmapMappingFolio(mapping, pfn);
    if (yield* splitFolio(pfn)) {
      filemapRemoveFolio(mapping, index, pfn);
    } else if (wholeIn(pfn, first, end)) {
      filemapRemoveLarge(mapping, machine.frames.head(pfn));
    } else {
      // Part of a large folio that somebody uses: it stays, empty there. @linux truncate_inode_partial_folio
      machine.frames.zero(pfn);
    }
    folioUnlockPut(pfn);
  }
  return indices.length > 0;
}

/** Whether all pages of the folio lie in [first, end). */
function wholeIn(pfn: Pfn, first: number, end: number): boolean {
  const { frames } = machine;
  const index = frames.indexOf(frames.head(pfn));
  return index >= first && index + (1 << frames.order(pfn)) <= end;
}

/** Zeroes bytes [from, to) of one page, if it is there. Both lie in it, or are its ends. */
function* zeroPart(inode: Inode, from: number, to: number): Steps<void> {
  if (from >= to) return;
  const index = Math.floor(from / PAGE_SIZE);
  const pfn = yield* partialFolio(inode, index);
  if (pfn === 0) return;
  folioMarkDirty(pfn);
  const { frames } = machine;
  const start = from % PAGE_SIZE;
  const length = Math.min(to - from, frames.contentBytes - start);
  if (length > 0) frames.write(pfn, start, new Uint8Array(length));
  else sched.touch(contentCell(pfn), READ);
  folioUnlockPut(pfn);
}

/** The page, locked; one on the swap device comes back, at least where memory allows. @linux shmem_get_partial_folio */
function* partialFolio(inode: Inode, index: number): Steps<Pfn | 0> {
  for (;;) {
    const pfn = yield* filemapLockFolio(inode.mapping, index);
    const slot = pfn === 0 ? peekSwapped(inode.mapping, index) : 0;
    if (slot === 0) return pfn;
    const back = yield* shmemSwapinFolio(inode.mapping, index, slot);
    if (back !== null) return back;
  }
}

/**
 * Makes pages exist in [offset, offset + length), and the file reach there unless `keepSize`.
 * @returns 0 or -ENOMEM
 * Requires: the inode lock; seals allow it. @linux mm/shmem.c shmem_fallocate
 */
export function* shmemAllocate(
  inode: Inode,
  offset: number,
  length: number,
  keepSize: boolean,
): Steps<number> {
  const end = offset + length;
  for (let i = Math.floor(offset / PAGE_SIZE); i < Math.ceil(end / PAGE_SIZE); i++) {
    const got = yield* shmemGetFolio(inode, i, 'falloc', null);
    if (got.kind === 'error') return -got.errno;
    if (got.kind === 'folio') {
      folioMarkDirty(got.pfn);
      folioUnlockPut(got.pfn);
    }
  }
  if (!keepSize && end > inode.size) {
    if (sched.wants()) yield* access('set size', inode.sizeCell, WRITE);
    inode.size = end;
  }
  return 0;
}

/** The last user of a file is gone, and every mapping of it with him: its pages go. @linux mm/shmem.c shmem_evict_inode */
export function* shmemEvictInode(inode: Inode): Steps<void> {
  const { mapping } = inode;
  if (mapping.pages.size > 0 || mapping.swapped !== null) {
    while (yield* removePages(inode, 0, Number.POSITIVE_INFINITY));
  }
  world.mappings.delete(mapping.id);
}

/** Takes the inode lock for one operation. */
export function* withInodeLock(inode: Inode, body: () => Steps<number>): Steps<number> {
  yield* lock(inode.lock);
  const result = yield* body();
  unlock(inode.lock);
  return result;
}

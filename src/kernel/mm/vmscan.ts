/**
 * Reclaim of one page (semantics.md section 22, SWAPOUT). An anonymous one:
 *
 *   lock the folio | slot and swap cache | every mapping: clear, flush, swap entry | write | nobody else? out of the cache
 *
 * One of shared memory, of which no entry may know that it is swapped:
 *
 *   lock the folio | every mapping: clear, flush, empty or a marker | slot and swap cache | page cache: slot | write | the same
 *
 * Every flush is part of the step that clears, as Linux does it where it does not batch.
 * @linux mm/vmscan.c shrink_folio_list, mm/rmap.c try_to_unmap
 */
import { contentCell, refcountCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import {
  GUP_PIN_COUNTING_BIAS,
  PG_ANON,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_LAZYFREE,
  PG_SWAPCACHE,
} from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkMarker,
  mkSwap,
  type Pfn,
  PTE_MARKER_UFFD_WP,
  PTE_NONE,
  PTE_SOFT_DIRTY,
  PTE_UFFD_WP,
  pteDirty,
  ptePfn,
  ptePresent,
  pteSpecial,
  SWP_EXCLUSIVE,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access, pause } from '../../sched/access.ts';
import { ADD, READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lockRead, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import { PG_WRITEBACK } from './address-space.ts';
import { filemapRemoveFolio } from './filemap.ts';
import { folioTrylock, folioUnlockPut } from './folio-lock.ts';
import { splitFolio } from './huge-split.ts';
import { isPoisoned } from './hwpoison.ts';
import { isKsm } from './ksm-page.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { ptLockOf } from './pgtable.ts';
import { entryAt, lockEntries, pteOffsetMapLock } from './pte-offset-map.ts';
import {
  folioMarkDirty,
  folioRemoveRmap,
  type RmapPlace,
  rmapFilePlaces,
  rmapPlaces,
} from './rmap.ts';
import { shmemWriteout } from './shmem-swap.ts';
import {
  deleteFromSwapCache,
  folioAllocSwap,
  folioSwapOffset,
  swapDuplicate,
  swapWriteout,
} from './swapfile.ts';
import { flushNow } from './tlb.ts';
import { has, VM_DROPPABLE, VM_LOCKED } from './vm-flags.ts';
import { installsUffdWp } from './zap.ts';

/** Under the folio lock: does only the cache, and the caller, refer to the folio? */
export const nobodyElse = seam(
  'vmscan.nobodyElse',
  (pfn: Pfn): boolean => machine.frames.refcount(pfn) === 2,
  'SWAPOUT: chk refs: whoever found the page meanwhile may be changing it',
);

/**
 * Moves a page to the swap device, unless somebody else is busy with it or there is no room; one of a file that nobody
 * ever wrote is dropped (measured on 6.18).
 *
 * Differs from Linux: a large folio is split before it goes, instead of going to consecutive slots as one and being split
 * when it comes back. On a device with room in a row the slots are the same.
 * @param pfn a reference to it is given up
 * Requires: no page-table lock, no folio lock. @linux shrink_folio_list
 */
export function* pageoutFolio(pfn: Pfn): Steps<void> {
  yield* pause('lock folio');
  if (!folioTrylock(pfn)) {
    yield* putFolio(pfn);
    return;
  }
  const { frames } = machine;
  const [head, pages] = [frames.head(pfn), 1 << frames.order(pfn)];
  if (isPoisoned(pfn) || isKsm(pfn) || !(yield* splitFolio(pfn, world.swap === null))) {
    folioUnlockPut(pfn);
    return;
  }
  const others: Pfn[] = [];
  for (let other = head; other < head + pages; other = (other + 1) as Pfn) {
    if (other === pfn || frames.refcount(other) === 0) continue;
    frames.get(other);
    others.push(other);
  }
  if (frames.hasFlag(pfn, PG_ANON)) yield* pageoutAnon(pfn);
  else yield* pageoutShmem(pfn);
  folioUnlockPut(pfn);
  for (const other of others) yield* pageoutFolio(other);
}

/** Requires: the folio lock. */
function* pageoutAnon(pfn: Pfn): Steps<void> {
  if (machine.frames.hasFlag(pfn, PG_LAZYFREE)) {
    yield* walkFolioPlaces(pfn, discardLazyfree);
    return;
  }
  if (!(yield* swapBacked(pfn))) return;
  yield* tryToUnmap(pfn);
  if (machine.frames.mapcount(pfn) === 0) yield* writeAndFree(pfn);
}

/** Requires: the folio lock. Whoever has a reference besides may be reading or writing: the page stays, unmapped. */
function* pageoutShmem(pfn: Pfn): Steps<void> {
  const { frames } = machine;
  const mapping = world.mappings.get(-(frames.mapping[pfn] ?? 0));
  // Truncated meanwhile, or on its way out or in.
  if (mapping === undefined) {
    if (frames.hasFlag(pfn, PG_SWAPCACHE)) yield* writeAndFree(pfn);
    return;
  }
  if (frames.hasFlag(pfn, PG_WRITEBACK)) return;
  if (frames.mapcount(pfn) > 0) yield* walkFolioPlaces(pfn, unmapFileOne);
  if (frames.mapcount(pfn) > 0) return;
  if (sched.wants()) yield* access('unmapped', refcountCell(pfn), READ);
  if (!nobodyElse(pfn)) return;
  if (!frames.hasFlag(pfn, PG_DIRTY)) {
    filemapRemoveFolio(mapping, frames.index[pfn] ?? 0, pfn);
    return;
  }
  // Dirty pages of files on a disk wait for whoever writes them back.
  if (world.swap === null || mapping.disk !== null) return;
  if (!(yield* shmemWriteout(mapping, pfn))) return;
  yield* writeAndFree(pfn);
}

/** Requires: the folio lock; an unmapped folio in the swap cache. */
function* writeAndFree(pfn: Pfn): Steps<void> {
  if (sched.wants()) yield* access('write to swap', contentCell(pfn), READ);
  swapWriteout(pfn);
  if (sched.wants()) yield* access('free swapped page', refcountCell(pfn), READ);
  if (nobodyElse(pfn)) deleteFromSwapCache(pfn);
}

function* putFolio(pfn: Pfn): Steps<void> {
  if (sched.wants()) yield* access('put folio', refcountCell(pfn), ADD);
  machine.frames.put(pfn, world.owner());
}

/** Sees to it that the folio has a slot. Requires: the folio lock. @returns false: it stays in memory */
function* swapBacked(pfn: Pfn): Steps<boolean> {
  const { frames } = machine;
  if (world.swap === null) return false;
  if (folioSwapOffset(pfn) !== 0) return true;
  if (world.swap === null || !frames.hasFlag(pfn, PG_ANON)) return false;
  if (frames.mapcount(pfn) === 0 || frames.refcount(pfn) >= GUP_PIN_COUNTING_BIAS) return false;
  return yield* folioAllocSwap(pfn);
}

/**
 * Turns every entry that maps the folio into a swap entry; entries in locked memory stay, and so does the page.
 * Requires: the folio lock; the folio is in the swap cache. @linux try_to_unmap, try_to_unmap_one
 */
function* tryToUnmap(pfn: Pfn): Steps<void> {
  yield* walkFolioPlaces(pfn, unmapOne);
}

/** What is done with an entry that may map the folio. Requires: its page-table lock. */
export type OnePlace = (pfn: Pfn, place: RmapPlace, slot: number) => void;

/**
 * Visits, under its page-table lock, every entry that may map a folio, up to locked memory.
 * Requires: a reference. @linux rmap_walk
 */
export function* walkFolioPlaces(pfn: Pfn, visit: OnePlace, lockedToo = false): Steps<void> {
  const { frames } = machine;
  const anonVma = world.anonVmas.get(frames.mapping[pfn] ?? 0);
  const mapping = world.mappings.get(-(frames.mapping[pfn] ?? 0));
  const rmapLock = anonVma?.root.lock ?? mapping?.iMmapLock;
  if (rmapLock === undefined) return;
  yield* lockRead(rmapLock);
  const places = mapping === undefined ? rmapPlaces(pfn) : rmapFilePlaces(pfn, mapping);
  for (const place of places) {
    if (yield* unmapPlace(pfn, place, visit, lockedToo)) break;
  }
  unlockRead(rmapLock);
}

/**
 * Drops a page that MADV_FREE gave up, or a droppable one, unless it was written since or somebody else uses it.
 * @linux mm/rmap.c try_to_unmap_one
 */
function discardLazyfree(pfn: Pfn, { vma, address }: RmapPlace, slot: number): void {
  const { frames } = machine;
  const pte = getPte(slot);
  if (!ptePresent(pte) || pteSpecial(pte) || ptePfn(pte) !== pfn) return;
  const written = pteDirty(pte) || frames.hasFlag(pfn, PG_DIRTY);
  if (written && !has(vma.flags, VM_DROPPABLE)) {
    frames.clearFlag(pfn, PG_LAZYFREE);
    frames.setFlag(pfn, PG_DIRTY);
    return;
  }
  if (frames.refcount(pfn) !== frames.mapcount(pfn) + 1) return;
  setPte(slot, PTE_NONE);
  flushNow(vma.mm, address, address + PAGE_SIZE);
  folioRemoveRmap(pfn, vma);
  frames.put(pfn, world.owner());
}

/**
 * Nothing keeps the address space from ending meanwhile: RCU keeps its tables.
 * @returns whether locked memory maps the folio here: it stays. Locked memory that could map it and does not is no obstacle.
 */
function* unmapPlace(
  pfn: Pfn,
  place: RmapPlace,
  unmap: OnePlace,
  lockedToo: boolean,
): Steps<boolean> {
  const { mm } = place.vma;
  const { address } = place;
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'clear', address, address + PAGE_SIZE);
  world.rcu.readLock();
  const slot = yield* pteOffsetMapLock(mm, address);
  let locked = false;
  if (slot >= 0) {
    const pte = getPte(slot);
    const maps = ptePresent(pte) && !pteSpecial(pte) && ptePfn(pte) === pfn;
    locked = maps && !lockedToo && has(place.vma.flags, VM_LOCKED);
    if (!locked) unmap(pfn, place, slot);
    unlock(ptLockOf(slot));
  }
  world.rcu.readUnlock();
  yield* mmuNotifierInvalidateRangeEnd(range);
  return locked;
}

/** Unmaps a page of a file, from locked memory too. Requires: the folio lock. @linux try_to_unmap with TTU_IGNORE_MLOCK */
export function* unmapFileFolio(pfn: Pfn): Steps<void> {
  if (machine.frames.mapcount(pfn) > 0) yield* walkFolioPlaces(pfn, unmapFileOne, true);
}

/** A page of a file: the slot becomes empty, or remembers write protection. Requires: the page-table lock. */
function unmapFileOne(pfn: Pfn, { vma, address }: RmapPlace, slot: number): void {
  const pte = getPte(slot);
  if (!ptePresent(pte) || pteSpecial(pte) || ptePfn(pte) !== pfn) return;
  const keeps = installsUffdWp(vma, pte, { dropMarker: false });
  setPte(slot, keeps ? mkMarker(PTE_MARKER_UFFD_WP) : PTE_NONE);
  flushNow(vma.mm, address, address + PAGE_SIZE);
  if (pteDirty(pte)) folioMarkDirty(pfn);
  folioRemoveRmap(pfn, vma);
  machine.frames.put(pfn, world.owner());
}

/** Requires: the page-table lock. */
function unmapOne(pfn: Pfn, { vma, address }: RmapPlace, slot: number): void {
  const { frames } = machine;
  const pte = getPte(slot);
  if (!ptePresent(pte) || pteSpecial(pte) || ptePfn(pte) !== pfn) return;
  if (vma.mm.hasPinned && frames.refcount(pfn) >= GUP_PIN_COUNTING_BIAS) return;
  const offset = folioSwapOffset(pfn);
  const exclusive = frames.hasFlag(pfn, PG_ANON_EXCLUSIVE);
  const saved = pte & (PTE_SOFT_DIRTY | PTE_UFFD_WP);
  swapDuplicate(offset);
  setPte(slot, mkSwap(offset, saved | (exclusive ? SWP_EXCLUSIVE : 0)));
  flushNow(vma.mm, address, address + PAGE_SIZE);
  if (exclusive) frames.clearFlag(pfn, PG_ANON_EXCLUSIVE);
  if (pteDirty(pte)) frames.setFlag(pfn, PG_DIRTY);
  folioRemoveRmap(pfn, vma);
  vma.mm.rss.swap++;
  frames.put(pfn, world.owner());
}

/**
 * Reclaim picks the page at an address, as it may at any time: the actor of `adversary pageout`.
 * Requires: no lock. @linux kswapd
 */
export function* reclaimAddress(mm: Mm, address: Vaddr): Steps<void> {
  const entries = yield* lockEntries(mm, address);
  if (entries === null) return;
  const pte = entryAt(entries, 0);
  const found = ptePresent(pte) && !pteSpecial(pte);
  if (found) machine.frames.get(ptePfn(pte));
  unlock(entries.lock);
  if (found) yield* pageoutFolio(ptePfn(pte));
}

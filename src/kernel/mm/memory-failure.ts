/**
 * Memory that has failed. A hard failure takes the page out of every page table and leaves a mark there, so that who
 * touches it gets SIGBUS; a page of shared memory stays in its file, and reads of it say EIO, until the hole is punched.
 * A soft one moves the content away in time and nobody notices.
 *
 *   mark the frame | lock the folio | every mapping: clear, flush, hwpoison entry | unlock; the reference is never dropped
 *
 * Differs from Linux: pages in the swap cache and large folios are left alone (EBUSY). Processes hear of the failure
 * when they touch the page, as with vm.memory_failure_early_kill=0, and by BUS_ADRERR, as everywhere here.
 * @linux mm/memory-failure.c; Documentation/mm/hwpoison.rst
 */
import { folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON_EXCLUSIVE, PG_SWAPCACHE } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkHwpoison,
  type Pfn,
  pteDirty,
  ptePfn,
  ptePresent,
  pteSpecial,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access } from '../../sched/access.ts';
import { WRITE } from '../../sched/cell.ts';
import type { Steps } from '../../sched/op.ts';
import { EBUSY, EHWPOISON } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { folioLock, folioUnlock } from './folio-lock.ts';
import { isPoisoned, PG_HWPOISON } from './hwpoison.ts';
import { folioAt, migrateFolio } from './migrate.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { folioMarkDirty, folioRemoveRmap, type RmapPlace } from './rmap.ts';
import { rmapWalk } from './rmap-walk.ts';
import { flushNow } from './tlb.ts';

/**
 * A page's memory has failed.
 * @param pfn a reference to it is taken over, and kept for ever
 * @returns 0; -EHWPOISON: it had failed before; -EBUSY: it cannot be dealt with
 * Requires: no page-table lock, no folio lock. @linux memory_failure
 */
export function* memoryFailure(pfn: Pfn): Steps<number> {
  const { frames } = machine;
  yield* access('poison frame', folioCell(pfn), WRITE);
  const poisoned = isPoisoned(pfn);
  if (poisoned || frames.order(frames.head(pfn)) > 0) {
    frames.put(pfn, world.owner());
    return poisoned ? -EHWPOISON : -EBUSY;
  }
  yield* folioLock(pfn);
  if (frames.hasFlag(pfn, PG_SWAPCACHE)) {
    folioUnlock(pfn);
    frames.put(pfn, world.owner());
    return -EBUSY;
  }
  retire(pfn);
  yield* rmapWalk(pfn, (place, slot) => poisonEntry(pfn, place, slot));
  folioUnlock(pfn);
  return 0;
}

/** The frame is nobody's to hand out from now on: a reference stays for ever. */
function retire(pfn: Pfn): void {
  machine.frames.setFlag(pfn, PG_HWPOISON);
  machine.frames.inUse--;
}

/** Requires: the page-table lock. @linux mm/rmap.c try_to_unmap_one with TTU_HWPOISON */
function poisonEntry(pfn: Pfn, { vma, address }: RmapPlace, slot: number): void {
  const { frames } = machine;
  const pte = getPte(slot);
  if (!ptePresent(pte) || pteSpecial(pte) || ptePfn(pte) !== pfn) return;
  setPte(slot, mkHwpoison(pfn));
  flushNow(vma.mm, address, address + PAGE_SIZE);
  if (frames.hasFlag(pfn, PG_ANON_EXCLUSIVE)) frames.clearFlag(pfn, PG_ANON_EXCLUSIVE);
  if (pteDirty(pte)) folioMarkDirty(pfn);
  folioRemoveRmap(pfn, vma);
  frames.put(pfn, world.owner());
}

/** The memory behind an address fails: the actor of `adversary hwpoison`. Requires: no lock */
export function* poisonAddress(mm: Mm, address: Vaddr): Steps<void> {
  const pfn = yield* folioAt(mm, address);
  if (pfn !== 0) yield* memoryFailure(pfn);
}

/**
 * The memory behind an address is about to fail: its content moves, and its frame is not used again.
 * Requires: no lock. @linux soft_offline_page
 */
export function* softOfflineAddress(mm: Mm, address: Vaddr): Steps<void> {
  const pfn = yield* folioAt(mm, address);
  if (pfn !== 0) yield* migrateFolio(pfn, retire);
}

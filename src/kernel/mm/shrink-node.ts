/**
 * Reclaim under memory pressure: which pages go. A hand goes round over all frames; a page that was accessed since the hand
 * came by last is spared once, in the end nothing is.
 *
 *   find a page in use | was it accessed? clear that, spare it | else: as MADV_PAGEOUT does with it (vmscan.ts) | next
 *
 * Goes: pages given up with MADV_FREE and droppable ones, clean pages of files, and where there is room on the swap device
 * private and shared memory. Stays: locked memory, pages that a device or a call has a hold on, large folios.
 *
 * Differs from Linux: one list in the order of frames, with one bit of age, stands for the active and the inactive lists, and
 * there are no generations, priorities, swappiness or control groups; a search ends with 32 pages found.
 *
 * @linux mm/vmscan.c try_to_free_pages, shrink_node, shrink_active_list
 */
import { freeCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON, PG_LAZYFREE, PG_SWAPCACHE, ZERO_PFN } from '../../machine/frames.ts';
import {
  type Pfn,
  PTE_YOUNG,
  ptePfn,
  ptePresent,
  pteSpecial,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { pageoutFolio, walkFolioPlaces } from './vmscan.ts';

/** Pages that one search is out for. @linux SWAP_CLUSTER_MAX */
const SWAP_CLUSTER_MAX = 32;

/**
 * Looks for pages that can be had, and takes them.
 * Requires: no spinlock, no RCU read section, no folio lock that is needed for going on. @linux try_to_free_pages
 */
export function* tryToFreePages(): Steps<void> {
  const { frames } = machine;
  // Where every schedule is tried, one page more or less is a schedule.
  const goal = Math.max(0, frames.inUse - (sched.exploring ? 1 : SWAP_CLUSTER_MAX));
  for (const spares of [true, true, false]) {
    yield* shrinkNode(goal, spares);
    if (frames.inUse <= goal) return;
  }
}

/** Once round all frames, or until `goal` frames are in use. */
function* shrinkNode(goal: number, spares: boolean): Steps<void> {
  const { frames } = machine;
  for (let i = 0; i < frames.count && frames.inUse > goal; i++) {
    const pfn = world.scanHand as Pfn;
    world.scanHand = (world.scanHand + 1) % frames.count;
    if (!onLru(pfn)) continue;
    if (sched.wants()) yield* access('scan', freeCell(), READ);
    if (!onLru(pfn)) continue;
    frames.get(pfn);
    if (spares && (yield* folioReferenced(pfn))) frames.put(pfn, world.owner());
    else yield* pageoutFolio(pfn);
  }
}

/** Whether the frame holds a page that reclaim could take. */
function onLru(pfn: Pfn): boolean {
  const { frames } = machine;
  if (pfn <= ZERO_PFN || frames.refcount(pfn) === 0 || frames.order(pfn) !== 0) return false;
  const flags = frames.flags[pfn] ?? 0;
  if ((flags & PG_SWAPCACHE) !== 0) return true;
  if ((flags & PG_ANON) === 0) return (frames.mapping[pfn] ?? 0) < 0;
  return (flags & PG_LAZYFREE) !== 0 || hasRoomOnSwap();
}

function hasRoomOnSwap(): boolean {
  const { swap } = world;
  return swap?.writable === true && swap.used < swap.slots;
}

/** Whether the page was accessed through any entry since this was asked last. @linux mm/rmap.c folio_referenced */
export function* folioReferenced(pfn: Pfn): Steps<boolean> {
  let young = false;
  yield* walkFolioPlaces(pfn, (_folio, _place, slot) => {
    const pte = getPte(slot);
    if (!ptePresent(pte) || pteSpecial(pte) || ptePfn(pte) !== pfn) return;
    if ((pte & PTE_YOUNG) === 0) return;
    young = true;
    // TLBs keep what they have: an access through them is not noted. As on x86.
    setPte(slot, withoutFlags(pte, PTE_YOUNG));
  });
  return young;
}

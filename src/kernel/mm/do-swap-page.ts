/**
 * A fault on a page that is on the swap device (semantics.md section 22, F-swap):
 *
 *   hold the device | find or read the folio | lock it, look whether it still is the slot's | look at the entry again, install
 *
 * @linux mm/memory.c do_swap_page
 */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import {
  mkPte,
  type Pfn,
  PTE_SOFT_DIRTY,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  pteUffdWp,
  pteWrite,
  SWP_EXCLUSIVE,
  swpOffset,
  withFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { seam } from '../seam.ts';
import { folioUnlock, folioUnlockPut } from './folio-lock.ts';
import { mkUffdWp, pageProt } from './page-prot.ts';
import { ptLockOf } from './pgtable.ts';
import { tableStillThere } from './pte-offset-map.ts';
import { folioAddSwappedAnonRmap } from './rmap.ts';
import { dirtyBits, needsSoftDirtyWp } from './soft-dirty.ts';
import { type SwappedIn, swapinFolio } from './swap-state.ts';
import {
  folioFreeSwap,
  folioSwapOffset,
  getSwapDevice,
  putSwapDevice,
  swapDevice,
  swapFree,
} from './swapfile.ts';
import {
  FAULT_FLAG_WRITE,
  flagged,
  VM_FAULT_NONE,
  VM_FAULT_OOM,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_LOCKED, VM_UFFD_WP, VM_WRITE } from './vm-flags.ts';
import type { Fault } from './vmf.ts';

/** Under the folio lock: does the folio still stand for the slot? */
export const folioStillSwapped = seam(
  'swap.folioStillSwapped',
  (pfn: Pfn, offset: number): boolean => folioSwapOffset(pfn) === offset,
  'F-swap: chk folio still in cache with the same entry: the slot may have been freed and used for another page',
);

/** Under the page-table lock: is the entry still the one that the folio was found for? */
export const slotSameOnSwapIn = seam(
  'swap.slotSameOnSwapIn',
  (vmf: Fault): boolean => getPte(vmf.slot) === vmf.orig,
  'F-swap: PTL chk slot same: another fault may have brought the page in, or it may have been unmapped',
);

/**
 * Brings the page back.
 * @returns null: it is there, the fault wants to write and the entry does not allow it; the page-table lock is held and
 *   `orig` is the new entry. Otherwise what the fault comes to
 * Requires: the VMA lock or mmap_lock, for reading; `orig` is a swap entry
 */
export function* doSwapPage(vmf: Fault): Steps<VmFault | null> {
  if (!(yield* getSwapDevice())) return VM_FAULT_NONE;
  const result = yield* swapIn(vmf);
  putSwapDevice();
  return result;
}

/** Requires: what doSwapPage requires; the device is held. @returns as doSwapPage */
function* swapIn(vmf: Fault): Steps<VmFault | null> {
  const offset = swpOffset(vmf.orig);
  const got = yield* swapinFolio(offset);
  if (got === null) return VM_FAULT_NONE;
  if (got === 0) return VM_FAULT_OOM;
  const { pfn, cached } = got;
  if (cached && !folioStillSwapped(pfn, offset)) {
    folioUnlockPut(pfn);
    return VM_FAULT_NONE;
  }
  const ptl = ptLockOf(vmf.slot);
  yield* lock(ptl);
  if (!tableStillThere(vmf.pmd, vmf.slot) || !slotSameOnSwapIn(vmf)) {
    unlock(ptl);
    folioUnlockPut(pfn);
    return VM_FAULT_NONE;
  }
  vmf.orig = install(vmf, got, offset);
  folioUnlock(pfn);
  if (flagged(vmf.flags, FAULT_FLAG_WRITE) && !pteWrite(vmf.orig)) return null;
  unlock(ptl);
  return VM_FAULT_NONE;
}

/** Requires: the page-table lock, the folio lock, a reference, which becomes the entry's. @returns the entry */
function install(vmf: Fault, { pfn, cached }: SwappedIn, offset: number): Pte {
  const { vma, orig } = vmf;
  assert(vma.anonVma !== null, 'a swap entry in a VMA without anon_vma');
  swapFree(offset);
  if (cached && shouldTryToFreeSwap(vmf, pfn)) folioFreeSwap(pfn);
  const exclusive = (orig & SWP_EXCLUSIVE) !== 0 || machine.frames.refcount(pfn) === 1;
  const uffdWp = pteUffdWp(orig);
  let entry = mkPte(pfn, PTE_YOUNG | pageProt(vma.flags) | (orig & PTE_SOFT_DIRTY));
  if (uffdWp) entry = mkUffdWp(entry);
  const noticed = (uffdWp && has(vma.flags, VM_UFFD_WP)) || needsSoftDirtyWp(vma.flags, entry);
  if (exclusive && has(vma.flags, VM_WRITE) && !noticed) {
    const write = flagged(vmf.flags, FAULT_FLAG_WRITE);
    entry = withFlags(entry, PTE_WRITE | (write ? dirtyBits() : 0));
    if (uffdWp) vma.mm.staleUffdWp = true;
  }
  folioAddSwappedAnonRmap(pfn, vma, vmf.address, exclusive);
  vma.mm.rss.swap--;
  setPte(vmf.slot, entry);
  return entry;
}

/**
 * Whether the slot is worth freeing now: the device fills up, the page is to stay in memory, or the writer may turn out
 * to be alone with it. @linux should_try_to_free_swap
 */
function shouldTryToFreeSwap(vmf: Fault, pfn: Pfn): boolean {
  const { used, slots } = swapDevice();
  if (used * 2 >= slots || has(vmf.vma.flags, VM_LOCKED)) return true;
  return flagged(vmf.flags, FAULT_FLAG_WRITE) && machine.frames.refcount(pfn) === 2;
}

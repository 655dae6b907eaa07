/**
 * Writes to private huge pages: the page is used when nobody else has it, else copied. An owner of promised pages for
 * whom the pool has no page left takes the one he shares away from his children. @linux mm/hugetlb.c hugetlb_wp
 */
import { machine } from '../../machine/current.ts';
import { PG_ANON, PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { type Pfn, PTE_DIRTY, PTE_YOUNG, ptePfn, pteUffdWp, withFlags } from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { type Lock, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import { seam } from '../seam.ts';
import { lockMappingOf, peekFolio, unlockMapping } from './filemap.ts';
import type { Hstate } from './hugetlb.ts';
import {
  allocHugetlbFolio,
  copyHugeFolio,
  hugetlbAddNewAnonRmap,
  hugetlbRemoveRmap,
  makeHugePte,
  putUnused,
} from './hugetlb-folio.ts';
import { hugetlbVmaLockRead, hugetlbVmaUnlockRead } from './hugetlb-lock.ts';
import { hugePteOffset } from './hugetlb-pte.ts';
import { unmapHugepageRange } from './hugetlb-zap.ts';
import type { Vma } from './mm-types.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { maybeMkWrite, mkUffdWp } from './page-prot.ts';
import { ptLockOf } from './pgtable.ts';
import { folioMoveAnonRmap } from './rmap.ts';
import { flushNow } from './tlb.ts';
import {
  FAULT_FLAG_UNSHARE,
  flagged,
  VM_FAULT_NONE,
  VM_FAULT_SIGBUS,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_MAYSHARE } from './vm-flags.ts';
import { type Fault, vmfAnonPrepare } from './vmf.ts';

/** A fault on a huge page; `address` is that of the page. */
export interface HugetlbFault extends Fault {
  readonly h: Hstate;
  readonly inode: Inode;
  /** Of the page in the file, in pages of the machine. */
  readonly index: number;
  readonly mutex: Lock;
}

/** Under the page-table lock: is the slot what the fault based its decision on? */
export const hugetlbSlotSame = seam(
  'hugetlb.slotSameOnInstall',
  (vmf: HugetlbFault): boolean => getPte(vmf.slot) === vmf.orig,
  'HUGETLB fault: chk slot same under PTL: what was put there since the slot was read must not be lost',
);

/** @returns how the fault ends. Requires: fault mutex, hugetlb lock, and the page-table lock, which it releases */
export function* hugetlbWp(vmf: HugetlbFault): Steps<VmFault> {
  const { vma, slot } = vmf;
  const { frames } = machine;
  const unshare = flagged(vmf.flags, FAULT_FLAG_UNSHARE);
  const old = ptePfn(vmf.orig);
  const ptl = ptLockOf(slot);
  const shared = has(vma.flags, VM_MAYSHARE);
  if (!unshare && pteUffdWp(vmf.orig)) {
    // Straight from the first fault: the next one tells whoever protected the page.
    unlock(ptl);
    return VM_FAULT_NONE;
  }
  if (shared || (frames.hasFlag(old, PG_ANON) && frames.mapcount(old) === 1)) {
    if (!shared && !frames.hasFlag(old, PG_ANON_EXCLUSIVE)) {
      folioMoveAnonRmap(old, vma);
      frames.setFlag(old, PG_ANON_EXCLUSIVE);
    }
    if (!unshare) setPte(slot, maybeMkWrite(withFlags(vmf.orig, PTE_YOUNG | PTE_DIRTY), vma));
    unlock(ptl);
    return VM_FAULT_NONE;
  }
  const owner = (vma.hugetlb?.resv ?? null) !== null;
  const cowFromOwner = owner && peekFolio(vmf.inode.mapping, vmf.index) !== old;
  frames.get(old);
  unlock(ptl);
  const fresh = yield* allocHugetlbFolio(vma, vmf.address, cowFromOwner);
  if (fresh === 0) {
    frames.put(old, world.owner());
    return cowFromOwner ? yield* stealFromChildren(vmf, old) : VM_FAULT_SIGBUS;
  }
  return yield* copyAndInstall(vmf, old, fresh);
}

/** Requires: a reference to the old page, which it drops. */
function* copyAndInstall(vmf: HugetlbFault, old: Pfn, fresh: Pfn): Steps<VmFault> {
  const { vma, slot, address, h } = vmf;
  const { frames } = machine;
  const prepared = yield* vmfAnonPrepare(vmf);
  if (prepared !== VM_FAULT_NONE) {
    putUnused(vma, address, fresh);
    frames.put(old, world.owner());
    return prepared;
  }
  yield* copyHugeFolio(fresh, old);
  const range = yield* mmuNotifierInvalidateRangeStart(vma.mm, 'clear', address, address + h.size);
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  const same = slotSameAfterCopy(vmf);
  if (same) {
    flushNow(vma.mm, address, address + h.size);
    hugetlbRemoveRmap(old, vma);
    hugetlbAddNewAnonRmap(fresh, vma, address);
    const unshare = flagged(vmf.flags, FAULT_FLAG_UNSHARE);
    const entry = makeHugePte(vma, fresh, !unshare);
    setPte(slot, pteUffdWp(vmf.orig) ? mkUffdWp(entry) : entry);
  }
  unlock(ptl);
  yield* mmuNotifierInvalidateRangeEnd(range);
  if (same) frames.put(old, world.owner());
  else putUnused(vma, address, fresh);
  frames.put(old, world.owner());
  return VM_FAULT_NONE;
}

export const slotSameAfterCopy = seam(
  'hugetlb.slotSameAfterCopy',
  (vmf: HugetlbFault): boolean => getPte(vmf.slot) === vmf.orig,
  'HUGETLB fault: chk same after copy: the entry may have changed while the page was copied',
);

/**
 * No page is left for an owner's copy: those who share his page lose it, and get SIGBUS when they touch it again.
 * Requires: fault mutex and hugetlb lock, which are let go and taken again. @linux unmap_ref_private
 */
function* stealFromChildren(vmf: HugetlbFault, old: Pfn): Steps<VmFault> {
  const { vma, inode, index, h } = vmf;
  hugetlbVmaUnlockRead(vma);
  unlock(vmf.mutex);
  const mapping = yield* lockMappingOf(inode);
  for (const other of mapping.iMmap) {
    if (other === vma || has(other.flags, VM_MAYSHARE) || ownsPromise(other)) continue;
    const at = other.start + (index - other.pgoff) * PAGE_SIZE;
    if (!other.contains(at)) continue;
    yield* unmapHugepageRange(other, at, at + h.size, { dropMarker: false }, old);
  }
  unlockMapping(mapping);
  yield* lock(vmf.mutex);
  yield* hugetlbVmaLockRead(vma);
  vmf.slot = hugePteOffset(vma.mm, vmf.address);
  if (vmf.slot < 0) return VM_FAULT_NONE;
  const ptl = ptLockOf(vmf.slot);
  yield* lock(ptl);
  if (hugetlbSlotSame(vmf)) return yield* hugetlbWp(vmf);
  unlock(ptl);
  return VM_FAULT_NONE;
}

function ownsPromise(vma: Vma): boolean {
  return (vma.hugetlb?.resv ?? null) !== null;
}

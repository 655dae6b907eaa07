/**
 * Faults on memory of a file: the page comes from the page cache, or becomes a private copy of it.
 *
 *   find or create the page, locked | chk mapping, i_size | PTL: chk slot, install (write-protected where a marker says
 *   so) | unlock the page
 *
 * @linux mm/memory.c do_fault; semantics.md section 22, F-file
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkPte,
  type Pfn,
  PTE_HUGE,
  PTE_NONE,
  PTE_YOUNG,
  type Pte,
  pteUffdWpAny,
  withFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import { seam } from '../seam.ts';
import { PG_UPTODATE } from './address-space.ts';
import { peekFolio, vmaInode } from './filemap.ts';
import { filemapFault, pageMkwrite, putFolio } from './filemap-fault.ts';
import { folioCouldLock, folioUnlock, folioUnlockPut } from './folio-lock.ts';
import { isPoisoned } from './hwpoison.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import { stableAddressSpace } from './oom-stable.ts';
import { allocPage } from './page-alloc.ts';
import { fileAsksFirst, maybeMkWrite, mkUffdWp, pageProt, vmPageProtWrite } from './page-prot.ts';
import { allocPmd, pmdOrder, ptLockOf } from './pgtable.ts';
import { tableStillThere } from './pte-offset-map.ts';
import {
  folioAddFileRmap,
  folioAddFileRmapPmd,
  folioAddNewAnonRmap,
  folioMarkDirty,
  linearPageIndex,
} from './rmap.ts';
import { shmemFault } from './shmem.ts';
import { dirtyBits } from './soft-dirty.ts';
import { thpVmaSuitable, vmaThpDisabled } from './thp-policy.ts';
import {
  FAULT_FLAG_WRITE,
  flagged,
  VM_FAULT_NONE,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_SHARED, VM_UFFD_MINOR, VM_UFFD_WP, type VmFlags } from './vm-flags.ts';
import { type Fault, slotSameOnInstall, vmfAnonPrepare, vmfPteAlloc } from './vmf.ts';

/** Pages that a read fault may map besides its own. @linux fault_around_pages */
const FAULT_AROUND_PAGES = 16;

/** Requires: as handleMmFault; an empty slot or a WP marker. @linux mm/memory.c do_fault */
export function* doFault(vmf: Fault): Steps<VmFault> {
  const inode = vmaInode(vmf.vma);
  if (inode === null) return VM_FAULT_SIGBUS;
  const index = linearPageIndex(vmf.vma, vmf.address);
  if (!flagged(vmf.flags, FAULT_FLAG_WRITE)) {
    if (shouldFaultAround(vmf.vma) && (yield* doFaultAround(vmf, inode))) return VM_FAULT_NONE;
  } else if (!has(vmf.vma.flags, VM_SHARED)) {
    return yield* doCowFault(vmf, inode, index);
  }
  const pfn = yield* faultPage(vmf, inode, index);
  if (typeof pfn !== 'number') return pfn.result;
  if (flagged(vmf.flags, FAULT_FLAG_WRITE) && fileAsksFirst(inode)) {
    folioUnlock(pfn);
    if (!(yield* pageMkwrite(inode, index, pfn))) {
      putFolio(pfn);
      return VM_FAULT_NONE;
    }
  }
  const outcome = yield* finishFault(vmf, pfn, false);
  if (outcome === 'mapped') folioUnlock(pfn);
  else folioUnlockPut(pfn);
  return FINISHED[outcome];
}

/** The page of the file, locked, or what the fault comes to. @linux __do_fault */
function faultPage(
  vmf: Fault,
  inode: Inode,
  index: number,
): Steps<Pfn | { readonly result: VmFault }> {
  const onDisk = inode.mapping.disk !== null;
  return onDisk ? filemapFault(vmf, inode, index) : shmemFault(vmf, inode, index);
}

/** A write to a private mapping: the first copy of the page. @linux mm/memory.c do_cow_fault */
function* doCowFault(vmf: Fault, inode: Inode, index: number): Steps<VmFault> {
  const { frames } = machine;
  const prepared = yield* vmfAnonPrepare(vmf);
  if (prepared !== VM_FAULT_NONE) return prepared;
  const copy = yield* allocPage();
  if (copy === 0) return VM_FAULT_OOM;
  const pfn = yield* faultPage(vmf, inode, index);
  if (typeof pfn !== 'number') {
    frames.put(copy, world.owner());
    return pfn.result;
  }
  frames.copy(copy, pfn);
  const outcome = yield* finishFault(vmf, copy, true);
  folioUnlockPut(pfn);
  if (outcome !== 'mapped') frames.put(copy, world.owner());
  return FINISHED[outcome];
}

/** What each end of finishFault makes of the fault. */
const FINISHED = {
  mapped: VM_FAULT_NONE,
  changed: VM_FAULT_NONE,
  'no-memory': VM_FAULT_OOM,
  lost: VM_FAULT_SIGBUS,
} as const;

/**
 * Maps the page if the slot still is what the fault saw. @returns 'mapped': then the entry owns the reference
 * Requires: the lock of the page of the file. @linux mm/memory.c finish_fault
 */
function* finishFault(vmf: Fault, pfn: Pfn, anon: boolean): Steps<keyof typeof FINISHED> {
  if (!anon && vmf.slot < 0 && canMapWhole(vmf, pfn)) return yield* doSetPmd(vmf, pfn);
  const table = vmf.slot < 0 ? yield* vmfPteAlloc(vmf) : 'done';
  if (table !== 'done') return table === 'huge' ? 'changed' : table;
  const { vma, slot } = vmf;
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  const stable = has(vma.flags, VM_SHARED) || stableAddressSpace(vma.mm);
  const same = tableStillThere(vmf.pmd, slot) && slotSameOnInstall(vmf);
  if (same && stable) {
    const write = flagged(vmf.flags, FAULT_FLAG_WRITE);
    let entry = filePte(vma, pfn);
    if (write) entry = maybeMkWrite(withFlags(entry, dirtyBits()), vma);
    if (pteUffdWpAny(vmf.orig)) entry = mkUffdWp(entry);
    if (anon) folioAddNewAnonRmap(pfn, vma, vmf.address);
    else folioAddFileRmap(pfn, vma);
    if (write && !anon) folioMarkDirty(pfn);
    setPte(slot, entry);
  }
  unlock(ptl);
  if (!same) return 'changed';
  return stable ? 'mapped' : 'lost';
}

/** Whether the page is one of a huge folio that fits the mapping at this place. @linux do_set_pmd */
function canMapWhole({ vma, address }: Fault, pfn: Pfn): boolean {
  if (machine.frames.order(pfn) !== pmdOrder() || vmaThpDisabled(vma)) return false;
  return thpVmaSuitable(vma, address);
}

/** Maps the whole folio where nothing is mapped. Requires: the folio lock. */
function* doSetPmd(vmf: Fault, pfn: Pfn): Steps<'mapped' | 'changed' | 'no-memory'> {
  const { vma } = vmf;
  const pmd = allocPmd(vma.mm, vmf.address);
  if (pmd < 0) return 'no-memory';
  const head = machine.frames.head(pfn);
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  const empty = getPte(pmd) === PTE_NONE;
  if (empty) {
    const write = flagged(vmf.flags, FAULT_FLAG_WRITE);
    let entry = withFlags(filePte(vma, head), PTE_HUGE);
    if (write) entry = maybeMkWrite(withFlags(entry, dirtyBits()), vma);
    folioAddFileRmapPmd(head, vma);
    if (write) folioMarkDirty(head);
    setPte(pmd, entry);
  }
  unlock(pml);
  return empty ? 'mapped' : 'changed';
}

function filePte(vma: Vma, pfn: Pfn): Pte {
  return mkPte(pfn, PTE_YOUNG | pageProt(vma.flags) | vmPageProtWrite(vma));
}

/**
 * Whether a read fault also maps neighbours that are cached. Not where user space wants to hear of each page.
 * @linux mm/memory.c should_fault_around, uffd_disable_fault_around
 */
export const shouldFaultAround = seam(
  'memory.shouldFaultAround',
  (vma: Vma): boolean => !has(vma.flags, (VM_UFFD_WP | VM_UFFD_MINOR) as VmFlags),
);

/**
 * Maps the pages around the fault that are in the cache and unlocked, in one step under the page-table lock.
 * @returns whether the page of the fault is among them
 * @linux mm/memory.c do_fault_around, mm/filemap.c filemap_map_pages
 */
function* doFaultAround(vmf: Fault, inode: Inode): Steps<boolean> {
  const { vma } = vmf;
  const index = linearPageIndex(vma, vmf.address);
  const { from, to } = aroundWindow(vma, vmf.address);
  const end = Math.min(to, Math.ceil(inode.size / PAGE_SIZE) - index);
  if (vmf.slot < 0) {
    if (!anyCached(inode, index + from, index + end)) return false;
    const cached = peekFolio(inode.mapping, index);
    // A huge folio is mapped whole, by the fault itself.
    if (cached !== 0 && canMapWhole(vmf, cached)) return false;
    const table = yield* vmfPteAlloc(vmf);
    // A huge page maps it now: nothing is left to do.
    if (table !== 'done') return table === 'huge';
  }
  const { slot } = vmf;
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  let hit = false;
  if (tableStillThere(vmf.pmd, slot)) {
    for (let i = from; i < end; i++) {
      if (mapCached(vma, inode, index + i, slot + i) && i === 0) hit = true;
    }
  }
  unlock(ptl);
  return hit;
}

/** Whether there is a page to map, and therefore a table to be made. @linux mm/filemap.c next_uptodate_folio */
function anyCached(inode: Inode, from: number, to: number): boolean {
  for (let index = from; index < to; index++) {
    const pfn = peekFolio(inode.mapping, index);
    if (pfn !== 0 && mappable(pfn)) return true;
  }
  return false;
}

function mappable(pfn: Pfn): boolean {
  if (isPoisoned(pfn)) return false;
  return machine.frames.hasFlag(pfn, PG_UPTODATE) && folioCouldLock(pfn);
}

/** Pages before and after the faulting one, as offsets [from, to): within its table, its VMA and an aligned window. */
function aroundWindow(vma: Vma, address: Vaddr): { from: number; to: number } {
  const page = Math.floor(address / PAGE_SIZE);
  const inTable = page % machine.geometry.ptrsPerPte;
  const inVma = (address - vma.start) / PAGE_SIZE;
  const aligned = inTable - (inTable % FAULT_AROUND_PAGES);
  const first = Math.max(aligned, inTable - Math.min(inTable, inVma));
  const vmaPages = (vma.end - vma.start) / PAGE_SIZE;
  const last = Math.min(
    first + FAULT_AROUND_PAGES,
    machine.geometry.ptrsPerPte,
    inTable + vmaPages - inVma,
  );
  return { from: first - inTable, to: last - inTable };
}

function mapCached(vma: Vma, inode: Inode, index: number, slot: number): boolean {
  if (getPte(slot) !== PTE_NONE) return false;
  const pfn = peekFolio(inode.mapping, index);
  if (pfn === 0 || !mappable(pfn)) return false;
  machine.frames.get(pfn);
  folioAddFileRmap(pfn, vma);
  setPte(slot, filePte(vma, pfn));
  return true;
}

/**
 * Faults on transparent huge pages of anonymous memory: one entry in a PMD slot for an aligned run of pages.
 *
 *   allocate the folio and a table to put aside | PMD lock: chk slot empty, chk MISSING, install
 *   write-protected: PMD lock: chk same; reuse the folio if nobody else has it, else split the mapping and go on with
 *   the page alone
 *
 * @linux mm/huge_memory.c; semantics.md section 14
 */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON_EXCLUSIVE, ZERO_PFN } from '../../machine/frames.ts';
import {
  mkPte,
  type Pfn,
  PTE_HUGE,
  PTE_NONE,
  PTE_SPECIAL,
  PTE_YOUNG,
  type Pte,
  pteHuge,
  ptePfn,
  pteSpecial,
  pteUffdWp,
  pteWrite,
  withFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { sched } from '../../sched/current.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { handleUserfault, userfaultfdWpAsync } from '../fs/userfaultfd.ts';
import { seam } from '../seam.ts';
import { folioCouldLock } from './folio-lock.ts';
import { splitHugePmd } from './huge-split.ts';
import type { Vaddr } from './mm-types.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { maybeMkWrite, pageProt } from './page-prot.ts';
import { allocPteTable, depositTable, freeTable, pmdOrder, pmdSize, ptLockOf } from './pgtable.ts';
import { folioAddNewAnonRmapPmd, folioMoveAnonRmap } from './rmap.ts';
import { dirtyBits } from './soft-dirty.ts';
import { folioFreeSwap, folioSwapOffset } from './swapfile.ts';
import { thpAllowable, thpSettings } from './thp-policy.ts';
import { flushHartNow, flushNow } from './tlb.ts';
import {
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  flagged,
  VM_FAULT_FALLBACK,
  VM_FAULT_NONE,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_UFFD_WP } from './vm-flags.ts';
import { type Fault, mayFillMissing, vmfAnonPrepare } from './vmf.ts';

/** Under the PMD lock: is the slot what the fault based its decision on? */
export const pmdSameOnInstall = seam(
  'huge-memory.pmdSameOnInstall',
  (vmf: Fault): boolean => getPte(vmf.pmd) === vmf.orig,
  'F: chk PMD slot same under its lock: another fault may have put a huge page or a table there, which must not be lost',
);

/**
 * A fault whose PMD slot is empty or holds a huge page.
 * @returns VM_FAULT_FALLBACK: pages one by one. Otherwise as handleMmFault
 * Requires: as handleMmFault; vmf.orig is what vmf.pmd held, no table. @linux __handle_mm_fault
 */
export function* handleHugePmd(vmf: Fault): Steps<VmFault> {
  const { vma, orig } = vmf;
  if (orig === PTE_NONE) {
    const huge = vma.file === null && thpAllowable(vma, 'fault', vmf.address);
    return huge ? yield* doHugePmdAnonymousPage(vmf) : VM_FAULT_FALLBACK;
  }
  assert(pteHuge(orig), 'migrating huge pages are not modelled: nothing makes one');
  const write = flagged(vmf.flags, FAULT_FLAG_WRITE);
  if ((write || flagged(vmf.flags, FAULT_FLAG_UNSHARE)) && !pteWrite(orig)) {
    return yield* wpHugePmd(vmf);
  }
  return yield* hugePmdSetAccessed(vmf);
}

/** The first address of the huge page around the fault. */
function hugeAddress(vmf: Fault): Vaddr {
  return Math.floor(vmf.address / pmdSize()) * pmdSize();
}

/** @linux do_huge_pmd_anonymous_page */
function* doHugePmdAnonymousPage(vmf: Fault): Steps<VmFault> {
  const prepared = yield* vmfAnonPrepare(vmf);
  if (prepared !== VM_FAULT_NONE) return prepared;
  const write = flagged(vmf.flags, FAULT_FLAG_WRITE);
  if (!write && !thpSettings().useZeroPage) return VM_FAULT_FALLBACK;
  const head = write ? allocHuge() : 0;
  if (write && head === 0) return VM_FAULT_FALLBACK;
  return yield* installHuge(vmf, head);
}

/** What clearing one page takes, roughly as a machine of today has it. */
const CLEAR_PAGE_NS = 200;

/** A zeroed huge folio, or 0. */
function allocHuge(): Pfn | 0 {
  const head = machine.frames.allocFolio(world.owner(), pmdOrder());
  const frames = machine.geometry.ptrsPerPte;
  for (let i = 0; head !== 0 && i < frames; i++) {
    machine.frames.zero((head + i) as Pfn);
  }
  // A program that times itself sees that this is not the work of one page.
  if (head !== 0 && !sched.exploring) machine.clock.advance(CLEAR_PAGE_NS * frames);
  return head;
}

/** @param head the folio to map, or 0: the huge zero page. Given up when it is not used */
function* installHuge(vmf: Fault, head: Pfn | 0): Steps<VmFault> {
  const { vma, pmd } = vmf;
  const table = allocPteTable(vma.mm);
  if (table < 0) {
    if (head !== 0) machine.frames.put(head, world.owner());
    return VM_FAULT_FALLBACK;
  }
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  const same = pmdSameOnInstall(vmf);
  const fill = same && mayFillMissing(vmf);
  if (fill) {
    if (head !== 0) folioAddNewAnonRmapPmd(head, vma, hugeAddress(vmf));
    setPte(pmd, head === 0 ? hugeZeroPte(vmf) : freshHugePte(vmf, head));
    depositTable(pmd, table);
  }
  unlock(pml);
  if (!fill) {
    freeTable(vma.mm, table);
    if (head !== 0) machine.frames.put(head, world.owner());
  }
  if (same && !fill) return yield* handleUserfault(vmf, 'missing');
  return VM_FAULT_NONE;
}

function freshHugePte({ vma }: Fault, head: Pfn): Pte {
  const flags = PTE_HUGE | PTE_YOUNG | dirtyBits() | pageProt(vma.flags);
  return maybeMkWrite(mkPte(head, flags), vma);
}

function hugeZeroPte({ vma }: Fault): Pte {
  return mkPte(ZERO_PFN, PTE_HUGE | PTE_SPECIAL | pageProt(vma.flags));
}

/** A write (or an unshare) meets a huge page that is not writable. @linux wp_huge_pmd */
function* wpHugePmd(vmf: Fault): Steps<VmFault> {
  const { vma, orig } = vmf;
  const unshare = flagged(vmf.flags, FAULT_FLAG_UNSHARE);
  if (vma.file === null) {
    const told = !unshare && has(vma.flags, VM_UFFD_WP) && pteUffdWp(orig);
    if (told && !userfaultfdWpAsync(vma)) return yield* handleUserfault(vmf, 'wp');
    if (!told) return yield* doHugePmdWpPage(vmf, unshare);
  }
  yield* splitHugePmd(vma, vmf.address);
  return VM_FAULT_FALLBACK;
}

/** Under the PMD lock: is the entry still the one that denied the access? */
export const pmdSameBeforeWp = seam(
  'huge-memory.pmdSameBeforeWp',
  (vmf: Fault): boolean => getPte(vmf.pmd) === vmf.orig,
  'F-wp: chk PMD same: the huge page may have been split, zapped or shared since it was read',
);

/** @linux do_huge_pmd_wp_page */
function* doHugePmdWpPage(vmf: Fault, unshare: boolean): Steps<VmFault> {
  const { vma, pmd, orig } = vmf;
  if (pteSpecial(orig)) {
    // The zero page is nobody's: nothing to unshare it from. A write gets a huge page of its own.
    if (unshare) return VM_FAULT_NONE;
    const done = yield* doHugeZeroWpPmd(vmf);
    if (done !== VM_FAULT_FALLBACK) return done;
    yield* splitHugePmd(vma, vmf.address);
    return VM_FAULT_FALLBACK;
  }
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  if (!pmdSameBeforeWp(vmf)) {
    unlock(pml);
    return VM_FAULT_NONE;
  }
  const reuse = canReuseHuge(vmf, ptePfn(orig));
  if (reuse && !unshare) {
    setPte(pmd, maybeMkWrite(withFlags(orig, PTE_YOUNG | dirtyBits()), vma));
  }
  unlock(pml);
  if (reuse) return VM_FAULT_NONE;
  yield* splitHugePmd(vma, vmf.address);
  return VM_FAULT_FALLBACK;
}

/** Whether the folio is this mapping's alone; then it becomes exclusive. Requires: the PMD lock. */
function canReuseHuge({ vma }: Fault, head: Pfn): boolean {
  const { frames } = machine;
  if (frames.hasFlag(head, PG_ANON_EXCLUSIVE)) return true;
  if (!folioCouldLock(head)) return false;
  if (world.swap !== null && folioSwapOffset(head) !== 0) folioFreeSwap(head);
  if (frames.refcount(head) > 1) return false;
  folioMoveAnonRmap(head, vma);
  frames.setFlag(head, PG_ANON_EXCLUSIVE);
  return true;
}

/** A first write to what only the huge zero page filled. @linux do_huge_zero_wp_pmd */
function* doHugeZeroWpPmd(vmf: Fault): Steps<VmFault> {
  const { vma, pmd } = vmf;
  const head = allocHuge();
  if (head === 0) return VM_FAULT_FALLBACK;
  const start = hugeAddress(vmf);
  const range = yield* mmuNotifierInvalidateRangeStart(vma.mm, 'clear', start, start + pmdSize());
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  const same = pmdSameBeforeWp(vmf);
  if (same) {
    flushNow(vma.mm, start, start + pmdSize());
    folioAddNewAnonRmapPmd(head, vma, start);
    setPte(pmd, freshHugePte(vmf, head));
  }
  unlock(pml);
  yield* mmuNotifierInvalidateRangeEnd(range);
  if (!same) machine.frames.put(head, world.owner());
  return VM_FAULT_NONE;
}

/** The entry allows the access by now: only this hart's TLB did not know. @linux huge_pmd_set_accessed */
function* hugePmdSetAccessed(vmf: Fault): Steps<VmFault> {
  const { pmd, orig } = vmf;
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  if (getPte(pmd) === orig) {
    const write = flagged(vmf.flags, FAULT_FLAG_WRITE);
    const entry = withFlags(orig, PTE_YOUNG | (write ? dirtyBits() : 0));
    if (entry !== orig) setPte(pmd, entry);
    flushHartNow(vmf.task.hart, vmf.address);
  }
  unlock(pml);
  return VM_FAULT_NONE;
}

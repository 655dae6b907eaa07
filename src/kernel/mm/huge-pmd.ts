/**
 * What walks over page tables do with a huge page they meet as a whole: take it away, change its rights, copy it to a
 * child, move it. Of a part of one they make a table first (huge-split.ts).
 * @linux mm/huge_memory.c zap_huge_pmd, change_huge_pmd, copy_huge_pmd, move_huge_pmd
 */
import { machine } from '../../machine/current.ts';
import {
  PTE_NONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  pteDirty,
  pteHuge,
  ptePfn,
  pteSpecial,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { pause } from '../../sched/access.ts';
import { lock, take, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { vmaHasUffdWithoutEventRemap } from '../fs/userfaultfd-events.ts';
import { type Seam, seam } from '../seam.ts';
import { splitHugePmd } from './huge-split.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import type { MmuGather } from './mmu-gather.ts';
import {
  allocPmd,
  allocPteTable,
  depositTable,
  freeTable,
  pmdSize,
  ptLockOf,
  withdrawTable,
} from './pgtable.ts';
import { folioMarkDirty, folioRemoveRmapPmd, folioTryDupAnonRmapPmd } from './rmap.ts';
import { softDirtyBit } from './soft-dirty.ts';
import { flushNow } from './tlb.ts';
import { has, VM_UFFD_WP } from './vm-flags.ts';

/**
 * Takes a whole huge page away.
 * @param pmd its slot
 * @returns false: it is no huge page any more
 * Requires: as zapPageRange. @linux zap_huge_pmd
 */
export function* zapHugePmd(tlb: MmuGather, vma: Vma, pmd: number, address: Vaddr): Steps<boolean> {
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  const leaf = getPte(pmd);
  const huge = pteHuge(leaf);
  if (huge) {
    setPte(pmd, PTE_NONE);
    tlb.note(address, address + pmdSize());
    if (!pteSpecial(leaf)) {
      const head = ptePfn(leaf);
      if (vma.file !== null && pteDirty(leaf)) folioMarkDirty(head);
      folioRemoveRmapPmd(head, vma);
      tlb.pages.push(head);
    }
    if (vma.file === null) tlb.tables.push(withdrawTable(pmd));
  }
  unlock(pml);
  return huge;
}

/**
 * How a walk takes hold of a huge page that it is about to change: the hardware may still be setting bits in it.
 * A seam: kernels before 4.12 emptied the slot for a moment, under its lock, and walks that look without one saw nothing.
 * @linux pmdp_invalidate, before 4.12 pmdp_huge_get_and_clear
 */
export const invalidatePmd: Seam<(pmd: number) => Steps<void>> = seam(
  'huge-pmd.invalidate',
  function* (_pmd: number): Steps<void> {},
);

/** What emptying a slot for a moment looks like: for patches. Requires: the PMD lock. */
export function* emptyForAMoment(pmd: number): Steps<void> {
  const leaf = getPte(pmd);
  const counted = !pteSpecial(leaf);
  setPte(pmd, PTE_NONE);
  if (counted) machine.frames.addEntireMapcount(ptePfn(leaf), -1);
  yield* pause('huge page invalidated');
  setPte(pmd, leaf);
  if (counted) machine.frames.addEntireMapcount(ptePfn(leaf), 1);
}

/**
 * Changes a whole huge page.
 * @param change what becomes of the entry
 * @returns whether it was one. Requires: as the walk that asks; the caller's gather flushes
 */
export function* changeHugePmd(
  tlb: MmuGather,
  pmd: number,
  address: Vaddr,
  change: (leaf: Pte) => Pte,
): Steps<boolean> {
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  const huge = pteHuge(getPte(pmd));
  if (huge) {
    yield* invalidatePmd(pmd);
    const leaf = getPte(pmd);
    const changed = change(leaf);
    if (changed !== leaf) {
      setPte(pmd, changed);
      tlb.note(address, address + pmdSize());
    }
  }
  unlock(pml);
  return huge;
}

/** Whether a huge page was copied: done; it turned out to be none, or had to be split: look again; out of memory. */
export type CopiedPmd = 'done' | 'again' | 'no-memory';

/**
 * A forked child's mapping of a whole huge page. Huge pages of files come back by faults.
 * Requires: as copyPageRange. @linux copy_huge_pmd
 */
export function* copyHugePmd(dst: Vma, src: Vma, from: number, address: Vaddr): Steps<CopiedPmd> {
  if (dst.file !== null) return 'done';
  const to = allocPmd(dst.mm, address);
  const table = to < 0 ? -1 : allocPteTable(dst.mm);
  if (table < 0) return 'no-memory';
  const pml = ptLockOf(from);
  yield* lock(pml);
  const childLock = ptLockOf(to);
  take(childLock);
  const leaf = getPte(from);
  let result: CopiedPmd | 'split' = pteHuge(leaf) ? 'done' : 'again';
  if (result === 'done' && !pteSpecial(leaf) && !folioTryDupAnonRmapPmd(ptePfn(leaf), dst, src)) {
    result = 'split';
  }
  if (result === 'done') {
    const shared = withoutFlags(leaf, PTE_WRITE);
    if (shared !== leaf) setPte(from, shared);
    const inherited = has(dst.flags, VM_UFFD_WP) ? shared : withoutFlags(shared, PTE_UFFD_WP);
    setPte(to, withoutFlags(inherited, PTE_YOUNG));
    depositTable(to, table);
  } else {
    freeTable(dst.mm, table);
  }
  unlock(childLock);
  unlock(pml);
  if (result !== 'split') return result;
  // A device may be writing to one of its pages: that one is copied, the others are shared.
  yield* splitHugePmd(src, address);
  return 'again';
}

/**
 * Moves a whole huge page to an empty slot.
 * @returns false: not possible. Requires: as movePageTables; both addresses aligned. @linux move_huge_pmd
 */
export function* moveHugePmd(vma: Vma, old: number, fresh: number, from: Vaddr): Steps<boolean> {
  if (getPte(fresh) !== PTE_NONE) return false;
  const oldLock = ptLockOf(old);
  const newLock = ptLockOf(fresh);
  yield* lock(oldLock);
  if (newLock !== oldLock) yield* lock(newLock);
  const leaf = getPte(old);
  const huge = pteHuge(leaf);
  if (huge) {
    setPte(old, PTE_NONE);
    if (world.deposited.has(old)) depositTable(fresh, withdrawTable(old));
    const kept = vmaHasUffdWithoutEventRemap(vma) ? withoutFlags(leaf, PTE_UFFD_WP) : leaf;
    setPte(fresh, withFlags(kept, softDirtyBit()));
    flushNow(vma.mm, from, from + pmdSize());
  }
  if (newLock !== oldLock) unlock(newLock);
  unlock(oldLock);
  return huge;
}

/** Whether a huge page is mapped by more than one address space. @linux folio_maybe_mapped_shared */
export function hugeMappedShared(leaf: Pte): boolean {
  return machine.frames.mapcount(ptePfn(leaf)) > 1;
}

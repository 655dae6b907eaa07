/**
 * Taking the lock of a PTE table that may be freed and replaced while one waits for it: MADV_DONTNEED frees tables it
 * empties, under no more than what a fault holds. @linux mm/pgtable-generic.c
 */
import { machine } from '../../machine/current.ts';
import { mkTable, pteIsTable } from '../../machine/pte.ts';
import { getPte } from '../../machine/tables.ts';
import { lock, take, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { pmdSlot, pteSlotIn, ptLockOf } from './pgtable.ts';

/**
 * Whether a slot is still in the table that its PMD entry points at. Requires: the slot's page-table lock, which keeps
 * the answer true.
 */
export function tableStillThere(pmd: number, slot: number): boolean {
  return getPte(pmd) === mkTable(Math.floor(slot / machine.tables.granule));
}

/**
 * Locks the PTE table of an address.
 * @returns the slot, whose page-table lock is the caller's to release, or -1 when there is no table (now)
 * Requires: mmap_lock or the VMA lock, for reading. @linux pte_offset_map_lock
 */
export function* pteOffsetMapLock(mm: Mm, address: Vaddr): Steps<number> {
  const pmd = pmdSlot(mm, address);
  if (pmd < 0) return -1;
  const word = getPte(pmd);
  if (!pteIsTable(word)) return -1;
  const slot = pteSlotIn(word, address);
  const ptl = ptLockOf(slot);
  yield* lock(ptl);
  if (getPte(pmd) === word) return slot;
  unlock(ptl);
  return -1;
}

/** The page-table locks of two slots in the order of their tables: one step. @returns what releases them. @linux double_pt_lock */
export function* doublePtLock(a: number, b: number): Steps<() => void> {
  const [low, high] = a < b ? [ptLockOf(a), ptLockOf(b)] : [ptLockOf(b), ptLockOf(a)];
  yield* lock(low);
  if (high !== low) take(high);
  return () => {
    if (high !== low) unlock(high);
    unlock(low);
  };
}

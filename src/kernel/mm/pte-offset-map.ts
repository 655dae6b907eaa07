/**
 * Taking the lock of a PTE table that may be freed and replaced while one waits for it: MADV_DONTNEED frees tables it
 * empties, under no more than what a fault holds. @linux mm/pgtable-generic.c
 */
import { machine } from '../../machine/current.ts';
import { mkTable, type Pte, pteHuge, pteIsTable, pteOfHuge } from '../../machine/pte.ts';
import { getPte } from '../../machine/tables.ts';
import { type Lock, lock, take, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { pageInPmd, pmdSlot, pteSlotIn, ptLockOf } from './pgtable.ts';

/**
 * Whether a slot is still in the table that its PMD entry points at. Requires: the slot's page-table lock, which keeps
 * the answer true.
 */
export function tableStillThere(pmd: number, slot: number): boolean {
  return getPte(pmd) === mkTable(Math.floor(slot / machine.tables.granule));
}

/** The entries of one PTE table from an address on, or the huge page in its place, under its lock. */
export interface Entries {
  readonly lock: Lock;
  /** Of the first PTE, or of the PMD. */
  readonly slot: number;
  readonly huge: boolean;
  /** Which page of the PMD span the first is. */
  readonly page: number;
}

/**
 * Locks what maps an address: its PTE table, or its huge page.
 * @returns null when there is neither
 * Requires: mmap_lock or the VMA lock, for reading.
 */
export function* lockEntries(mm: Mm, address: Vaddr): Steps<Entries | null> {
  for (;;) {
    const pmd = pmdSlot(mm, address);
    if (pmd < 0) return null;
    const word = getPte(pmd);
    const huge = pteHuge(word);
    if (!huge && !pteIsTable(word)) return null;
    const slot = huge ? pmd : pteSlotIn(word, address);
    const ptl = ptLockOf(slot);
    yield* lock(ptl);
    const now = getPte(pmd);
    if (huge ? pteHuge(now) : now === word)
      return { lock: ptl, slot, huge, page: pageInPmd(address) };
    unlock(ptl);
  }
}

/** What the tables say of the page that lies i pages behind the first. Requires: the lock of the entries. */
export function entryAt({ slot, huge, page }: Entries, i: number): Pte {
  return huge ? pteOfHuge(getPte(slot), page + i) : getPte(slot + i);
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

/** The two locks that only hugetlb has: of one page of a file, and of one mapping's page tables. @linux mm/hugetlb.c */
import { type Cell, cellOf } from '../../sched/cell.ts';
import { Lock, lock, lockRead, tryLock, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { CELL_HUGETLB } from '../cells.ts';
import { world } from '../current.ts';
import { HUGETLB_FAULT_MUTEX } from '../lock-classes.ts';
import type { AddressSpace } from './address-space.ts';
import type { Vma } from './mm-types.ts';
import { has, VM_MAYSHARE } from './vm-flags.ts';

/** Pages of a file. */
const PAGES_PER_MAPPING = 2 ** 28;
const MUTEX_CELLS = 2 ** 32;

/**
 * The mutex of a page of a file: it makes faults on one page take turns, so that the second finds what the first made
 * instead of wanting another page of a pool that may have no other.
 *
 * Differs from Linux: every page has its own; Linux hashes them into a table as large as the machine's processors ask.
 * @linux hugetlb_fault_mutex_hash
 */
export function hugetlbFaultMutex(mapping: AddressSpace, index: number): Lock {
  world.hugetlbFaultMutexes ??= new Map();
  const key = mapping.id * PAGES_PER_MAPPING + index;
  const known = world.hugetlbFaultMutexes.get(key);
  if (known !== undefined) return known;
  const cell: Cell = cellOf(CELL_HUGETLB, MUTEX_CELLS + key);
  const made = new Lock(HUGETLB_FAULT_MUTEX, `fault mutex of page ${index}`, cell);
  world.hugetlbFaultMutexes.set(key, made);
  return made;
}

/** Shared mappings and owners of private promises have a lock; other private mappings have nothing to guard. */
export function hugetlbVmaLockOf(vma: Vma): Lock | null {
  if (vma.hugetlb === null) return null;
  return has(vma.flags, VM_MAYSHARE) || vma.hugetlb.resv !== null ? vma.hugetlb.lock : null;
}

/** Against tables being given up while one looks into them. @linux hugetlb_vma_lock_read */
export function* hugetlbVmaLockRead(vma: Vma): Steps<void> {
  const own = hugetlbVmaLockOf(vma);
  if (own !== null) yield* lockRead(own);
}
export function hugetlbVmaUnlockRead(vma: Vma): void {
  const own = hugetlbVmaLockOf(vma);
  if (own !== null) unlockRead(own);
}
/** @linux hugetlb_vma_lock_write */
export function* hugetlbVmaLockWrite(vma: Vma): Steps<void> {
  const own = hugetlbVmaLockOf(vma);
  if (own !== null) yield* lock(own);
}
/** Under the i_mmap lock, against the usual order. @linux hugetlb_vma_trylock_write */
export function* hugetlbVmaTrylockWrite(vma: Vma): Steps<boolean> {
  const own = hugetlbVmaLockOf(vma);
  return own === null || (yield* tryLock(own));
}
export function hugetlbVmaUnlockWrite(vma: Vma): void {
  const own = hugetlbVmaLockOf(vma);
  if (own !== null) unlock(own);
}

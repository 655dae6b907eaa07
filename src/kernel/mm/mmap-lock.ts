/**
 * mmap_lock and the per-VMA locks under it. A VMA that was write-locked stays so until mmap_lock is released or
 * downgraded: the releaser ends all of them at once. @linux include/linux/mmap_lock.h, mm/mmap_lock.c
 */
import { announce } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import {
  downgrade,
  lock,
  lockRead,
  tryTakeRead,
  unlock,
  unlockAll,
  unlockRead,
} from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';

/** So many are released one by one. */
const FEW_LOCKS = 16;

export function* mmapReadLock(mm: Mm): Steps<void> {
  yield* lockRead(mm.mmapLock);
}
export function mmapReadUnlock(mm: Mm): void {
  unlockRead(mm.mmapLock);
}
export function* mmapWriteLock(mm: Mm): Steps<void> {
  yield* lock(mm.mmapLock);
}
export function mmapWriteUnlock(mm: Mm): void {
  vmaEndWriteAll(mm);
  unlock(mm.mmapLock);
}
/** Keeps mmap_lock for reading; VMA locks end. munmap zaps under this. */
export function mmapWriteDowngrade(mm: Mm): void {
  vmaEndWriteAll(mm);
  downgrade(mm.mmapLock);
}

/**
 * Write-locks a VMA until mmap_lock is released: waits for its readers.
 * Requires: mmap_lock for writing. @linux vma_start_write
 */
export function* vmaStartWrite(vma: Vma): Steps<void> {
  const { mm } = vma;
  // Whoever write-holds a VMA lock holds mmap_lock too: it is us.
  if (vma.lock.held) return;
  yield* lock(vma.lock);
  mm.writeLocked.push(vma);
}

function vmaEndWriteAll(mm: Mm): void {
  const { writeLocked } = mm;
  if (writeLocked.length > FEW_LOCKS) {
    unlockAll(writeLocked.map((vma) => vma.lock));
    writeLocked.length = 0;
    return;
  }
  for (;;) {
    const vma = writeLocked.pop();
    if (vma === undefined) return;
    unlock(vma.lock);
  }
}

export function vmaEndRead(vma: Vma): void {
  unlockRead(vma.lock);
}

/**
 * After the VMA lock was taken: is this still the VMA for the address? Between the lookup and the lock it may have
 * been removed or shrunk.
 */
export const vmaStillThere = seam(
  'mmap-lock.vmaStillThere',
  (vma: Vma, mm: Mm, address: Vaddr): boolean =>
    !vma.detached && vma.mm === mm && vma.contains(address),
  'F: the VMA found under RCU may be gone once its lock is held',
);

/**
 * Finds a VMA and read-locks it without mmap_lock, or null when the caller has to take mmap_lock instead.
 * Kernels before 6.4 have no such lock: profiles replace this. @linux lock_vma_under_rcu
 */
export const lockVmaUnderRcu = seam(
  'mmap-lock.lockVmaUnderRcu',
  function* (mm: Mm, address: Vaddr): Steps<Vma | null> {
    world.rcu.readLock();
    if (sched.wants()) yield* announce('find vma', mm.treeCell);
    sched.touch(mm.treeCell, READ);
    const vma = mm.vmas.find(address);
    if (vma === null) {
      world.rcu.readUnlock();
      return null;
    }
    vma.peek();
    if (sched.wants()) yield* announce('trylock', vma.lock.cell);
    const locked = tryTakeRead(vma.lock);
    world.rcu.readUnlock();
    if (!locked) return null;
    vma.peek();
    if (!vmaStillThere(vma, mm, address)) {
      vmaEndRead(vma);
      return null;
    }
    return vma;
  },
);

/** The VMA that holds an address. Requires: mmap_lock. @linux vma_lookup */
export function vmaLookup(mm: Mm, address: Vaddr): Vma | null {
  sched.touch(mm.treeCell, READ);
  const vma = mm.vmas.find(address);
  vma?.peek();
  return vma;
}

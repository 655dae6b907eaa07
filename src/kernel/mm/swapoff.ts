/**
 * swapoff(2): everything that is on the device comes back, and the device is let go (semantics.md section 22, SWAPOFF):
 *
 *   no new slots | shared memory: every page back into the page cache | per mm, mmap_lock for reading, per entry: the page in,
 *   lock it | chk slot same: install with its bits | swap cache: pages nobody names | again until no slot is in use |
 *   no new users | wait for those there are
 *
 * @linux mm/swapfile.c SYSCALL_DEFINE1(swapoff), try_to_unuse
 */
import { assert } from '../../base/assert.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkPte,
  PTE_SOFT_DIRTY,
  type Pte,
  pteIsSwap,
  pteUffdWp,
  SWP_EXCLUSIVE,
  swpOffset,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access, until } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { EINTR, ENOMEM } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import type { AddressSpace } from './address-space.ts';
import { folioStillSwapped } from './do-swap-page.ts';
import { mmput } from './exit-mmap.ts';
import { folioLock, folioUnlock, folioUnlockPut } from './folio-lock.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmgetNotZero } from './mm-users.ts';
import { mmapReadLock, mmapReadUnlock } from './mmap-lock.ts';
import { mkUffdWp, pageProt } from './page-prot.ts';
import { pmdAddrEnd, ptLockOf, skipMissing } from './pgtable.ts';
import { pteOffsetMapLock } from './pte-offset-map.ts';
import { folioAddSwappedAnonRmap } from './rmap.ts';
import { shmemSwapinFolio } from './shmem-swapin.ts';
import { swapCacheGetFolio, swapinThroughCache } from './swap-state.ts';
import { deviceCell, folioFreeSwap, poolCell, type SwapDevice, swapFree } from './swapfile.ts';

/** Under the page-table lock: does the slot still name the page that was brought in for it? */
export const slotSameOnSwapoff = seam(
  'swapoff.slotSame',
  (slot: number, offset: number): boolean => {
    const pte = getPte(slot);
    return pteIsSwap(pte) && swpOffset(pte) === offset;
  },
  'SWAPOFF: PTL chk same: a fault may have been faster, or the memory may have been unmapped',
);

/**
 * Takes the device out of use.
 * @returns 0, -ENOMEM, or -EINTR; after an error the device goes on as before, with what has come back in memory
 * Requires: no lock; the device is in use. @linux SYSCALL_DEFINE1(swapoff)
 */
export function* swapoff(device: SwapDevice): Steps<number> {
  if (sched.wants()) yield* access('swapoff', poolCell(), WRITE);
  sched.touch(poolCell(), WRITE);
  device.writable = false;
  const error = yield* tryToUnuse(device);
  if (error !== 0) {
    if (sched.wants()) yield* access('swapoff failed', poolCell(), WRITE);
    sched.touch(poolCell(), WRITE);
    device.writable = true;
    return error;
  }
  if (sched.wants()) yield* access('no new users of swap', deviceCell(), WRITE);
  sched.touch(deviceCell(), WRITE);
  device.on = false;
  const left = (): boolean => device.users === 0;
  yield* until('wait for users of swap', deviceCell(), READ, left, 'users of the swap device');
  sched.touch(deviceCell(), WRITE);
  assert(device.used === 0 && device.cache.size === 0, 'swapoff leaves slots in use');
  device.freed = true;
  return 0;
}

/** Puts a device that swapoff(2) let go into use again, empty: inside the running step. */
export function swapDeviceOn(device: SwapDevice, priority: number): void {
  sched.touch(poolCell(), WRITE);
  sched.touch(deviceCell(), WRITE);
  device.content.clear();
  device.lowest = 1;
  device.priority = priority;
  device.freed = false;
  device.on = true;
  device.writable = true;
}

/** Brings everything back. @returns 0, -ENOMEM or -EINTR. @linux try_to_unuse */
function* tryToUnuse(device: SwapDevice): Steps<number> {
  for (;;) {
    const ready = (): boolean => device.used === 0 || interrupted() || findable(device);
    yield* until('slots in use', poolCell(), READ, ready, 'swap slots that others are giving up');
    sched.touch(poolCell(), READ);
    if (device.used === 0) return 0;
    if (interrupted()) return -EINTR;
    let error = 0;
    for (const mapping of [...world.mappings.values()]) {
      if (error === 0) error = yield* shmemUnuse(mapping);
    }
    for (const mm of [...world.mms]) {
      if (error !== 0 || mm.rss.swap === 0 || !mmgetNotZero(mm)) continue;
      error = yield* unuseMm(mm);
      yield* mmput(mm);
    }
    if (error !== 0) return error;
    for (const [offset] of [...device.cache]) yield* unuseCached(offset);
  }
}

/** Whether there is anything to do but wait for address spaces that are ending. */
function findable(device: SwapDevice): boolean {
  for (const mm of world.mms) if (mm.users > 0 && mm.rss.swap > 0) return true;
  for (const { swapped } of world.mappings.values()) if ((swapped?.size ?? 0) > 0) return true;
  for (const offset of device.cache.keys()) if (device.counts[offset] === 0) return true;
  return false;
}

function interrupted(): boolean {
  const { thread } = world.current;
  if (thread === null) return false;
  sched.touch(sched.signalCell(thread), READ);
  return thread.signal !== 'none';
}

/** @linux mm/shmem.c shmem_unuse_inode */
function* shmemUnuse(mapping: AddressSpace): Steps<number> {
  if (mapping.swapped === null || mapping.swapped.size === 0) return 0;
  if (sched.wants()) yield* access('find swapped pages', mapping.cell, READ);
  for (const [index, slot] of [...mapping.swapped].sort(([a], [b]) => a - b)) {
    if (interrupted()) return -EINTR;
    const pfn = yield* shmemSwapinFolio(mapping, index, slot);
    if (pfn === 0) return -ENOMEM;
    if (pfn !== null) folioUnlockPut(pfn);
  }
  return 0;
}

/** Requires: a user of the mm. @linux unuse_mm */
function* unuseMm(mm: Mm): Steps<number> {
  yield* mmapReadLock(mm);
  let error = 0;
  for (const vma of [...mm.vmas]) {
    if (error === 0 && vma.anonVma !== null) error = yield* unuseVma(vma);
  }
  mmapReadUnlock(mm);
  return error;
}

/** Requires: mmap_lock for reading. @linux unuse_vma, unuse_pte_range */
function* unuseVma(vma: Vma): Steps<number> {
  const { mm, start, end } = vma;
  for (let address = skipMissing(mm, start, end); address < end; ) {
    const next = pmdAddrEnd(address, end);
    const found: [Vaddr, number][] = [];
    const first = yield* pteOffsetMapLock(mm, address);
    for (let here = address; first >= 0 && here < next; here += PAGE_SIZE) {
      const pte = getPte(first + (here - address) / PAGE_SIZE);
      if (pteIsSwap(pte)) found.push([here, swpOffset(pte)]);
    }
    if (first >= 0) unlock(ptLockOf(first));
    for (const [here, offset] of found) {
      if (interrupted()) return -EINTR;
      if (!(yield* unusePage(vma, here, offset))) return -ENOMEM;
    }
    address = skipMissing(mm, next, end);
  }
  return 0;
}

/** Brings one page in. Requires: mmap_lock for reading. @returns false: out of memory. @linux unuse_pte */
function* unusePage(vma: Vma, address: Vaddr, offset: number): Steps<boolean> {
  const got = yield* swapinThroughCache(offset);
  // Freed meanwhile.
  if (got === null) return true;
  if (got === 0) return false;
  const { pfn } = got;
  if (!folioStillSwapped(pfn, offset)) {
    folioUnlockPut(pfn);
    return true;
  }
  const slot = yield* pteOffsetMapLock(vma.mm, address);
  if (slot < 0 || !slotSameOnSwapoff(slot, offset)) {
    if (slot >= 0) unlock(ptLockOf(slot));
    folioFreeSwap(pfn);
    folioUnlockPut(pfn);
    return true;
  }
  const old = getPte(slot);
  swapFree(offset);
  // Neither accessed nor writable (measured on 6.18.44: present, mapped once, uffd-wp kept).
  let entry: Pte = mkPte(pfn, pageProt(vma.flags) | (old & PTE_SOFT_DIRTY));
  if (pteUffdWp(old)) entry = mkUffdWp(entry);
  folioAddSwappedAnonRmap(pfn, vma, address, (old & SWP_EXCLUSIVE) !== 0);
  vma.mm.rss.swap--;
  setPte(slot, entry);
  unlock(ptLockOf(slot));
  // The entry has the reference now.
  folioFreeSwap(pfn);
  folioUnlock(pfn);
  return true;
}

/** A folio that the swap cache has and no entry names. */
function* unuseCached(offset: number): Steps<void> {
  const pfn = yield* swapCacheGetFolio(offset);
  if (pfn === 0) return;
  yield* folioLock(pfn);
  folioFreeSwap(pfn);
  folioUnlockPut(pfn);
}

/**
 * One swap device: its slots, how many page-table entries name each, and the swap cache, which holds the folio of a slot
 * while it is on its way out or in.
 *
 *   free     nobody names the slot and no folio is cached for it: its content is forgotten
 *   in use   count > 0: that many entries name it
 *   cached   a folio stands for it; it holds a reference, and `private` of the folio is the offset
 *
 * A slot is handed out as soon as it is free, the lowest first, whoever asks: Linux spreads them (measured on 6.18: 1,
 * 2, 3 … on a fresh device, over again when it comes round), so that what the explorer sees reused at once is reused
 * there some day. @linux mm/swapfile.c, mm/swap_state.c; semantics.md section 15
 */
import { assert, must } from '../../base/assert.ts';
import { folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_DIRTY, PG_SWAPCACHE } from '../../machine/frames.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { ADD, type Cell, cellOf, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { CELL_SWAP } from '../cells.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import { folioCouldLock } from './folio-lock.ts';

/** What the device of the machine is called. */
export const SWAP_PATH = '/dev/zram0';

/** @linux include/linux/swap.h struct swap_info_struct */
export class SwapDevice {
  /** Offsets are 1 to slots; 0 holds the header of the device. */
  readonly slots: number;
  readonly counts: Uint32Array;
  readonly cache: Map<number, Pfn> = new Map();
  readonly content: Map<number, Uint8Array> = new Map();
  /** Slots in use or cached. */
  used = 0;
  /** No slot below is free. */
  lowest = 1;
  /** New pages may get slots: until swapoff(2) begins. Under the cell of the free slots. @linux SWP_WRITEOK */
  writable = true;
  /** A new user may come in: until swapoff(2) has brought everything back. */
  on = true;
  /** Who reads from the device without an entry's lock that keeps it. @linux si->users */
  users = 0;
  /** swapoff(2) has ended: nothing of it may be used any more. */
  freed = false;
  /** As /proc/swaps has it. */
  priority = -2;

  constructor(slots: number) {
    this.slots = slots;
    this.counts = new Uint32Array(slots + 1);
  }

  isFree(offset: number): boolean {
    return this.counts[offset] === 0 && !this.cache.has(offset);
  }
}

/**
 * Whether reading from the device is done when the call returns, as with zram; a disk takes its time.
 * @linux SWP_SYNCHRONOUS_IO
 */
export const swapIsSynchronous = seam('swap.isSynchronous', (): boolean => true);

/** The device. Requires: there is one, as whoever found a swap entry knows. */
export function swapDevice(): SwapDevice {
  const device = must(world.swap, 'swap device');
  assert(!device.freed, 'the swap device is used after swapoff');
  return device;
}

/** Pages that the devices in use have room for. @linux total_swap_pages */
export function totalSwapPages(): number {
  return world.swap?.writable === true ? world.swap.slots : 0;
}

/** Whether the device is in use, and who uses it. */
export function deviceCell(): Cell {
  return cellOf(CELL_SWAP, (world.swap?.slots ?? 0) + 1);
}

/** Under the reference just taken: is the device still in use? */
export const deviceStillOn = seam(
  'swap.deviceStillOn',
  (): boolean => world.swap?.on === true,
  'F-swap: get_swap_device chk: swapoff may have ended since the entry was read',
);

/**
 * Keeps swapoff(2) from ending until putSwapDevice: a step.
 * @returns false: it has ended, and the entry that was read is not there any more. @linux get_swap_device
 */
export function* getSwapDevice(): Steps<boolean> {
  if (sched.wants()) yield* access('get swap device', deviceCell(), ADD);
  sched.touch(deviceCell(), ADD);
  if (!deviceStillOn()) return false;
  must(world.swap, 'swap device').users++;
  return true;
}

/** Inside the running step. @linux put_swap_device */
export function putSwapDevice(): void {
  sched.touch(deviceCell(), ADD);
  must(world.swap, 'swap device').users--;
}

/** Which slots are free: taken from in order, so who takes first matters. */
export function poolCell(): Cell {
  return cellOf(CELL_SWAP, 0);
}
/** One slot: its count, its content, its place in the swap cache. */
export function slotCell(offset: number): Cell {
  return cellOf(CELL_SWAP, offset);
}

/**
 * Gives a folio a slot and puts it into the swap cache: a step. The cache takes a reference of its own.
 * @returns false when the device is full
 * Requires: the folio lock; the folio is anonymous and not in the swap cache. @linux folio_alloc_swap
 */
export function* folioAllocSwap(pfn: Pfn): Steps<boolean> {
  if (sched.wants()) yield* access('allocate swap slot', poolCell(), WRITE);
  const device = must(world.swap, 'swap device');
  sched.touch(poolCell(), WRITE);
  if (!device.writable) return false;
  const offset = freeSlot(device);
  if (offset === 0) return false;
  device.used++;
  addToSwapCache(device, pfn, offset);
  // Nothing is on the device yet. @linux folio_mark_dirty
  machine.frames.setFlag(pfn, PG_DIRTY);
  return true;
}

/** The lowest free slot, or 0: none. Slots that only the swap cache has are given up when there is no other. */
function freeSlot(device: SwapDevice): number {
  for (const last of [false, true]) {
    let offset = device.lowest;
    while (offset <= device.slots && !device.isFree(offset)) offset++;
    device.lowest = offset;
    if (offset <= device.slots) return offset;
    if (!last) reclaimCachedSlots(device);
  }
  return 0;
}

/** @linux mm/swapfile.c __try_to_reclaim_swap */
function reclaimCachedSlots(device: SwapDevice): void {
  for (const [offset, pfn] of device.cache) {
    if (swapCount(offset) === 0 && folioCouldLock(pfn)) folioFreeSwap(pfn);
  }
}

/** Puts a folio into the swap cache, which takes a reference. Inside the running step. @linux add_to_swap_cache */
export function addToSwapCache(device: SwapDevice, pfn: Pfn, offset: number): void {
  const { frames } = machine;
  sched.touch(slotCell(offset), WRITE);
  sched.touch(folioCell(pfn), WRITE);
  device.cache.set(offset, pfn);
  frames.flags[pfn] = (frames.flags[pfn] ?? 0) | PG_SWAPCACHE;
  frames.private[pfn] = offset;
  frames.get(pfn);
}

/** The slot of a folio in the swap cache, or 0. Requires: the folio lock, which keeps it true. */
export function folioSwapOffset(pfn: Pfn): number {
  const { frames } = machine;
  return frames.hasFlag(pfn, PG_SWAPCACHE) ? (frames.private[pfn] ?? 0) : 0;
}

/** One more entry names the slot. Requires: the page-table lock of the entry. @linux swap_duplicate */
export function swapDuplicate(offset: number): void {
  const { counts } = swapDevice();
  sched.touch(slotCell(offset), ADD);
  counts[offset] = (counts[offset] ?? 0) + 1;
}

/** One entry less names the slot. Requires: the page-table lock of the entry. @linux swap_free */
export function swapFree(offset: number): void {
  const device = swapDevice();
  const left = (device.counts[offset] ?? 0) - 1;
  assert(left >= 0, () => `swap slot ${offset} is named by fewer entries than none`);
  sched.touch(slotCell(offset), left === 0 ? WRITE : ADD);
  device.counts[offset] = left;
  // Who waits in swapoff(2) wants to know of it.
  if (left === 0 && !device.writable) sched.touch(poolCell(), ADD);
  if (left === 0 && !device.cache.has(offset)) forget(device, offset);
}

function forget(device: SwapDevice, offset: number): void {
  sched.touch(poolCell(), ADD);
  device.content.delete(offset);
  device.used--;
  device.lowest = Math.min(device.lowest, offset);
}

/** How many entries name the slot. @linux __swap_count */
export function swapCount(offset: number): number {
  sched.touch(slotCell(offset), READ);
  return swapDevice().counts[offset] ?? 0;
}

/** Whether a folio is cached for the slot: inside the running step. */
export function isSwapCached(offset: number): boolean {
  sched.touch(slotCell(offset), READ);
  return swapDevice().cache.has(offset);
}

/** An entry is gone, and with the last one what the cache holds of it. Requires: the page-table lock. @linux free_swap_and_cache */
export function freeSwapAndCache(offset: number): void {
  swapFree(offset);
  const device = swapDevice();
  const pfn = device.cache.get(offset);
  if (pfn === undefined || swapCount(offset) > 0) return;
  if (machine.frames.mapcount(pfn) === 0 && folioCouldLock(pfn)) deleteFromSwapCache(pfn);
}

/** Takes a folio out of the swap cache and drops the cache's reference. Requires: the folio lock. @linux delete_from_swap_cache */
export function deleteFromSwapCache(pfn: Pfn): void {
  const device = swapDevice();
  const { frames } = machine;
  const offset = frames.private[pfn] ?? 0;
  assert(device.cache.get(offset) === pfn, () => `frame ${pfn} is not in the swap cache`);
  sched.touch(slotCell(offset), WRITE);
  device.cache.delete(offset);
  frames.clearFlag(pfn, PG_SWAPCACHE);
  frames.private[pfn] = 0;
  frames.put(pfn, world.owner());
  if (device.counts[offset] === 0) forget(device, offset);
}

/** Another folio takes the place of one in the swap cache. Requires: both folio locks. */
export function replaceInSwapCache(old: Pfn, fresh: Pfn): void {
  const device = swapDevice();
  const { frames } = machine;
  const offset = frames.private[old] ?? 0;
  assert(device.cache.get(offset) === old, () => `frame ${old} is not in the swap cache`);
  addToSwapCache(device, fresh, offset);
  frames.clearFlag(old, PG_SWAPCACHE);
  frames.private[old] = 0;
  frames.put(old, world.owner());
}

/**
 * Takes a folio out of the swap cache when no entry names its slot any more; the slot is free then.
 * @returns whether it did. Requires: the folio lock, or that it could be had; a reference. @linux folio_free_swap
 */
export function folioFreeSwap(pfn: Pfn): boolean {
  const offset = folioSwapOffset(pfn);
  if (offset === 0 || swapCount(offset) > 0) return false;
  deleteFromSwapCache(pfn);
  // The only copy is in memory now.
  machine.frames.setFlag(pfn, PG_DIRTY);
  return true;
}

/** A folio that is about to lose a reference need not keep its slot. @linux free_swap_cache */
export function freeSwapCache(pfn: Pfn): void {
  if (world.swap === null || folioSwapOffset(pfn) === 0) return;
  if (machine.frames.mapcount(pfn) === 0 && folioCouldLock(pfn)) folioFreeSwap(pfn);
}

/**
 * Drops a mapping's reference; the last mapping of a page in the swap cache frees a slot that no entry names.
 * @linux free_folio_and_swap_cache
 */
export function freeFolioAndSwapCache(pfn: Pfn): void {
  freeSwapCache(pfn);
  machine.frames.put(pfn, world.owner());
}

/** Writes a folio of the swap cache to its slot when the slot has something else. Requires: the folio lock. @linux swap_writeout */
export function swapWriteout(pfn: Pfn): void {
  const { frames } = machine;
  if (!frames.hasFlag(pfn, PG_DIRTY)) return;
  const offset = folioSwapOffset(pfn);
  sched.touch(slotCell(offset), WRITE);
  frames.clearFlag(pfn, PG_DIRTY);
  swapDevice().content.set(offset, frames.read(pfn, 0, frames.contentBytes));
}

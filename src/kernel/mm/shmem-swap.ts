/**
 * Shared memory on the swap device: the page cache has the slot of a page instead of the page. No page-table entry knows;
 * it is the next look into the cache, by a fault or a system call, that finds the slot and brings the page back.
 *
 *   out: the folio has a slot | page cache: page -> slot | (reclaim writes it and lets go)
 *   in:  find or read the folio | lock | chk still the slot's | page cache: chk slot -> page, slot freed (shmem-swapin.ts)
 *
 * @linux mm/shmem.c shmem_writeout, shmem_swapin_folio, shmem_free_swap; semantics.md sections 12, 15
 */
import { folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { AddressSpace } from './address-space.ts';
import { vmaInode } from './filemap.ts';
import type { Vma } from './mm-types.ts';
import { folioAllocSwap, folioSwapOffset, freeSwapAndCache, swapDuplicate } from './swapfile.ts';

/** The slot that has the page at an index; 0: none. Inside the running step. */
export function peekSwapped(mapping: AddressSpace, index: number): number {
  sched.touch(mapping.pageCell(index), READ);
  return mapping.swapped?.get(index) ?? 0;
}

/**
 * Gives an unmapped page a slot and the page cache the slot instead of the page.
 * @returns false: the device is full. Requires: the folio lock; the page is in the page cache. @linux mm/shmem.c shmem_writeout
 */
export function* shmemWriteout(mapping: AddressSpace, pfn: Pfn): Steps<boolean> {
  const { frames } = machine;
  const index = frames.index[pfn] ?? 0;
  if (!(yield* folioAllocSwap(pfn))) return false;
  if (sched.wants()) yield* access('page to swap', mapping.pageCell(index), WRITE);
  sched.touch(mapping.pageCell(index), WRITE);
  sched.touch(folioCell(pfn), WRITE);
  const slot = folioSwapOffset(pfn);
  swapDuplicate(slot);
  mapping.pages.delete(index);
  mapping.swapped ??= new Map();
  mapping.swapped.set(index, slot);
  frames.mapping[pfn] = 0;
  frames.put(pfn, world.owner());
  return true;
}

/** Forgets the page at an index if it is on the swap device: inside the running step. @linux mm/shmem.c shmem_free_swap */
export function shmemFreeSwap(mapping: AddressSpace, index: number): void {
  const slot = peekSwapped(mapping, index);
  if (slot === 0) return;
  sched.touch(mapping.pageCell(index), WRITE);
  mapping.swapped?.delete(index);
  freeSwapAndCache(slot);
}

/** Pages [first, end) of a file that are on the swap device: for reports. @linux mm/shmem.c shmem_partial_swap_usage */
export function shmemSwapUsage(mapping: AddressSpace, first: number, end: number): number {
  let pages = 0;
  for (const index of mapping.swapped?.keys() ?? []) if (index >= first && index < end) pages++;
  return pages;
}

/** Bytes of a VMA's file on the swap device. @linux mm/shmem.c shmem_swap_usage */
export function vmaSwapUsage(vma: Vma): number {
  const inode = vmaInode(vma);
  if (inode === null) return 0;
  const pages = (vma.end - vma.start) / PAGE_SIZE;
  return shmemSwapUsage(inode.mapping, vma.pgoff, vma.pgoff + pages) * PAGE_SIZE;
}

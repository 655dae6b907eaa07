/**
 * A buffer that user space has given to a device for as long as it likes, as io_uring's registered buffers and RDMA do: its
 * pages are pinned, and the device reads and writes their bytes without asking any page table.
 * @linux io_uring/rsrc.c, mm/gup.c pin_user_pages
 */
import { contentCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import type { Pfn } from '../../machine/pte.ts';
import { access } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { getUserPagesUnlocked } from './gup.ts';
import { getUserPagesFast } from './gup-fast.ts';
import { FOLL_PIN, type FollFlags, withFoll } from './gup-flags.ts';
import { unpinUserPagesDirtyLock } from './gup-pin.ts';
import type { Mm, Vaddr } from './mm-types.ts';

export class DmaBuffer {
  readonly name: string;
  pages: Pfn[] = [];
  /** Whether the device wrote since the pages were pinned. */
  written = false;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * Pins pages behind those the buffer has.
 * @param flags FOLL_WRITE, FOLL_LONGTERM
 * @param fast whether to try without a lock first
 * @returns how many pages, or the negative errno of the first
 * Requires: no lock of the mm.
 */
export function* dmaPin(
  buffer: DmaBuffer,
  mm: Mm,
  start: Vaddr,
  count: number,
  flags: FollFlags,
  fast: boolean,
): Steps<number> {
  const how = withFoll(flags, FOLL_PIN);
  const pages = yield* fast
    ? getUserPagesFast(mm, start, count, how)
    : getUserPagesUnlocked(mm, start, count, how);
  if (typeof pages === 'number') return pages;
  buffer.pages.push(...pages);
  return pages.length;
}

/** Lets go of all pages; those of a device that wrote are dirty. Requires: no folio lock. */
export function* dmaUnpin(buffer: DmaBuffer): Steps<void> {
  const { pages, written } = buffer;
  buffer.pages = [];
  buffer.written = false;
  yield* unpinUserPagesDirtyLock(pages, written);
}

/** The device reads the 32-bit word that a page of the buffer begins with. @returns it, or null: there is no such page */
export function* dmaRead(buffer: DmaBuffer, index: number): Steps<number | null> {
  const pfn = buffer.pages[index];
  if (pfn === undefined) return null;
  if (sched.wants()) yield* access('dma read', contentCell(pfn), READ);
  sched.touch(contentCell(pfn), READ);
  const { frames } = machine;
  return frames.view.getInt32(frames.address(pfn, 0), true);
}

/** The device writes that word. @returns false: there is no such page */
export function* dmaWrite(buffer: DmaBuffer, index: number, value: number): Steps<boolean> {
  const pfn = buffer.pages[index];
  if (pfn === undefined) return false;
  if (sched.wants()) yield* access('dma write', contentCell(pfn), WRITE);
  sched.touch(contentCell(pfn), WRITE);
  const { frames } = machine;
  frames.markUsed(pfn);
  frames.view.setInt32(frames.address(pfn, 0), value, true);
  buffer.written = true;
  return true;
}

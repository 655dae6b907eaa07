/**
 * One file's pages in memory, and the VMAs that map them. A folio names its address space by a negative number in
 * `frames.mapping`; anon_vmas are the positive ones. @linux include/linux/fs.h struct address_space
 */
import type { Pfn } from '../../machine/pte.ts';
import { type Cell, cellOf } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { Lock } from '../../sched/lock.ts';
import { CELL_CACHE } from '../cells.ts';
import { world } from '../current.ts';
import type { Inode } from '../fs/inode.ts';
import { I_MMAP_LOCK, INVALIDATE_LOCK } from '../lock-classes.ts';
import { DiskBlocks } from './disk-blocks.ts';
import type { Vma } from './mm-types.ts';

/**
 * A folio flag beside those of machine/frames.ts: the content is valid. A page that fallocate made is zeroed when it is
 * first used.
 */
export const PG_UPTODATE: number = 1 << 16;
/** The content is on its way to the disk. */
export const PG_WRITEBACK: number = 1 << 17;

/** Cells of single pages begin above those of whole files. */
const PAGE_CELLS = 2 ** 36;
const PAGES_PER_MAPPING = 2 ** 28;

export class AddressSpace {
  /** From 1; what world.mappings knows it by. */
  readonly id: number;
  /** Page index to folio. Changed under the folio's lock. */
  readonly pages: Map<number, Pfn> = new Map();
  /** Page index to the swap slot that has the page instead; made when the first page goes. One count of the slot each. */
  swapped: Map<number, number> | null = null;
  /** Stands for `pages` as a whole: who looks for all pages of a range depends on every one that comes or goes. */
  readonly cell: Cell;
  /** VMAs that map the file. Protected by iMmapLock. @linux i_mmap */
  readonly iMmap: Set<Vma> = new Set();
  readonly iMmapLock: Lock;
  /** Where the pages come from and go to; null: shared memory, whose pages are all there is. */
  readonly disk: DiskBlocks | null;
  /** Whose pages they are. */
  host: Inode | null = null;
  /** Of a file on a disk: read by who brings pages in, written by who takes them out for good. @linux invalidate_lock */
  readonly invalidateLock: Lock | null;

  constructor(onDisk = false) {
    const owner = world.owner();
    const serial = world.mappingsMade[owner] ?? 0;
    world.mappingsMade[owner] = serial + 1;
    this.id = serial * world.machine.geometry.owners + owner + 1;
    this.cell = sched.newCell(CELL_CACHE);
    this.iMmapLock = new Lock(I_MMAP_LOCK, `i_mmap lock of file ${this.id}`);
    this.disk = onDisk ? new DiskBlocks(this.id) : null;
    this.invalidateLock = onDisk
      ? new Lock(INVALIDATE_LOCK, `invalidate_lock of file ${this.id}`)
      : null;
    world.mappings.set(this.id, this);
  }

  /** Stands for the page at an index: present, absent, which folio. */
  pageCell(index: number): Cell {
    return cellOf(CELL_CACHE, PAGE_CELLS + this.id * PAGES_PER_MAPPING + index);
  }
}

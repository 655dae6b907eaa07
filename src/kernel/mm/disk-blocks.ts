/** The blocks of one file on the simulated disk: what of a file survives when its pages go. One block is a page. */
import { machine } from '../../machine/current.ts';
import type { Pfn } from '../../machine/pte.ts';
import { type Cell, cellOf, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { CELL_INODE } from '../cells.ts';

/** Cells of blocks begin above those of inodes. */
const BLOCK_CELLS = 2 ** 36;
const BLOCKS_PER_FILE = 2 ** 28;

export class DiskBlocks {
  /** By page index; absent: never written, reads as zeroes. */
  readonly blocks: Map<number, Uint8Array> = new Map();
  private readonly base: number;

  /** @param id of the address space */
  constructor(id: number) {
    this.base = BLOCK_CELLS + id * BLOCKS_PER_FILE;
  }

  /** Stands for one block. */
  cell(index: number): Cell {
    return cellOf(CELL_INODE, this.base + index);
  }

  /** Fills a frame. Inside the running step. */
  read(index: number, pfn: Pfn): void {
    sched.touch(this.cell(index), READ);
    const block = this.blocks.get(index);
    machine.frames.zero(pfn);
    if (block !== undefined) machine.frames.write(pfn, 0, block);
  }

  /** Keeps what a frame holds now. Inside the running step. */
  write(index: number, pfn: Pfn): void {
    sched.touch(this.cell(index), WRITE);
    this.blocks.set(index, machine.frames.read(pfn, 0, machine.frames.contentBytes));
  }

  /** Whether anything was ever written there. */
  has(index: number): boolean {
    sched.touch(this.cell(index), READ);
    return this.blocks.has(index);
  }

  /** Gives blocks [first, end) back. @param end may be infinite */
  free(first: number, end: number): void {
    for (const index of this.blocks.keys()) {
      if (index < first || index >= end) continue;
      sched.touch(this.cell(index), WRITE);
      this.blocks.delete(index);
    }
  }
}

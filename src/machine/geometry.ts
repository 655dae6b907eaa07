/**
 * Sizes that litmus tests shrink and programs do not. Virtual addresses always have 4 KiB pages, so every alignment
 * rule and errno stays Linux's; what shrinks is how many bytes of content a page really keeps, how many entries a
 * table has (one page-table page covers one huge page), and how much RAM there is.
 */
export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** End of user space, 4-level x86-64: 2^47 - 4096. */
export const TASK_SIZE = 0x7ffffffff000;

export interface Geometry {
  /** Bytes of content kept per page: 4096 for programs, 16 for litmus. A power of two. */
  readonly contentBytes: number;
  /** PTEs in a table, and so base pages in a huge page. A power of two. */
  readonly ptrsPerPte: number;
  /** PMDs in a table. A power of two. */
  readonly ptrsPerPmd: number;
  /** Frames of RAM. At most 786,432 (3 GiB). */
  readonly frames: number;
  /** Tasks that allocate from lists of their own so that allocations commute (decision 3); 1 for programs. */
  readonly owners: number;
  /** Page-table pages each owner may have; programs grow beyond it. */
  readonly tablesPerOwner: number;
  /** mmap without an address searches downward from here. */
  readonly mmapBase: number;
}

export const REAL_GEOMETRY: Geometry = {
  contentBytes: 4096,
  ptrsPerPte: 512,
  ptrsPerPmd: 512,
  frames: 262_144,
  owners: 1,
  tablesPerOwner: 64,
  mmapBase: 0x7ffff7fff000,
};

export const LITMUS_GEOMETRY: Geometry = {
  contentBytes: 16,
  ptrsPerPte: 4,
  ptrsPerPmd: 4,
  frames: 320,
  owners: 10,
  tablesPerOwner: 16,
  mmapBase: 0x100000,
};

/**
 * The two structures everything hangs on: one address space (`Mm`) and one mapping in it (`Vma`).
 * @linux include/linux/mm_types.h
 */
import { ADD, type Cell, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { Lock } from '../../sched/lock.ts';
import { CELL_MM, CELL_TLB_PENDING, CELL_VMA, CELL_VMA_TREE } from '../cells.ts';
import type { File } from '../fs/file.ts';
import type { UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import { MMAP_LOCK, VMA_LOCK } from '../lock-classes.ts';
import type { AnonVma, AnonVmaChain } from './anon-vma.ts';
import type { HugetlbVma } from './hugetlb-vma.ts';
import type { MmuNotifierSubscriptions } from './mmu-notifier.ts';
import type { ThpDisabled } from './thp-policy.ts';
import type { VmFlags } from './vm-flags.ts';
import { VmaTree } from './vma-tree.ts';

/** A virtual address: below 2^47, a plain number, never shifted as 32 bits. */
export type Vaddr = number;

/**
 * One mapping. Bounds, flags and links change only under mmap_lock for writing plus this VMA's own lock for writing;
 * either one held for reading is enough to rely on them.
 */
export class Vma {
  readonly mm: Mm;
  start: Vaddr;
  end: Vaddr;
  flags: VmFlags;
  /** In pages; for anonymous memory the page number of the address at which it was first mapped. */
  pgoff: number;
  file: File | null = null;
  /** Set once, under mmap_lock for reading or better. */
  anonVma: AnonVma | null = null;
  /** Links to the anon_vmas whose folios may be mapped here. Protected by mmap_lock for writing. */
  anonVmaChain: AnonVmaChain[] = [];
  uffd: UserfaultfdCtx | null = null;
  /** Of hugetlb mappings: their lock and their promised pages. Protected by mmap_lock for writing. */
  hugetlb: HugetlbVma | null = null;
  /** Per-VMA lock. */
  readonly lock: Lock;
  /** No longer in the tree: a reader that found it under RCU must look again. */
  detached = false;
  readonly cell: Cell;

  constructor(mm: Mm, start: Vaddr, end: Vaddr, flags: VmFlags, pgoff: number) {
    this.mm = mm;
    this.start = start;
    this.end = end;
    this.flags = flags;
    this.pgoff = pgoff;
    this.lock = new Lock(VMA_LOCK, 'vma lock');
    this.cell = sched.newCell(CELL_VMA);
  }

  contains(address: Vaddr): boolean {
    return address >= this.start && address < this.end;
  }

  /** Records that this VMA's fields were relied on without a lock that orders it. */
  peek(): void {
    sched.touch(this.cell, READ);
  }

  /** Records a change. Requires: mmap_lock for writing and the VMA lock for writing. */
  poke(): void {
    sched.touch(this.cell, WRITE);
  }
}

/** Resident pages by kind. Statistics: not announced (decision 3). */
export interface Rss {
  anon: number;
  file: number;
  shmem: number;
  swap: number;
}

export class Mm {
  /** Numbers address spaces from 1; translated code is kept per address space. */
  readonly id: number;
  readonly mmapLock: Lock;
  /** Protected by mmap_lock; lockless readers go through lockVmaUnderRcu. */
  readonly vmas: VmaTree = new VmaTree();
  readonly treeCell: Cell;
  readonly cell: Cell;
  /**
   * Top level: PUD tables by address / (page * ptrsPerPte * ptrsPerPmd * granule). Entries appear under mmap_lock for
   * reading and go away only with the mm.
   */
  readonly pgd: Map<number, number> = new Map();
  /** Stands for the pgd: a walk that finds nothing there depends on who adds to it. */
  readonly pgdCell: Cell;
  /** Tasks that use it. @linux mm_users */
  users = 1;
  /** Harts that may hold TLB entries of it: those that flushes must reach. @linux mm_cpumask */
  readonly harts: Set<number> = new Set();
  /** Somebody has changed entries and not flushed yet. @linux tlb_flush_pending */
  tlbFlushPending = 0;
  readonly tlbPendingCell: Cell;
  /** Accesses that faulted and are not done yet, but for those that wait for user space. */
  accessesDue = 0;
  readonly accessesDueCell: Cell;
  /** Who else maps it; null: nobody ever did. Set under mmap_lock for writing. */
  notifiers: MmuNotifierSubscriptions | null = null;
  /** VMAs write-locked until mmap_lock is released. Protected by mmap_lock for writing. */
  readonly writeLocked: Vma[] = [];
  readonly rss: Rss = { anon: 0, file: 0, shmem: 0, swap: 0 };
  /** Base pages mapped by hugetlb entries. Statistics. @linux hugetlb_usage */
  hugetlbUsage = 0;
  /** Page-table pages, for VmPTE and the census. */
  tables = 0;
  private everPinned = false;
  private readonly pinnedCell: Cell;
  /** Odd while fork write-protects pages: then GUP-fast gives up. @linux write_protect_seq */
  writeProtectSeq = 0;
  readonly writeProtectCell: Cell;
  /** PR_SET_THP_DISABLE; inherited by fork. */
  thpDisable: ThpDisabled = 'no';
  /**
   * A write went through an entry that kept its uffd-wp bit after the VMA was registered anew without write protection:
   * from then on an entry may be protected and writable at once, as it may on 6.18. Only ever set.
   */
  staleUffdWp = false;
  /** PR_MDWE_* bits (mdwe.ts). */
  mdwe = 0;
  /** Private memory has been taken from it (oom-stable.ts). @linux MMF_UNSTABLE */
  unstable = false;
  /** The most pages mapped and resident so far, as of the last unmapping. @linux hiwater_vm, hiwater_rss */
  hiwaterVm = 0;
  hiwaterRss = 0;
  totalVm = 0;
  lockedVm = 0;
  /** The program it was made for, with a reference. @linux exe_file */
  exeFile: File | null = null;
  startBrk: Vaddr = 0;
  brk: Vaddr = 0;
  startStack: Vaddr = 0;
  argStart: Vaddr = 0;
  argEnd: Vaddr = 0;
  envStart: Vaddr = 0;
  envEnd: Vaddr = 0;
  /** New private mappings may be merged (PR_SET_MEMORY_MERGE). @linux MMF_VM_MERGE_ANY */
  mergeAny = false;
  /** Flags that new VMAs get besides their own (mlockall). */
  defFlags = 0 as VmFlags;

  constructor(id: number) {
    this.id = id;
    this.mmapLock = new Lock(MMAP_LOCK, `mmap_lock of mm ${id}`);
    this.treeCell = sched.newCell(CELL_VMA_TREE);
    this.cell = sched.newCell(CELL_MM);
    this.pgdCell = sched.newCell(CELL_MM);
    this.accessesDueCell = sched.newCell(CELL_MM);
    this.tlbPendingCell = sched.newCell(CELL_TLB_PENDING);
    this.pinnedCell = sched.newCell(CELL_MM);
    this.writeProtectCell = sched.newCell(CELL_MM);
  }

  addAccessesDue(delta: 1 | -1): void {
    sched.touch(this.accessesDueCell, ADD);
    this.accessesDue += delta;
  }

  /** @linux mm_set_has_pinned_flag */
  setHasPinned(): void {
    if (this.everPinned) return;
    sched.touch(this.pinnedCell, WRITE);
    this.everPinned = true;
  }

  /** Whether anything was ever pinned for DMA here. @linux MMF_HAS_PINNED */
  get hasPinned(): boolean {
    sched.touch(this.pinnedCell, READ);
    return this.everPinned;
  }

  get mapCount(): number {
    return this.vmas.size;
  }
}

/** A file's identity apart from who has it open: size, seals, pages. @linux include/linux/fs.h struct inode, shmem_inode_info */
import { type Cell, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { Lock, type LockClass } from '../../sched/lock.ts';
import { CELL_INODE } from '../cells.ts';
import { INODE_LOCK } from '../lock-classes.ts';
import { AddressSpace } from '../mm/address-space.ts';
import type { Hstate } from '../mm/hugetlb.ts';
import type { ResvMap } from '../mm/hugetlb-reserve.ts';

/** A hole that is being punched: pages [start, end). @linux mm/shmem.c struct shmem_falloc */
export interface Punching {
  readonly start: number;
  readonly end: number;
}

export class Inode {
  readonly mapping: AddressSpace = new AddressSpace();
  /** Write, truncate and fallocate hold it. @linux i_rwsem */
  readonly lock: Lock;
  /** The pool its pages come from; null: base pages. */
  hstate: Hstate | null = null;
  /** Pages of a hugetlb file that have a huge page promised, or have one. */
  resv: ResvMap | null = null;
  /** File type and permissions. */
  readonly mode: number;
  /** What stands for the size and the seals. */
  readonly sizeCell: Cell = sched.newCell(CELL_INODE);
  readonly punchCell: Cell = sched.newCell(CELL_INODE);
  private bytes = 0;
  /** F_SEAL_* bits. Protected by `lock` for changing. */
  private sealBits: number;
  private hole: Punching | null = null;

  constructor(mode: number, seals: number, lockClass: LockClass = INODE_LOCK) {
    this.mode = mode;
    this.lock = new Lock(lockClass, 'inode lock');
    this.sealBits = seals;
  }

  /** Bytes; read without a lock. @linux i_size_read */
  get size(): number {
    sched.touch(this.sizeCell, READ);
    return this.bytes;
  }
  set size(bytes: number) {
    sched.touch(this.sizeCell, WRITE);
    this.bytes = bytes;
  }

  get seals(): number {
    sched.touch(this.sizeCell, READ);
    return this.sealBits;
  }
  set seals(seals: number) {
    sched.touch(this.sizeCell, WRITE);
    this.sealBits = seals;
  }

  get punching(): Punching | null {
    sched.touch(this.punchCell, READ);
    return this.hole;
  }
  set punching(punching: Punching | null) {
    sched.touch(this.punchCell, WRITE);
    this.hole = punching;
  }

  /** Size as it is, for reports and checks: touches nothing. */
  peekSize(): number {
    return this.bytes;
  }
}

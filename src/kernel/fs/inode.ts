/** A regular file apart from who has it open: size, seals, pages. @linux include/linux/fs.h struct inode, shmem_inode_info */
import { type Cell, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { Lock, type LockClass } from '../../sched/lock.ts';
import { CELL_INODE } from '../cells.ts';
import { INODE_LOCK } from '../lock-classes.ts';
import { AddressSpace } from '../mm/address-space.ts';
import type { FileWatch } from '../mm/file-watch.ts';
import type { Hstate } from '../mm/hugetlb.ts';
import type { ResvMap } from '../mm/hugetlb-reserve.ts';
import { SHM_MOUNT, type SuperBlock } from './super.ts';
import { VfsNode } from './vfs-node.ts';

/** A hole that is being punched: pages [start, end). @linux mm/shmem.c struct shmem_falloc */
export interface Punching {
  readonly start: number;
  readonly end: number;
}

export class Inode extends VfsNode {
  readonly mapping: AddressSpace;
  /** Write, truncate and fallocate hold it. @linux i_rwsem */
  readonly lock: Lock;
  /** The pool its pages come from; null: base pages. */
  hstate: Hstate | null = null;
  /** Pages of a hugetlb file that have a huge page promised, or have one. */
  resv: ResvMap | null = null;
  /** What stands for the size and the seals. */
  readonly sizeCell: Cell = sched.newCell(CELL_INODE);
  readonly punchCell: Cell = sched.newCell(CELL_INODE);
  /** Who hears of writes to the file; null: nobody, as in every kernel. */
  watch: FileWatch | null = null;
  private bytes = 0;
  /** F_SEAL_* bits. Protected by `lock` for changing. */
  private sealBits: number;
  private hole: Punching | null = null;
  /** Open files and calls that use it; with no name and no user its pages go. @linux i_count */
  users = 0;

  /**
   * @param mode file type and permissions
   * @param ino its number; without one a file that has no name, on the mount of shared memory
   */
  constructor(
    mode: number,
    seals: number,
    lockClass: LockClass = INODE_LOCK,
    sb: SuperBlock = SHM_MOUNT,
    ino?: number,
  ) {
    const mapping = new AddressSpace(sb.onDisk);
    super(sb, ino ?? mapping.id, mode);
    this.mapping = mapping;
    mapping.host = this;
    this.lock = new Lock(lockClass, 'inode lock');
    if (ino === undefined) this.nlink = 0;
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

/**
 * The kernel's locks and their order, outer to inner; docs/locking.md is written from this table and lockdep checks it
 * in every run. @linux mm/rmap.c (the lock ordering comment), semantics.md section 18
 */
import type { LockClass } from '../sched/lock.ts';
import {
  CELL_ANON_VMA,
  CELL_FILE,
  CELL_FOLIO_LOCK,
  CELL_HUGETLB,
  CELL_I_MMAP,
  CELL_INODE,
  CELL_KVM,
  CELL_MAP_CHANGING,
  CELL_MMAP_LOCK,
  CELL_PTL,
  CELL_UFFD_QUEUE,
  CELL_VMA_LOCK,
} from './cells.ts';

function sleeping(name: string, rank: number, cellClass: number, nests = false): LockClass {
  return { name, rank, nests, spins: false, cellClass };
}
function spinning(name: string, rank: number, cellClass: number, nests = false): LockClass {
  return { name, rank, nests, spins: true, cellClass };
}

/** A pipe's or file's own mutex; those of two pipes in the order of their cells. */
export const FILE_LOCK: LockClass = sleeping('file lock', 5, CELL_FILE, true);
/** The address space: VMA tree and everything in it. fork holds the parent's and the child's. */
export const MMAP_LOCK: LockClass = sleeping('mmap_lock', 10, CELL_MMAP_LOCK, true);
/** An inode's contents as a whole: write, truncate and fallocate exclude each other. @linux inode->i_rwsem */
export const INODE_LOCK: LockClass = sleeping('inode lock', 7, CELL_INODE);
/**
 * The inode of a hugetlb file, which mmap(2) takes to promise pages: such a file has no write(2), so nobody faults under
 * it. @linux fs/hugetlbfs/inode.c hugetlbfs_i_mmap_rwsem_key
 */
export const HUGETLB_INODE_LOCK: LockClass = sleeping('hugetlb inode lock', 15, CELL_INODE);
/** One VMA: read by faults and userfaultfd fills, written by whoever changes it under mmap_lock. */
export const VMA_LOCK: LockClass = sleeping('vma lock', 40, CELL_VMA_LOCK, true);
/** A file on a disk: whoever brings a page in keeps out whoever takes pages away for good. @linux mapping->invalidate_lock */
export const INVALIDATE_LOCK: LockClass = sleeping('invalidate_lock', 43, CELL_INODE);
export const MAP_CHANGING_LOCK: LockClass = sleeping('map_changing_lock', 45, CELL_MAP_CHANGING);
/** Faults on one page of a hugetlb file, and its removal, one at a time. @linux hugetlb_fault_mutex_table */
export const HUGETLB_FAULT_MUTEX: LockClass = sleeping('hugetlb fault mutex', 46, CELL_HUGETLB);
/** Page tables of one hugetlb VMA: read by faults, written by who may take a shared table away. */
export const HUGETLB_VMA_LOCK: LockClass = sleeping('hugetlb vma lock', 47, CELL_HUGETLB, true);
/**
 * One page: held from finding it in the page cache to mapping it, while it is removed, and while its place in the reverse
 * mapping changes. Faults take it under the VMA lock, which they hold by a trylock; nobody takes a VMA lock for writing under it here.
 */
export const FOLIO_LOCK: LockClass = sleeping('folio lock', 48, CELL_FOLIO_LOCK, true);
/** The VMAs that map a file. @linux i_mmap_rwsem */
export const I_MMAP_LOCK: LockClass = sleeping('i_mmap lock', 50, CELL_I_MMAP);
export const ANON_VMA_LOCK: LockClass = sleeping('anon_vma', 60, CELL_ANON_VMA, true);
/** One finder of a cached guest page at a time. @linux gpc->refresh_lock */
export const KVM_REFRESH_LOCK: LockClass = sleeping('gpc refresh', 4, CELL_KVM);
/** A cached guest page: read while it is used. @linux gpc->lock */
export const KVM_GPC_LOCK: LockClass = spinning('gpc lock', 64, CELL_KVM);
/** The shadow entries of a VM: taken inside everything a change of page tables holds while it tells listeners. */
export const KVM_MMU_LOCK: LockClass = spinning('kvm mmu_lock', 65, CELL_KVM);
/** The lock of a PMD table, then of a PTE table; two of a kind in address order. */
export const PMD_LOCK: LockClass = spinning('pmd lock', 70, CELL_PTL, true);
export const PTE_LOCK: LockClass = spinning('pte lock', 71, CELL_PTL, true);
/** fd_wqh > fault_pending_wqh > fault_wqh and event_wqh: one lock stands for the nest, nothing runs between them. */
export const UFFD_QUEUE_LOCK: LockClass = spinning('uffd queue', 80, CELL_UFFD_QUEUE);

export const LOCK_CLASSES: readonly LockClass[] = [
  KVM_REFRESH_LOCK,
  FILE_LOCK,
  INODE_LOCK,
  MMAP_LOCK,
  HUGETLB_INODE_LOCK,
  VMA_LOCK,
  INVALIDATE_LOCK,
  MAP_CHANGING_LOCK,
  HUGETLB_FAULT_MUTEX,
  HUGETLB_VMA_LOCK,
  FOLIO_LOCK,
  I_MMAP_LOCK,
  ANON_VMA_LOCK,
  KVM_GPC_LOCK,
  KVM_MMU_LOCK,
  PMD_LOCK,
  PTE_LOCK,
  UFFD_QUEUE_LOCK,
];

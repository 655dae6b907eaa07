/** Cell classes of the kernel, and names for all of them: what a diagram and a race report print. */
import { type Cell, cellClass, cellIndex } from '../sched/cell.ts';

/** Words of a virtual machine: shadow entries, TLBs of vCPUs, caches. */
export const CELL_KVM = 8;
export const CELL_MMAP_LOCK = 10;
export const CELL_VMA_LOCK = 11;
/** The VMA tree of an mm: inserting and removing. */
export const CELL_VMA_TREE = 12;
/** One VMA's bounds, flags and attachment. */
export const CELL_VMA = 13;
export const CELL_PTL = 14;
export const CELL_ANON_VMA = 15;
export const CELL_UFFD_QUEUE = 16;
/** userfaultfd_ctx: released, features, mmap_changing. */
export const CELL_UFFD_CTX = 17;
export const CELL_MAP_CHANGING = 18;
export const CELL_WOKEN = 19;
export const CELL_RCU = 20;
export const CELL_FILE = 21;
export const CELL_FOLIO_LOCK = 22;
/** Anything of a task that others look at: signals, exit state, children. */
export const CELL_TASK = 23;
/** Register or page value of a litmus test. */
export const CELL_TEST = 24;
/** A pending TLB flush of an mm. @linux mm_tlb_flush_pending */
export const CELL_TLB_PENDING = 25;
export const CELL_MM = 26;
/** Whether a VMA has its anon_vma yet; index is that of the VMA's own cell. */
export const CELL_VMA_ANON = 27;
/** The links of an address_space to the VMAs that map it. */
export const CELL_I_MMAP = 28;
/** One page of a file in the page cache, or all of a file's pages. */
export const CELL_CACHE = 29;
/** An inode: its size, its seals, a hole being punched. */
export const CELL_INODE = 30;
/** One slot of the swap device with its folio in the swap cache; index 0: which slots are free. */
export const CELL_SWAP = 31;
/** A pool of huge pages, by its size; or which pages of a file or mapping have promises of such pages. */
export const CELL_HUGETLB = 32;

/** The OOM killer: whom it has chosen; an address space it has taken from. */
export const CELL_OOM = 33;

const NAMES: readonly string[] = [
  'spawn',
  'thread',
  'pte',
  'tlb',
  'page',
  'refcount',
  'folio',
  'mapcount',
  'kvm',
  'shortage',
  'mmap_lock',
  'vma_lock',
  'vma_tree',
  'vma',
  'ptl',
  'anon_vma',
  'uffd_queue',
  'uffd_ctx',
  'map_changing_lock',
  'woken',
  'rcu',
  'file',
  'folio_lock',
  'task',
  'test',
  'tlb_flush_pending',
  'mm',
  'vma.anon_vma',
  'i_mmap',
  'page cache',
  'inode',
  'swap',
  'hugetlb',
  'oom',
];

/** `pte 12`. */
export function cellName(cell: Cell): string {
  return `${NAMES[cellClass(cell)] ?? 'cell'} ${cellIndex(cell)}`;
}

/** Flags, features and modes that random programs choose from; what stands twice comes more often. */

export const PRIVATE_ANONYMOUS = 0x22;
export const SHARED_ANONYMOUS = 0x21;
export const PROT_GROWSDOWN = 0x1000000;
export const MAP_FIXED = 0x10;
export const MAP_GROWSDOWN = 0x100;
export const MAP_LOCKED = 0x2000;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MAP_STACK = 0x20000;
export const MAP_FIXED_NOREPLACE = 0x100000;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;
export const FEATURE_SIGBUS: number = 1 << 7;
const FEATURE_THREAD_ID = 1 << 8;
const FEATURE_MINOR_SHMEM = 1 << 10;
const FEATURE_EXACT_ADDRESS = 1 << 11;
const FEATURE_WP_SHMEM = 1 << 12;
const FEATURE_WP_UNPOPULATED = 1 << 13;
export const FEATURE_WP_ASYNC: number = 1 << 15;
/** What each descriptor may ask for besides; those without a name here are there anyway. */
export const FEATURES: readonly number[] = [
  FEATURE_WP_UNPOPULATED,
  FEATURE_THREAD_ID,
  FEATURE_EXACT_ADDRESS,
  FEATURE_MINOR_SHMEM,
  FEATURE_WP_SHMEM,
];
/** PAGEFAULT_FLAG_WP, MISSING_HUGETLBFS, MISSING_SHMEM, MINOR_HUGETLBFS, POISON, MOVE. */
export const FEATURES_WITHOUT_EFFECT: readonly number[] = [0, 4, 5, 9, 14, 16].map(
  (bit) => 1 << bit,
);
export const EVENT_FORK: number = 1 << 1;
/** FORK, REMAP, REMOVE, UNMAP. */
export const EVENTS: readonly number[] = [EVENT_FORK, 1 << 2, 1 << 3, 1 << 6];
/** Operations that wait for a fault to be resolved or an event to be read. */
export const MAY_WAIT: ReadonlySet<string> = new Set([
  'load',
  'store',
  'madvise',
  'munmap',
  'mmap',
  'mremap',
  'brk',
  'fork',
  'mlock',
  'mlock2',
  'mlockall',
  'process_madvise',
  'mapfile',
  'ftruncate',
  'fallocate',
  'pread',
  'pwrite',
  'lseek',
  'seal',
]);
/** Longer than user space, and lengths that wrap around its end. */
export const TOO_LONG: number = 2 ** 47;

/** Pages of one UFFDIO_COPY, so that its source stays inside the buffer. */
export const LONGEST_COPY = 4;
export const REGISTER_MODES: readonly number[] = [1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 0, 4, 5, 9];
/** Where shared memory is: MINOR too. */
export const MINOR_MODES: readonly number[] = [4, 4, 5, 6, 7, 1, 2, 3];
export const WP_MODES: readonly number[] = [1, 1, 1, 1, 1, 0, 0, 2, 3, 4];
/** PAGEOUT, WILLNEED, COLD, FREE. */
export const SWAPPING: readonly number[] = [21, 21, 21, 21, 21, 3, 3, 20, 8];
/** HUGEPAGE, NOHUGEPAGE, COLLAPSE, DONTNEED, FREE, COLD, PAGEOUT. */
export const BIG_ADVICE: readonly number[] = [14, 14, 14, 15, 25, 25, 4, 8, 20, 21];

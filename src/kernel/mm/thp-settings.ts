/**
 * What transparent huge pages are used for, as /sys/kernel/mm/transparent_hugepage says.
 * @linux Documentation/admin-guide/mm/transhuge.rst
 */

export type ThpEnabled = 'always' | 'madvise' | 'never';
/** `within_size` and `force` too, as shmem has them. */
export type ThpShmem = 'always' | 'within_size' | 'advise' | 'never' | 'deny' | 'force';

export interface ThpSettings {
  /** Anonymous memory. */
  readonly enabled: ThpEnabled;
  /** Memory of memfds and MAP_SHARED|MAP_ANONYMOUS. */
  readonly shmem: ThpShmem;
  /** Whether reads of untouched memory map the huge zero page. */
  readonly useZeroPage: boolean;
  /** How hard to try. Nothing is tried hard here: there is a run of free frames or not. */
  readonly defrag: string;
  /** khugepaged: how many pages of a huge page may be missing, on the swap device, in more than one process. */
  readonly maxPtesNone: number;
  readonly maxPtesSwap: number;
  readonly maxPtesShared: number;
}

/** No huge pages; otherwise the values of a machine with 4 KiB pages. */
export const THP_NEVER: ThpSettings = {
  enabled: 'never',
  shmem: 'never',
  useZeroPage: true,
  defrag: 'madvise',
  maxPtesNone: 511,
  maxPtesSwap: 64,
  maxPtesShared: 256,
};

/** As most distributions have it: where a program asks with madvise, and not in shared memory (6.18.44). */
export const THP_DEFAULT: ThpSettings = { ...THP_NEVER, enabled: 'madvise' };
/** Wherever madvise asks for it. */
export const THP_MADVISE: ThpSettings = { ...THP_DEFAULT, shmem: 'advise' };

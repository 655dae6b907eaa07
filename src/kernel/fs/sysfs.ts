/**
 * What programs read under /sys/kernel/mm and /proc/sys/vm: settings and figures. There are no transparent huge pages,
 * and the files say so. @linux mm/huge_memory.c, mm/hugetlb_sysfs.c, Documentation/admin-guide/sysctl/vm.rst
 */
import { world } from '../current.ts';
import { HUGETLB_SETTINGS, HUGETLB_STORES } from './sysfs-hugetlb.ts';

const THP = '/sys/kernel/mm/transparent_hugepage';
const KHUGEPAGED: Readonly<Record<string, number>> = {
  alloc_sleep_millisecs: 60_000,
  defrag: 1,
  full_scans: 0,
  max_ptes_none: 511,
  max_ptes_shared: 256,
  max_ptes_swap: 64,
  pages_collapsed: 0,
  pages_to_scan: 4096,
  scan_sleep_millisecs: 10_000,
};

/** Texts by path, without the line's end. */
export const SETTINGS: Readonly<Record<string, () => string>> = {
  [`${THP}/enabled`]: () => 'always madvise [never]',
  [`${THP}/defrag`]: () => 'always defer defer+madvise [madvise] never',
  [`${THP}/shmem_enabled`]: () => 'always within_size advise [never] deny force',
  [`${THP}/use_zero_page`]: () => '1',
  [`${THP}/hpage_pmd_size`]: () => '2097152',
  ...Object.fromEntries(
    Object.entries(KHUGEPAGED).map(([name, value]) => [
      `${THP}/khugepaged/${name}`,
      () => `${value}`,
    ]),
  ),
  ...HUGETLB_SETTINGS,
  '/proc/sys/vm/unprivileged_userfaultfd': () => `${world.sysctl.unprivilegedUserfaultfd}`,
  '/proc/sys/vm/overcommit_memory': () => `${world.sysctl.overcommitMemory}`,
  '/proc/sys/vm/max_map_count': () => `${world.sysctl.maxMapCount}`,
  '/proc/sys/vm/mmap_min_addr': () => `${world.sysctl.mmapMinAddr}`,
  '/proc/sys/vm/overcommit_ratio': () => '50',
  '/proc/sys/vm/swappiness': () => '60',
  '/proc/swaps': () => 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority',
};

/** What writing to them does: 0 or a negative errno. Settings without an entry cannot be written. */
export const STORES: Readonly<Record<string, (text: string) => number>> = { ...HUGETLB_STORES };

/**
 * What programs read under /sys/kernel/mm and /proc/sys/vm: settings and figures. @linux mm/huge_memory.c, mm/hugetlb_sysfs.c, Documentation/admin-guide/sysctl/vm.rst
 */
import { EINVAL } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { KSM_SETTINGS, KSM_STORES } from '../mm/ksmd.ts';
import { SWAP_PATH } from '../mm/swapfile.ts';
import type { ThpEnabled, ThpSettings, ThpShmem } from '../mm/thp-settings.ts';
import type { Store } from './bytes-file.ts';
import { SYSCTL_STORES, SYSCTLS } from './sysctl.ts';
import { HUGETLB_SETTINGS, HUGETLB_STORES } from './sysfs-hugetlb.ts';

const THP = '/sys/kernel/mm/transparent_hugepage';
const ENABLED: readonly ThpEnabled[] = ['always', 'madvise', 'never'];
const DEFRAG: readonly string[] = ['always', 'defer', 'defer+madvise', 'madvise', 'never'];
const SHMEM: readonly ThpShmem[] = ['always', 'within_size', 'advise', 'never', 'deny', 'force'];
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
  [`${THP}/enabled`]: () => chosen(ENABLED, world.thp.enabled),
  [`${THP}/defrag`]: () => chosen(DEFRAG, world.thp.defrag),
  [`${THP}/shmem_enabled`]: () => chosen(SHMEM, world.thp.shmem),
  [`${THP}/use_zero_page`]: () => (world.thp.useZeroPage ? '1' : '0'),
  [`${THP}/hpage_pmd_size`]: () => '2097152',
  ...Object.fromEntries(
    Object.entries(KHUGEPAGED).map(([name, value]) => [
      `${THP}/khugepaged/${name}`,
      () => `${value}`,
    ]),
  ),
  ...HUGETLB_SETTINGS,
  '/proc/sys/kernel/shmmax': () => '18446744073692774399',
  '/proc/sys/kernel/shmall': () => '18446744073692774399',
  '/proc/sys/kernel/shmmni': () => '4096',
  ...KSM_SETTINGS,
  ...SYSCTLS,
  '/proc/sys/vm/overcommit_ratio': () => '50',
  '/proc/sys/vm/swappiness': () => '60',
  '/proc/swaps': procSwaps,
};

/** The device and what it holds, in kB, as 6.18.44 prints it. @linux mm/swapfile.c swap_show */
function procSwaps(): string {
  const head = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority';
  if (world.swap === null || world.swap.freed) return head;
  const { slots, used, priority } = world.swap;
  const [size, taken] = [slots * 4, used * 4].map((kb) => (kb < 1e7 ? `${kb}\t` : `${kb}`));
  return `${head}\n${SWAP_PATH.padEnd(40)}partition\t${size}\t${taken}\t${priority}`;
}

/** What writing to them does: 0 or a negative errno. Settings without an entry cannot be written. */
export const STORES: Readonly<Record<string, Store>> = {
  [`${THP}/enabled`]: (text) => choose(ENABLED, text, (enabled) => ({ enabled })),
  [`${THP}/defrag`]: (text) => choose(DEFRAG, text, (defrag) => ({ defrag })),
  [`${THP}/shmem_enabled`]: (text) => choose(SHMEM, text, (shmem) => ({ shmem })),
  [`${THP}/use_zero_page`]: (text) =>
    choose(['0', '1'], text, (word) => ({ useZeroPage: word === '1' })),
  ...HUGETLB_STORES,
  ...KSM_STORES,
  ...SYSCTL_STORES,
};

/** All words, the chosen one in brackets. */
function chosen(words: readonly string[], current: string): string {
  return words.map((word) => (word === current ? `[${word}]` : word)).join(' ');
}

function choose<W extends string>(
  words: readonly W[],
  text: string,
  change: (word: W) => Partial<ThpSettings>,
): number {
  const word = words.find((w) => w === text.trim());
  if (word === undefined) return -EINVAL;
  world.thp = { ...world.thp, ...change(word) };
  return 0;
}

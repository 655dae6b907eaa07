/** Pools of huge pages under /sys/kernel/mm/hugepages and /proc/sys/vm. @linux mm/hugetlb_sysfs.c, mm/hugetlb_sysctl.c */
import { EINVAL } from '../../uapi/errno.ts';
import {
  defaultHstate,
  type Hstate,
  hstates,
  POOL_COUNTS,
  poolCount,
  setMaxHugePages,
  setOvercommitHugePages,
} from '../mm/hugetlb.ts';

const POOLS = '/sys/kernel/mm/hugepages';
/** Directories of the pools, in the order of `hstates`. */
const DIRECTORIES = ['hugepages-2048kB', 'hugepages-1048576kB'];
const SYSCTLS: Readonly<Record<string, string>> = {
  nr_hugepages: 'nr_hugepages',
  nr_hugepages_mempolicy: 'nr_hugepages',
  nr_overcommit_hugepages: 'nr_overcommit_hugepages',
};

function pool(index: number): Hstate {
  return hstates()[index] ?? defaultHstate();
}

/** Texts by path. */
export const HUGETLB_SETTINGS: Readonly<Record<string, () => string>> = Object.fromEntries([
  ...DIRECTORIES.flatMap((directory, i) =>
    Object.keys(POOL_COUNTS).map((name): [string, () => string] => [
      `${POOLS}/${directory}/${name}`,
      () => `${poolCount(pool(i), name)}`,
    ]),
  ),
  ...Object.entries(SYSCTLS).map(([name, count]): [string, () => string] => [
    `/proc/sys/vm/${name}`,
    () => `${poolCount(defaultHstate(), count)}`,
  ]),
]);

/** What can be written: a decimal number. */
export const HUGETLB_STORES: Readonly<Record<string, (text: string) => number>> =
  Object.fromEntries([
    ...DIRECTORIES.flatMap((directory, i) =>
      Object.keys(SYSCTLS).map((name): [string, (text: string) => number] => [
        `${POOLS}/${directory}/${name}`,
        (text) => store(pool(i), name, text),
      ]),
    ),
    ...Object.keys(SYSCTLS).map((name): [string, (text: string) => number] => [
      `/proc/sys/vm/${name}`,
      (text) => store(defaultHstate(), name, text),
    ]),
  ]);

function store(h: Hstate, name: string, text: string): number {
  if (!/^\s*\d+\s*$/.test(text)) return -EINVAL;
  const count = Number(text);
  if (name !== 'nr_overcommit_hugepages') setMaxHugePages(h, count);
  else if (!h.isPmdSized) return -EINVAL;
  else setOvercommitHugePages(h, count);
  return 0;
}

/** /proc/sys/vm: numbers that can be read and, in their bounds, set; drop_caches. @linux kernel/sysctl.c; sysctl/vm.rst */
import { machine } from '../../machine/current.ts';
import { PG_DIRTY } from '../../machine/frames.ts';
import { EINVAL } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { type AddressSpace, PG_WRITEBACK } from '../mm/address-space.ts';
import { filemapRemoveFolio } from '../mm/filemap.ts';
import type { Sysctl } from '../world.ts';
import type { Store } from './bytes-file.ts';

const INT_MAX = 2 ** 31 - 1;

/** Name under /proc/sys/vm, field, largest value. */
const NUMBERS: readonly (readonly [string, keyof Sysctl, number])[] = [
  ['max_map_count', 'maxMapCount', INT_MAX],
  ['mmap_min_addr', 'mmapMinAddr', 2 ** 47],
  ['overcommit_memory', 'overcommitMemory', 2],
  ['unprivileged_userfaultfd', 'unprivilegedUserfaultfd', 1],
];

/** A decimal number with blanks around it, or null. @linux proc_dointvec_minmax */
function parse(text: string, most: number): number | null {
  const word = text.trim();
  if (!/^[0-9]+$/.test(word)) return null;
  const value = Number(word);
  return value <= most ? value : null;
}

function setting(field: keyof Sysctl, most: number): Store {
  return (text) => {
    const value = parse(text, most);
    if (value === null) return -EINVAL;
    world.sysctl[field] = value;
    return 0;
  };
}

/** 1: clean pages that nobody maps go; 2: nothing that is modelled; 3: both. @linux fs/drop_caches.c */
function dropCaches(text: string): number {
  const what = parse(text, 4);
  if (what === null || what === 0) return -EINVAL;
  if ((what & 1) === 0) return 0;
  for (const mapping of world.mappings.values()) if (mapping.disk !== null) dropClean(mapping);
  return 0;
}

/** @linux mm/truncate.c invalidate_mapping_pages */
function dropClean(mapping: AddressSpace): void {
  const { frames } = machine;
  for (const [index, pfn] of [...mapping.pages]) {
    const busy = frames.hasFlag(pfn, PG_DIRTY | PG_WRITEBACK) || frames.refcount(pfn) > 1;
    if (!busy && world.folioLocks.get(pfn)?.free !== false) {
      filemapRemoveFolio(mapping, index, pfn);
    }
  }
}

/** Texts by path, without the line's end. */
export const SYSCTLS: Readonly<Record<string, () => string>> = {
  ...Object.fromEntries(
    NUMBERS.map(([name, field]) => [`/proc/sys/vm/${name}`, () => `${world.sysctl[field]}`]),
  ),
  '/proc/sys/vm/drop_caches': () => '0',
};

export const SYSCTL_STORES: Readonly<Record<string, Store>> = {
  ...Object.fromEntries(
    NUMBERS.map(([name, field, most]) => [`/proc/sys/vm/${name}`, setting(field, most)]),
  ),
  '/proc/sys/vm/drop_caches': dropCaches,
};

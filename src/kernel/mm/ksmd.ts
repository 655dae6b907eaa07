/**
 * The thread that goes through mergeable memory, a batch of pages at a time, while /sys/kernel/mm/ksm/run says 1; and what
 * the files of KSM say and do. @linux mm/ksm.c ksm_scan_thread; Documentation/admin-guide/mm/ksm.rst
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { until } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EINVAL } from '../../uapi/errno.ts';
import { peekPte } from '../check/page-tables.ts';
import { world } from '../current.ts';
import { isKsmZero, type Ksm, ksm, ksmScanPage, unmergeKsmPages } from './ksm.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock } from './mmap-lock.ts';
import { has, VM_MERGEABLE } from './vm-flags.ts';

/** What an item costs, in the profit that is reported. @linux sizeof(struct ksm_rmap_item) on 64-bit machines */
const RMAP_ITEM_BYTES = 64;

/** The scanner. A daemon: never ends. */
export function* ksmd(): Steps<void> {
  const state = ksm();
  for (;;) {
    const scan = pagesToScan();
    for (let batch = 0; batch < Math.max(1, scan.length); batch += state.pagesToScan) {
      yield* until('ksmd', state.cell, READ, () => state.run === 1, 'a 1 in ksm/run');
      for (const [mm, address] of scan.slice(batch, batch + state.pagesToScan)) {
        yield* ksmScanPage(mm, address, true);
        state.pagesScanned++;
      }
      if (batch + state.pagesToScan < scan.length) yield* nap(state);
    }
    endOfScan(state);
    yield* nap(state);
  }
}

function* nap(state: Ksm): Steps<void> {
  const { clock } = machine;
  let over = false;
  clock.at(clock.now + state.sleepMillisecs * 1e6, () => {
    over = true;
  });
  yield* until('ksmd sleeps', state.cell, READ, () => over, 'its time');
}

/** Every page of every mapping that may be merged. */
function pagesToScan(): (readonly [Mm, Vaddr])[] {
  const pages: (readonly [Mm, Vaddr])[] = [];
  for (const mm of world.mms) {
    for (const vma of mm.vmas) {
      if (!has(vma.flags, VM_MERGEABLE) || vma.anonVma === null) continue;
      for (let a = vma.start; a < vma.end; a += PAGE_SIZE) pages.push([mm, a]);
    }
  }
  return pages;
}

/** What had no twin may have changed; what is not mapped any more is forgotten. */
function endOfScan(state: Ksm): void {
  state.fullScans++;
  state.unstable.clear();
  for (const [key, { mm, address }] of state.items) {
    const vma = mm.users === 0 ? null : mm.vmas.find(address);
    if (vma === null || !has(vma.flags, VM_MERGEABLE)) state.items.delete(key);
  }
}

/** Writing to ksm/run: 1 lets the scanner go, 0 stops it, 2 stops it and gives everybody pages of their own. */
function* setRun(text: string): Steps<number> {
  const value = Number(text.trim());
  if (!/^\s*[012]\s*$/.test(text)) return -EINVAL;
  const state = ksm();
  if (state.run === value) return 0;
  sched.touch(state.cell, WRITE);
  state.run = value;
  if (value === 1 && !state.started) {
    state.started = true;
    world.sched.spawn('ksmd', ksmd(), true);
  }
  if (value === 2) {
    for (const mm of world.mms) yield* unmergeMm(mm);
    state.stable.clear();
    state.unstable.clear();
    state.items.clear();
    state.fullScans = 0;
  }
  return 0;
}

/** Requires: no lock of the mm. @linux unmerge_and_remove_all_rmap_items */
export function* unmergeMm(mm: Mm): Steps<void> {
  yield* mmapReadLock(mm);
  for (const vma of [...mm.vmas]) {
    if (has(vma.flags, VM_MERGEABLE)) yield* unmergeKsmPages(vma, vma.start, vma.end);
  }
  mmapReadUnlock(mm);
}

function counted(name: 'pagesToScan' | 'sleepMillisecs'): (text: string) => number {
  return (text) => {
    if (!/^\s*\d+\s*$/.test(text)) return -EINVAL;
    ksm()[name] = Number(text);
    return 0;
  };
}
function useZeroPages(text: string): number {
  if (!/^\s*[01]\s*$/.test(text)) return -EINVAL;
  ksm().useZeroPages = text.trim() === '1';
  return 0;
}

const KSM = '/sys/kernel/mm/ksm';
/** Texts by path, without the line's end. */
export const KSM_SETTINGS: Readonly<Record<string, () => string>> = {
  [`${KSM}/run`]: () => `${ksm().run}`,
  [`${KSM}/use_zero_pages`]: () => (ksm().useZeroPages ? '1' : '0'),
  [`${KSM}/pages_to_scan`]: () => `${ksm().pagesToScan}`,
  [`${KSM}/sleep_millisecs`]: () => `${ksm().sleepMillisecs}`,
  [`${KSM}/full_scans`]: () => `${ksm().fullScans}`,
  [`${KSM}/pages_scanned`]: () => `${ksm().pagesScanned}`,
  [`${KSM}/pages_shared`]: () => `${merged(null).shared}`,
  [`${KSM}/pages_sharing`]: () => `${merged(null).pages - merged(null).shared}`,
  [`${KSM}/pages_unshared`]: () => `${ksm().unstable.size}`,
  [`${KSM}/ksm_zero_pages`]: () => `${zeroPages(null)}`,
  [`${KSM}/general_profit`]: () => `${profit(null)}`,
  [`${KSM}/max_page_sharing`]: () => '256',
  [`${KSM}/merge_across_nodes`]: () => '1',
  [`${KSM}/smart_scan`]: () => '1',
};
export const KSM_STORES: Readonly<Record<string, (text: string) => number | Steps<number>>> = {
  [`${KSM}/run`]: setRun,
  [`${KSM}/use_zero_pages`]: useZeroPages,
  [`${KSM}/pages_to_scan`]: counted('pagesToScan'),
  [`${KSM}/sleep_millisecs`]: counted('sleepMillisecs'),
};

/** Of an address space, or of all: the pages that entries share, and how many of those there are in memory. */
function merged(mm: Mm | null): { pages: number; shared: number } {
  const frames = new Set<string>();
  let pages = 0;
  for (const item of ksm().items.values()) {
    if (item.place !== 'merged' || (mm !== null && item.mm !== mm)) continue;
    pages++;
    frames.add(item.content);
  }
  return { pages, shared: frames.size };
}

function zeroPages(mm: Mm | null): number {
  let pages = 0;
  for (const item of ksm().items.values()) {
    if (item.place !== 'zero' || (mm !== null && item.mm !== mm)) continue;
    if (isKsmZero(peekPte(item.mm, item.address))) pages++;
  }
  return pages;
}

function itemsOf(mm: Mm | null): number {
  let items = 0;
  for (const item of ksm().items.values()) if (mm === null || item.mm === mm) items++;
  return items;
}

function profit(mm: Mm | null): number {
  return (merged(mm).pages + zeroPages(mm)) * PAGE_SIZE - itemsOf(mm) * RMAP_ITEM_BYTES;
}

/** /proc/PID/ksm_merging_pages. */
export function procKsmMergingPages(mm: Mm): string {
  return `${merged(mm).pages}\n`;
}

/** /proc/PID/ksm_stat. */
export function procKsmStat(mm: Mm): string {
  const mergeable = [...mm.vmas].some((vma) => has(vma.flags, VM_MERGEABLE));
  return [
    `ksm_rmap_items ${itemsOf(mm)}`,
    `ksm_zero_pages ${zeroPages(mm)}`,
    `ksm_merging_pages ${merged(mm).pages}`,
    `ksm_process_profit ${profit(mm)}`,
    `ksm_merge_any: ${mm.mergeAny ? 'yes' : 'no'}`,
    `ksm_mergeable: ${mergeable ? 'yes' : 'no'}`,
    '',
  ].join('\n');
}

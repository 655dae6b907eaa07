/**
 * PAGEMAP_SCAN: which pages are of which categories, and write-protecting those that match in the same look.
 * @linux fs/proc/task_mmu.c do_pagemap_scan, Documentation/admin-guide/mm/pagemap.rst; semantics.md section 13, figures
 * and errors measured on 6.18
 */
import { machine } from '../../../machine/current.ts';
import { PG_ANON } from '../../../machine/frames.ts';
import { PAGE_SIZE, TASK_SIZE } from '../../../machine/geometry.ts';
import {
  mkMarker,
  PTE_MARKER_GUARD,
  PTE_MARKER_UFFD_WP,
  PTE_UFFD_WP,
  type Pte,
  pteMarker,
  pteNone,
  ptePfn,
  ptePresent,
  pteSoftDirty,
  pteSpecial,
  pteUffdWpAny,
  withFlags,
} from '../../../machine/pte.ts';
import { getPte, setPte } from '../../../machine/tables.ts';
import { unlock } from '../../../sched/lock.ts';
import type { Steps } from '../../../sched/op.ts';
import { interrupts } from '../../../sched/wait.ts';
import {
  encodeRegions,
  PAGE_IS_FILE,
  PAGE_IS_GUARD,
  PAGE_IS_HUGE,
  PAGE_IS_PFNZERO,
  PAGE_IS_PRESENT,
  PAGE_IS_SOFT_DIRTY,
  PAGE_IS_SWAPPED,
  PAGE_IS_WPALLOWED,
  PAGE_IS_WRITTEN,
  PAGE_REGION_SIZE,
  type PageRegion,
  PM_SCAN_ARG,
  PM_SCAN_CATEGORIES,
  PM_SCAN_CHECK_WPASYNC,
  PM_SCAN_WP_MATCHING,
} from '../../../uapi/pagemap-scan.ts';
import { decodeStruct, encodeField } from '../../../uapi/userfaultfd.ts';
import type { Task } from '../../core/task.ts';
import { world } from '../../current.ts';
import { type ErrnoRow, errnoTable, fail } from '../../errno-row.ts';
import { splitHugePmd } from '../../mm/huge-split.ts';
import { hugePteOffsetLock } from '../../mm/hugetlb-pte.ts';
import { isVmHugetlb, vmaPageSize } from '../../mm/hugetlb-vma.ts';
import type { Mm, Vaddr, Vma } from '../../mm/mm-types.ts';
import { mmapReadLock, mmapReadUnlock } from '../../mm/mmap-lock.ts';
import {
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
} from '../../mm/mmu-notifier.ts';
import { changeProtection } from '../../mm/mprotect.ts';
import { mkUffdWp } from '../../mm/page-prot.ts';
import { isWholePmd, pmdAddrEnd, ptLockOf } from '../../mm/pgtable.ts';
import { lockEntries, pteOffsetMapLock } from '../../mm/pte-offset-map.ts';
import { flushNow } from '../../mm/tlb.ts';
import { copyFromUser, copyToUser } from '../../mm/user-access.ts';
import { has, VM_HUGETLB, VM_PFNMAP, VM_SOFTDIRTY, VM_UFFD_WP } from '../../mm/vm-flags.ts';
import { seam } from '../../seam.ts';
import { userfaultfdWpAsync } from '../userfaultfd.ts';

export const PAGEMAP_SCAN_ERRORS = errnoTable('PAGEMAP_SCAN', {
  fault: ['EFAULT', 'the struct cannot be read'],
  size: ['EINVAL', 'size is not that of struct pm_scan_arg'],
  flags: ['EINVAL', 'flags has an unknown bit'],
  category: ['EINVAL', 'a category that does not exist'],
  unaligned: ['EINVAL', 'start is not a multiple of the page size'],
  range: ['EFAULT', 'the range is not in user space, or ends before it starts'],
  noVec: ['EINVAL', 'vec_len without vec'],
  vec: ['EFAULT', 'vec is not in user space, or cannot be written'],
  killed: ['EINTR', 'a fatal signal arrived'],
  notAsync: ['EPERM', 'a mapping is not registered for asynchronous write protection'],
  noMemory: ['ENOMEM', 'no memory for a page table'],
  faultOut: ['EFAULT', 'walk_end cannot be written'],
});
const E = PAGEMAP_SCAN_ERRORS;

type ScanArg = ReturnType<typeof decodeStruct<(typeof PM_SCAN_ARG.fields)[number]['name']>>;

/** One call under way. */
interface Scan {
  readonly mm: Mm;
  readonly arg: ScanArg;
  /** Regions of this walk, at most `room`. */
  regions: PageRegion[];
  room: number;
  /** Pages reported so far. */
  found: number;
  /** Where the walk stopped for want of room; -1: it did not. */
  stopped: Vaddr;
  /** The last huge page that there was room for only in part, which a walk that protects passes over; -1: none. */
  passedOver: Vaddr;
}

/** ioctl(PAGEMAP_SCAN). @returns the number of regions, or a negative errno */
export function* pagemapScan(task: Task, mm: Mm, pointer: Vaddr): Steps<number> {
  const bytes = yield* copyFromUser(task, pointer, PM_SCAN_ARG.size);
  if (typeof bytes === 'number') return fail(E.fault);
  const arg = decodeStruct(PM_SCAN_ARG, bytes);
  const refused = refusesArg(arg);
  if (refused !== null) return fail(refused);
  const end = Math.ceil(arg.end / PAGE_SIZE) * PAGE_SIZE;
  const scan: Scan = { mm, arg, regions: [], room: 0, found: 0, stopped: -1, passedOver: -1 };
  let [written, walkEnd, error] = [0, end, null as ErrnoRow | null];
  for (let start = arg.start; start < end && error === null; start = scan.stopped) {
    const { thread } = world.current;
    if (thread !== null && interrupts(thread, 'killable')) return fail(E.killed);
    scan.regions = [];
    scan.room = Math.min(machine.geometry.ptrsPerPte, arg.vec_len - written);
    scan.stopped = -1;
    yield* mmapReadLock(mm);
    error = yield* scanRange(scan, start, end);
    mmapReadUnlock(mm);
    const at = arg.vec + written * PAGE_REGION_SIZE;
    const { regions } = scan;
    if (regions.length > 0 && (yield* copyToUser(task, at, encodeRegions(regions))) < 0) {
      error = E.vec;
    } else {
      written += regions.length;
    }
    const done = scan.passedOver < 0 ? end : scan.passedOver;
    walkEnd = scan.stopped < 0 ? done : scan.stopped;
    if (scan.stopped < 0 || written >= arg.vec_len || scan.found >= maxPages(arg)) break;
  }
  const out = encodeField(PM_SCAN_ARG, 'walk_end', walkEnd);
  if ((yield* copyToUser(task, pointer + out.offset, out.bytes)) < 0) return fail(E.faultOut);
  return error === null ? written : fail(error);
}

/** @linux pagemap_scan_get_args */
function refusesArg(arg: ScanArg): ErrnoRow | null {
  if (arg.size !== PM_SCAN_ARG.size) return E.size;
  if (arg.flags > (PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC)) return E.flags;
  const { category_inverted, category_mask, category_anyof_mask, return_mask } = arg;
  for (const mask of [category_inverted, category_mask, category_anyof_mask, return_mask]) {
    if (mask > PM_SCAN_CATEGORIES) return E.category;
  }
  if (arg.start % PAGE_SIZE !== 0) return E.unaligned;
  if (arg.end < arg.start || arg.end > TASK_SIZE) return E.range;
  if (arg.vec === 0 && arg.vec_len > 0) return E.noVec;
  return arg.vec + arg.vec_len * PAGE_REGION_SIZE > TASK_SIZE ? E.vec : null;
}

/** Without a vector there is nothing to limit. */
function maxPages(arg: ScanArg): number {
  const none = arg.max_pages === 0 || arg.vec === 0 || arg.vec_len === 0;
  return none ? Number.POSITIVE_INFINITY : arg.max_pages;
}

/** Every VMA of a range. Requires: mmap_lock for reading. @returns why it failed, or null */
function* scanRange(scan: Scan, start: Vaddr, end: Vaddr): Steps<ErrnoRow | null> {
  for (const vma of scan.mm.vmas.range(start, end)) {
    if (has(vma.flags, VM_PFNMAP)) continue;
    const async = has(vma.flags, VM_UFFD_WP) && userfaultfdWpAsync(vma);
    if (!async && (scan.arg.flags & PM_SCAN_CHECK_WPASYNC) !== 0) return E.notAsync;
    if (!async && (scan.arg.flags & PM_SCAN_WP_MATCHING) !== 0) continue;
    const from = Math.max(start, vma.start);
    const to = Math.min(end, vma.end);
    const error = yield* scanVma(scan, vma, from, to);
    if (error !== null || scan.stopped >= 0) return error;
  }
  return null;
}

/** Differs from Linux: listeners hear of each mapping by itself, not once of the whole range. */
function* scanVma(scan: Scan, vma: Vma, start: Vaddr, end: Vaddr): Steps<ErrnoRow | null> {
  const protect = (scan.arg.flags & PM_SCAN_WP_MATCHING) !== 0;
  const range = protect
    ? yield* mmuNotifierInvalidateRangeStart(scan.mm, 'protection-vma', start, end)
    : null;
  let error: ErrnoRow | null = null;
  for (let address = start; address < end && error === null && scan.stopped < 0; ) {
    const next = pmdAddrEnd(address, end);
    error = isVmHugetlb(vma)
      ? yield* scanHugePage(scan, vma, address, next)
      : yield* scanTable(scan, vma, address, next);
    address = next;
  }
  yield* mmuNotifierInvalidateRangeEnd(range);
  return error;
}

/**
 * The flush, before the page-table lock is let go.
 */
export const flushScanned = seam(
  'pagemap-scan.flush',
  (mm: Mm, address: Vaddr): boolean => {
    flushNow(mm, address, address + PAGE_SIZE);
    return true;
  },
  'PAGEMAP_SCAN: a store through a stale TLB entry, after the page was reported, would be in no report',
);

/** One page table, or the hole where there is none. @linux pagemap_scan_pmd_entry, pagemap_scan_pte_hole */
function* scanTable(scan: Scan, vma: Vma, start: Vaddr, end: Vaddr): Steps<ErrnoRow | null> {
  if (yield* scanHuge(scan, vma, start, end)) return null;
  const first = yield* pteOffsetMapLock(vma.mm, start);
  if (first < 0) return yield* scanHole(scan, vma, start, end);
  const protect = (scan.arg.flags & PM_SCAN_WP_MATCHING) !== 0;
  for (let address = start; address < end && scan.stopped < 0; address += PAGE_SIZE) {
    const slot = first + (address - start) / PAGE_SIZE;
    const categories = vmaCategory(vma) | pageCategory(getPte(slot));
    if (!matches(scan.arg, categories)) continue;
    if (report(scan, categories, address, address + PAGE_SIZE) === address) continue;
    if (!protect) continue;
    yield* protectSlot(slot);
    flushScanned(vma.mm, address);
  }
  unlock(ptLockOf(first));
  return null;
}

/**
 * A huge page, all of it alike. One of which only part is to be protected is split, and looked at page by page.
 * @returns whether it was one, and is done. @linux pagemap_scan_thp_entry
 */
function* scanHuge(scan: Scan, vma: Vma, start: Vaddr, end: Vaddr): Steps<boolean> {
  const entries = yield* lockEntries(vma.mm, start);
  if (entries === null || !entries.huge) {
    if (entries !== null) unlock(entries.lock);
    return false;
  }
  const leaf = getPte(entries.slot);
  const categories = vmaCategory(vma) | pageCategory(leaf) | PAGE_IS_HUGE;
  let whole = true;
  if (matches(scan.arg, categories)) {
    const { found, stopped } = scan;
    const before = scan.regions.map((region) => ({ ...region }));
    const until = report(scan, categories, start, end);
    const protect = (scan.arg.flags & PM_SCAN_WP_MATCHING) !== 0 && until > start;
    whole = !protect || isWholePmd(start, until);
    if (protect && whole) {
      setPte(entries.slot, mkUffdWp(leaf));
      flushNow(vma.mm, start, until);
    }
    if (!whole) {
      scan.regions = before;
      scan.found = found;
      scan.stopped = stopped;
    }
  }
  unlock(entries.lock);
  if (!whole) yield* splitHugePmd(vma, start);
  return whole;
}

/**
 * One huge page, or a part of it. It is protected whole or not at all. @linux pagemap_scan_hugetlb_entry
 */
function* scanHugePage(scan: Scan, vma: Vma, start: Vaddr, end: Vaddr): Steps<ErrnoRow | null> {
  const slot = yield* hugePteOffsetLock(vma.mm, start);
  if (slot < 0) return yield* scanHole(scan, vma, start, end);
  const pte = getPte(slot);
  const categories = vmaCategory(vma) | hugeCategory(pte);
  if (matches(scan.arg, categories)) {
    const before = { regions: [...scan.regions], found: scan.found };
    const until = report(scan, categories, start, end);
    const protect = (scan.arg.flags & PM_SCAN_WP_MATCHING) !== 0;
    if (protect && until > start && until - start < vmaPageSize(vma)) {
      Object.assign(scan, before, { stopped: -1, passedOver: start });
    } else if (protect && until > start && (pteNone(pte) || ptePresent(pte))) {
      setPte(slot, protectedPte(pte));
      flushNow(vma.mm, start, end);
    }
  }
  unlock(ptLockOf(slot));
  return null;
}

/** An empty slot is of a huge page too, and neither written nor not (measured on 6.18). @linux pagemap_hugetlb_category */
function hugeCategory(pte: Pte): number {
  return PAGE_IS_HUGE | (pteNone(pte) ? 0 : pageCategory(pte));
}

/** Where there is no table every page is alike; protecting makes the tables for its markers. */
function* scanHole(scan: Scan, vma: Vma, start: Vaddr, end: Vaddr): Steps<ErrnoRow | null> {
  const written = has(vma.flags, VM_UFFD_WP) && !has(vma.flags, VM_HUGETLB) ? PAGE_IS_WRITTEN : 0;
  const categories = vmaCategory(vma) | written;
  if (!matches(scan.arg, categories)) return null;
  const until = report(scan, categories, start, end);
  if (until === start || (scan.arg.flags & PM_SCAN_WP_MATCHING) === 0) return null;
  const change = { uffdWp: true, markers: true };
  return (yield* changeProtection(vma, start, until, change)) < 0 ? E.noMemory : null;
}

function vmaCategory(vma: Vma): number {
  const async = has(vma.flags, VM_UFFD_WP) && userfaultfdWpAsync(vma);
  return (async ? PAGE_IS_WPALLOWED : 0) | (has(vma.flags, VM_SOFTDIRTY) ? PAGE_IS_SOFT_DIRTY : 0);
}

/** @linux pagemap_page_category */
function pageCategory(pte: Pte): number {
  let categories = pteUffdWpAny(pte) ? 0 : PAGE_IS_WRITTEN;
  if (pteNone(pte)) return categories;
  if (pteSoftDirty(pte)) categories |= PAGE_IS_SOFT_DIRTY;
  if (!ptePresent(pte)) {
    const guard = (pteMarker(pte) & PTE_MARKER_GUARD) !== 0;
    return categories | PAGE_IS_SWAPPED | (guard ? PAGE_IS_GUARD : 0);
  }
  categories |= PAGE_IS_PRESENT;
  if (pteSpecial(pte)) return categories | PAGE_IS_PFNZERO;
  return machine.frames.hasFlag(ptePfn(pte), PG_ANON) ? categories : categories | PAGE_IS_FILE;
}

/** @linux pagemap_scan_is_interesting_page */
function matches(arg: ScanArg, categories: number): boolean {
  const seen = categories ^ arg.category_inverted;
  if ((seen & arg.category_mask) !== arg.category_mask) return false;
  return arg.category_anyof_mask === 0 || (seen & arg.category_anyof_mask) !== 0;
}

/**
 * Notes matching pages as far as there is room; sets `stopped` where there is none.
 * @returns the end of what was taken. @linux pagemap_scan_output, pagemap_scan_push_range
 */
function report(scan: Scan, categories: number, start: Vaddr, end: Vaddr): Vaddr {
  const { arg, regions } = scan;
  if (arg.vec === 0 || arg.vec_len === 0) return end;
  const left = (maxPages(arg) - scan.found) * PAGE_SIZE;
  const shown = categories & arg.return_mask;
  const last = regions[regions.length - 1];
  const joins = last !== undefined && last.end === start && last.categories === shown;
  const fits = joins || regions.length < scan.room;
  const until = fits ? Math.min(end, start + left) : start;
  if (until < end) scan.stopped = until;
  if (until === start) return until;
  scan.found += (until - start) / PAGE_SIZE;
  if (joins) regions[regions.length - 1] = { ...last, end: until };
  else regions.push({ start, end: until, categories: shown });
  return until;
}

/** Requires: the page-table lock. @linux make_uffd_wp_pte */
export const protectSlot = seam('pagemap-scan.protectSlot', function* (slot: number): Steps<void> {
  setPte(slot, protectedPte(getPte(slot)));
});

/** What a slot becomes. */
export function protectedPte(pte: Pte): Pte {
  if (pteNone(pte)) return mkMarker(PTE_MARKER_UFFD_WP);
  return ptePresent(pte) ? mkUffdWp(pte) : withFlags(pte, PTE_UFFD_WP);
}

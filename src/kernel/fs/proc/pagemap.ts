/**
 * /proc/PID/pagemap: 64 bits about each page of an address space. Semantics.md section 13, measured on 6.18.
 * @linux fs/proc/task_mmu.c pagemap_read, Documentation/admin-guide/mm/pagemap.rst
 */
import { machine } from '../../../machine/current.ts';
import { PG_ANON, ZERO_PFN } from '../../../machine/frames.ts';
import { PAGE_SIZE, TASK_SIZE } from '../../../machine/geometry.ts';
import {
  type Pfn,
  PTE_MARKER_GUARD,
  PTE_NONE,
  type Pte,
  pteKind,
  pteMarker,
  pteOfHuge,
  ptePfn,
  ptePresent,
  pteSoftDirty,
  pteSpecial,
  pteUffdWpAny,
  swpOffset,
} from '../../../machine/pte.ts';
import { getPte } from '../../../machine/tables.ts';
import { unlock } from '../../../sched/lock.ts';
import type { Steps } from '../../../sched/op.ts';
import { EINVAL, ENOTTY } from '../../../uapi/errno.ts';
import { PAGEMAP_SCAN } from '../../../uapi/pagemap-scan.ts';
import type { Task } from '../../core/task.ts';
import { hugePteOffsetLock } from '../../mm/hugetlb-pte.ts';
import { isVmHugetlb } from '../../mm/hugetlb-vma.ts';
import type { Mm, Vaddr, Vma } from '../../mm/mm-types.ts';
import { mmapReadLock, mmapReadUnlock, vmaLookup } from '../../mm/mmap-lock.ts';
import { pmdAddrEnd, ptLockOf } from '../../mm/pgtable.ts';
import { entryAt, lockEntries } from '../../mm/pte-offset-map.ts';
import { has, VM_SOFTDIRTY } from '../../mm/vm-flags.ts';
import { seam } from '../../seam.ts';
import { File, type FileOps } from '../file.ts';
import { pagemapScan } from './pagemap-scan.ts';

export const PM_PRESENT: bigint = 1n << 63n;
export const PM_SWAP: bigint = 1n << 62n;
export const PM_FILE: bigint = 1n << 61n;
export const PM_GUARD_REGION: bigint = 1n << 58n;
export const PM_UFFD_WP: bigint = 1n << 57n;
/** Mapped once, which is not AnonExclusive: a page whose other sharer has gone shows it. */
export const PM_MMAP_EXCLUSIVE: bigint = 1n << 56n;
export const PM_SOFT_DIRTY: bigint = 1n << 55n;
/** What bits 0..54 hold when they name a frame. */
export const PM_PFRAME_MASK: bigint = PM_SOFT_DIRTY - 1n;

/** Swap types that are no swap device, as x86-64 numbers them with all options of the measured kernel. */
const SWP_TYPE_MARKER = 0x1fn;
const SWP_TYPE_BITS = 5n;

/**
 * The words of pages [start, end), one table a step.
 * @param showPfn the reader may see frame numbers (CAP_SYS_ADMIN)
 * Requires: no lock of the mm
 */
export function* pagemapWords(
  mm: Mm,
  start: Vaddr,
  end: Vaddr,
  showPfn: boolean,
): Steps<BigUint64Array> {
  const words = new BigUint64Array((end - start) / PAGE_SIZE);
  yield* mmapReadLock(mm);
  for (let address = start; address < end; ) {
    const next = pmdAddrEnd(address, end);
    const area = vmaLookup(mm, address);
    if (area !== null && isVmHugetlb(area)) {
      yield* hugeWords(area, address, next, showPfn, words, start);
      address = next;
      continue;
    }
    const first = yield* lockEntries(mm, address);
    // Whether a huge page is mapped here alone is asked of its first page for all of them (measured on 6.18.44).
    const head = first?.huge === true ? ptePfn(getPte(first.slot)) : 0;
    for (let page = address; page < next; page += PAGE_SIZE) {
      const pte = first === null ? PTE_NONE : entryAt(first, (page - address) / PAGE_SIZE);
      const word = wordOf(mm, page, pte, showPfn, head);
      // The huge zero page is nobody's, and yet no anonymous page (measured on 6.18).
      const file = first?.huge === true && pteSpecial(pte) ? PM_FILE : 0n;
      words[(page - start) / PAGE_SIZE] = word | file;
    }
    if (first !== null) unlock(first.lock);
    address = next;
  }
  mmapReadUnlock(mm);
  return words;
}

/**
 * The words of a huge page's part [from, to): a marker shows only that it write-protects, and nothing of being there
 * (measured on 6.18). @linux pagemap_hugetlb_range
 */
function* hugeWords(
  vma: Vma,
  from: Vaddr,
  to: Vaddr,
  showPfn: boolean,
  words: BigUint64Array,
  start: Vaddr,
): Steps<void> {
  const slot = yield* hugePteOffsetLock(vma.mm, from);
  if (slot < 0) return;
  const leaf = getPte(slot);
  for (let page = from; page < to; page += PAGE_SIZE) {
    const index = Math.floor(page / PAGE_SIZE) % machine.geometry.ptrsPerPte;
    const there = ptePresent(leaf) ? PM_PRESENT | presentWord(pteOfHuge(leaf, index), showPfn) : 0n;
    words[(page - start) / PAGE_SIZE] = there | (pteUffdWpAny(leaf) ? PM_UFFD_WP : 0n);
  }
  unlock(ptLockOf(slot));
}

/** The slot on the swap device that pagemap shows for an empty entry of shared memory; 0, as in every kernel: none. */
export const sharedSwapSlot = seam(
  'pagemap.sharedSwapSlot',
  (_vma: Vma, _address: Vaddr): number => 0,
);

/** One word. Requires: mmap_lock for reading and the page-table lock. @linux pte_to_pagemap_entry */
function wordOf(mm: Mm, address: Vaddr, pte: Pte, showPfn: boolean, head: Pfn | 0): bigint {
  const vma = vmaLookup(mm, address);
  if (vma === null) return 0n;
  const dirty = has(vma.flags, VM_SOFTDIRTY) || pteSoftDirty(pte) ? PM_SOFT_DIRTY : 0n;
  const protectedBit = pteUffdWpAny(pte) ? PM_UFFD_WP : 0n;
  switch (pteKind(pte)) {
    case 'none': {
      const slot = sharedSwapSlot(vma, address);
      if (slot === 0) return dirty;
      return dirty | PM_SWAP | PM_FILE | (showPfn ? BigInt(slot) << SWP_TYPE_BITS : 0n);
    }
    case 'present':
      return dirty | protectedBit | PM_PRESENT | presentWord(pte, showPfn, head);
    case 'swap':
      return (
        dirty | protectedBit | PM_SWAP | (showPfn ? BigInt(swpOffset(pte)) << SWP_TYPE_BITS : 0n)
      );
    case 'marker': {
      const guard = (pteMarker(pte) & PTE_MARKER_GUARD) !== 0 ? PM_GUARD_REGION : 0n;
      const entry = SWP_TYPE_MARKER | (BigInt(pteMarker(pte)) << SWP_TYPE_BITS);
      return dirty | protectedBit | guard | PM_SWAP | (showPfn ? entry : 0n);
    }
    default:
      return dirty | protectedBit | PM_SWAP;
  }
}

/** The zero page belongs to nobody: no mapping bits. */
function presentWord(pte: Pte, showPfn: boolean, head: Pfn | 0 = 0): bigint {
  const pfn = ptePfn(pte);
  const frame = showPfn ? BigInt(pfn) : 0n;
  if (pteSpecial(pte) || pfn === ZERO_PFN) return frame;
  const { frames } = machine;
  const file = frames.hasFlag(pfn, PG_ANON) ? 0n : PM_FILE;
  return (
    frame | file | (frames.pageMapcount(head === 0 ? pfn : head) === 1 ? PM_MMAP_EXCLUSIVE : 0n)
  );
}

/** Opens /proc/PID/pagemap of an address space. @param flags O_* status flags */
export function openPagemap(mm: Mm, flags: number): File {
  return new File(PAGEMAP_OPS, flags, mm, '/proc/self/pagemap');
}

/** Whether this kernel version has the ioctl (6.7 and later). */
export const knowsPagemapScan = seam('pagemap.knowsPagemapScan', (): boolean => true);

function mmOf(file: File): Mm | null {
  return file.data as Mm | null;
}

/** The open file; `data` is the Mm. Reads are whole words at an offset that is a multiple of 8. */
export const PAGEMAP_OPS: FileOps = {
  kind: 'pagemap',
  *read(task: Task, file: File, count: number, offset: number | null): Steps<Uint8Array | number> {
    const from = offset ?? file.offset;
    const mm = mmOf(file);
    if (from % 8 !== 0 || count % 8 !== 0) return -EINVAL;
    if (mm === null || mm.users === 0) return new Uint8Array(0);
    const start = (from / 8) * PAGE_SIZE;
    const end = Math.min(start + (count / 8) * PAGE_SIZE, TASK_SIZE + PAGE_SIZE);
    if (start >= end) return new Uint8Array(0);
    const words = yield* pagemapWords(mm, start, end, task.uid === 0);
    if (offset === null) file.offset += words.byteLength;
    return new Uint8Array(words.buffer);
  },
  *ioctl(task: Task, file: File, cmd: number, arg: number): Steps<number> {
    const mm = mmOf(file);
    if (!knowsPagemapScan()) return -ENOTTY;
    return cmd === PAGEMAP_SCAN && mm !== null ? yield* pagemapScan(task, mm, arg) : -EINVAL;
  },
  seek(file: File, offset: number, whence: number): number {
    if (whence === 2) return -EINVAL;
    const to = whence === 1 ? file.offset + offset : offset;
    if (to < 0) return -EINVAL;
    file.offset = to;
    return to;
  },
};

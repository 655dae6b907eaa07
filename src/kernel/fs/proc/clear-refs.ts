/**
 * /proc/PID/clear_refs: a number written to it makes the kernel forget which pages were used (1 all, 2 anonymous, 3 of
 * files), which were written (4), or how large the process once was (5).
 * @linux fs/proc/task_mmu.c clear_refs_write, Documentation/filesystems/proc.rst; 0, 6 and no number: EINVAL, measured on
 * 6.18
 */
import { machine } from '../../../machine/current.ts';
import { GUP_PIN_COUNTING_BIAS, PG_ANON } from '../../../machine/frames.ts';
import { PAGE_SIZE, TASK_SIZE } from '../../../machine/geometry.ts';
import {
  PTE_SOFT_DIRTY,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  pteNone,
  ptePfn,
  ptePresent,
  pteSpecial,
  withoutFlags,
} from '../../../machine/pte.ts';
import { getPte, setPte } from '../../../machine/tables.ts';
import { unlock } from '../../../sched/lock.ts';
import type { Steps } from '../../../sched/op.ts';
import { EINVAL, ESRCH } from '../../../uapi/errno.ts';
import type { Mm, Vma } from '../../mm/mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock, vmaStartWrite } from '../../mm/mmap-lock.ts';
import {
  type MmuNotifierRange,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
} from '../../mm/mmu-notifier.ts';
import { pmdAddrEnd, skipMissing } from '../../mm/pgtable.ts';
import { lockEntries } from '../../mm/pte-offset-map.ts';
import { softDirtyBit } from '../../mm/soft-dirty.ts';
import { decTlbFlushPending, flushTlbMm, incTlbFlushPending } from '../../mm/tlb.ts';
import {
  has,
  VM_HUGETLB,
  VM_PFNMAP,
  VM_SHARED,
  VM_SOFTDIRTY,
  withoutFlag,
} from '../../mm/vm-flags.ts';
import { seam } from '../../seam.ts';
import { File, type FileOps } from '../file.ts';

const CLEAR_REFS_ALL = 1;
const CLEAR_REFS_ANON = 2;
const CLEAR_REFS_MAPPED = 3;
const CLEAR_REFS_SOFT_DIRTY = 4;
const CLEAR_REFS_MM_HIWATER_RSS = 5;
/** Longer than any number that is asked for. @linux PROC_NUMBUF */
const NUMBER_BYTES = 12;

/** The flush behind the walk: without it a store may go on through a TLB that still has the right to write. */
export const flushCleared = seam('clear-refs.flush', (mm: Mm): Steps<void> => flushTlbMm(mm));

/**
 * Forgets. @param type 1 to 5
 * Requires: no lock of the mm. @linux clear_refs_write
 */
export function* clearRefs(mm: Mm, type: number): Steps<void> {
  yield* mmapWriteLock(mm);
  if (type === CLEAR_REFS_MM_HIWATER_RSS) {
    mm.hiwaterRss = mm.rss.anon + mm.rss.file + mm.rss.shmem;
    mmapWriteUnlock(mm);
    return;
  }
  const softDirty = type === CLEAR_REFS_SOFT_DIRTY;
  let range: MmuNotifierRange | null = null;
  if (softDirty) {
    for (const vma of mm.vmas) yield* forgetNew(vma);
    incTlbFlushPending(mm);
    range = yield* mmuNotifierInvalidateRangeStart(mm, 'soft-dirty', 0, TASK_SIZE);
  }
  for (const vma of mm.vmas) {
    if (has(vma.flags, VM_PFNMAP)) continue;
    if (type === CLEAR_REFS_ANON && vma.file !== null) continue;
    if (type === CLEAR_REFS_MAPPED && vma.file === null) continue;
    yield* walk(vma, softDirty);
  }
  if (softDirty) {
    yield* mmuNotifierInvalidateRangeEnd(range);
    yield* flushCleared(mm);
    decTlbFlushPending(mm);
  }
  mmapWriteUnlock(mm);
}

/** From now on single pages are looked at. Requires: mmap_lock for writing. */
function* forgetNew(vma: Vma): Steps<void> {
  if (!has(vma.flags, VM_SOFTDIRTY)) return;
  yield* vmaStartWrite(vma);
  vma.poke();
  vma.flags = withoutFlag(vma.flags, VM_SOFTDIRTY);
}

/** Every table of a mapping, one step each. Huge pages of hugetlb are left alone, as Linux does. */
function* walk(vma: Vma, softDirty: boolean): Steps<void> {
  if (has(vma.flags, VM_HUGETLB)) return;
  const { mm } = vma;
  yield* vmaStartWrite(vma);
  for (let address = skipMissing(mm, vma.start, vma.end); address < vma.end; ) {
    const next = pmdAddrEnd(address, vma.end);
    const entries = yield* lockEntries(mm, address);
    if (entries !== null) {
      const { slot, huge } = entries;
      for (let i = 0; i < (huge ? 1 : (next - address) / PAGE_SIZE); i++) {
        const pte = getPte(slot + i);
        const rest = softDirty ? clearSoftDirty(vma, pte) : clearYoung(pte);
        if (rest !== pte) setPte(slot + i, rest);
      }
      unlock(entries.lock);
    }
    address = skipMissing(mm, next, vma.end);
  }
}

function clearYoung(pte: Pte): Pte {
  return ptePresent(pte) ? withoutFlags(pte, PTE_YOUNG) : pte;
}

/** Pages that a device may be writing keep the bit: it would not set it again. @linux clear_soft_dirty */
function clearSoftDirty(vma: Vma, pte: Pte): Pte {
  if (softDirtyBit() === 0 || pteNone(pte)) return pte;
  if (!ptePresent(pte)) return withoutFlags(pte, PTE_SOFT_DIRTY);
  return isPinned(vma, pte) ? pte : withoutFlags(pte, PTE_SOFT_DIRTY | PTE_WRITE);
}

/** @linux pte_is_pinned */
function isPinned(vma: Vma, pte: Pte): boolean {
  if (!vma.mm.hasPinned || has(vma.flags, VM_SHARED) || pteSpecial(pte)) return false;
  const { frames } = machine;
  const pfn = ptePfn(pte);
  return frames.hasFlag(pfn, PG_ANON) && frames.refcount(pfn) >= GUP_PIN_COUNTING_BIAS;
}

/** Opens /proc/PID/clear_refs of an address space, for writing only. */
export function openClearRefs(mm: Mm, flags: number): File {
  return new File(CLEAR_REFS_OPS, flags, mm, '/proc/self/clear_refs');
}

const CLEAR_REFS_OPS: FileOps = {
  kind: 'clear_refs',
  *write(_task, file, data): Steps<number> {
    const mm = file.data as Mm;
    const text = String.fromCharCode(...data.subarray(0, NUMBER_BYTES)).trim();
    const type = /^[+-]?\d+$/.test(text) ? Number(text) : 0;
    if (type < CLEAR_REFS_ALL || type > CLEAR_REFS_MM_HIWATER_RSS) return -EINVAL;
    if (mm.users === 0) return -ESRCH;
    yield* clearRefs(mm, type);
    return data.length;
  },
};

/**
 * Pages of the running task's own memory without a lock (semantics.md section 22, GUP-fast):
 *
 *   interrupts off: read PUD, PMD, PTE | try to take a reference | PMD and PTE still the same? else drop it | interrupts on
 *
 * With interrupts off page tables are not freed; here that is an RCU section. The frame may be freed, and used again for
 * something else, between the read and the reference: that is what the second look is for.
 * @linux mm/gup.c gup_fast_fallback
 */
import { pteCell, refcountCell } from '../../machine/cells.ts';
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import {
  type Pfn,
  PTE_PROTNONE,
  type Pte,
  pteHuge,
  pteIsTable,
  pteOfHuge,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteWrite,
} from '../../machine/pte.ts';
import { getPte } from '../../machine/tables.ts';
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT } from '../../uapi/errno.ts';
import { seam } from '../seam.ts';
import { getUserPagesUnlocked, gupMustUnshare, ownerOf } from './gup.ts';
import {
  FOLL_FAST_ONLY,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_WRITE,
  type FollFlags,
  foll,
  withFoll,
} from './gup-flags.ts';
import { gupPutFolio, tryGrabFolio } from './gup-pin.ts';
import { beginLocklessWalk, endLocklessWalk } from './lockless-walk.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { pageInPmd, pmdSlot, pteSlotIn } from './pgtable.ts';

/**
 * Pages of [start, start + count pages): those that the tables have without a lock, then the rest under mmap_lock.
 * @param mm that of the running task
 * @param start page aligned
 * @returns the pages up to the first that cannot be had, or its negative errno when it is the very first; with
 *   FOLL_FAST_ONLY only what could be had without a lock, perhaps nothing
 * Requires: no lock of the mm. @linux get_user_pages_fast, pin_user_pages_fast, get_user_pages_fast_only
 */
export function* getUserPagesFast(
  mm: Mm,
  start: Vaddr,
  count: number,
  flags: FollFlags,
): Steps<Pfn[] | number> {
  if (foll(flags, FOLL_PIN)) mm.setHasPinned();
  const end = start + count * PAGE_SIZE;
  if (start < 0 || end > TASK_SIZE) return -EFAULT;
  const pages = yield* gupFast(mm, start, end, flags);
  if (pages.length === count || foll(flags, FOLL_FAST_ONLY)) return pages;
  const next = start + pages.length * PAGE_SIZE;
  const how = withFoll(flags, FOLL_TOUCH);
  const rest = yield* getUserPagesUnlocked(mm, next, count - pages.length, how);
  if (typeof rest === 'number') return pages.length > 0 ? pages : rest;
  return [...pages, ...rest];
}

/** Whether fork has write-protected, or is write-protecting, pages that were being pinned. */
export const noForkMeanwhile = seam(
  'gup-fast.noForkMeanwhile',
  (mm: Mm, seq: number): boolean => {
    sched.touch(mm.writeProtectCell, READ);
    return mm.writeProtectSeq === seq;
  },
  'GUP-fast: chk write_protect_seq: fork may have looked for pins before this one was there, and shared the page',
);

/** @linux gup_fast */
function* gupFast(mm: Mm, start: Vaddr, end: Vaddr, flags: FollFlags): Steps<Pfn[]> {
  const pins = foll(flags, FOLL_PIN);
  let seq = 0;
  if (pins) {
    if (sched.wants()) yield* access('read write_protect_seq', mm.writeProtectCell, READ);
    sched.touch(mm.writeProtectCell, READ);
    seq = mm.writeProtectSeq;
    if (seq % 2 === 1) return [];
  }
  const pages: Pfn[] = [];
  beginLocklessWalk();
  for (let address = start; address < end; address += PAGE_SIZE) {
    const pfn = yield* gupFastPte(mm, address, flags);
    if (pfn === 0) break;
    pages.push(pfn);
  }
  endLocklessWalk();
  if (!pins || pages.length === 0) return pages;
  if (sched.wants()) yield* access('read write_protect_seq', mm.writeProtectCell, READ);
  if (noForkMeanwhile(mm, seq)) return pages;
  for (const pfn of pages) gupPutFolio(pfn, flags);
  return [];
}

/** After the reference was taken: does the PMD entry still lead to the table? */
export const pmdSameAfterRef = seam(
  'gup-fast.pmdSameAfterRef',
  (pmd: number, before: Pte): boolean => getPte(pmd) === before,
  'GUP-fast: chk PMD same: the table may have been taken out of the tree, and what it says counts no more',
);
/** After the reference was taken: does the entry still map the frame? */
export const pteSameAfterRef = seam(
  'gup-fast.pteSameAfterRef',
  (slot: number, before: Pte): boolean => getPte(slot) === before,
  'GUP-fast: chk PTE same: the page may have been unmapped and freed, and the frame be somebody else’s',
);

/** @returns the frame with what the flags ask for, or 0. Requires: an RCU section. @linux gup_fast_pte_range */
function* gupFastPte(mm: Mm, address: Vaddr, flags: FollFlags): Steps<Pfn | 0> {
  const pmd = pmdSlot(mm, address);
  if (pmd < 0) return 0;
  if (sched.wants()) yield* access('read entry', pteCell(pmd), READ);
  const table = getPte(pmd);
  const huge = pteHuge(table);
  if (!huge && !pteIsTable(table)) return 0;
  const slot = huge ? pmd : pteSlotIn(table, address);
  const pte = huge ? pteOfHuge(table, pageInPmd(address)) : getPte(slot);
  if (!ptePresent(pte) || (pte & PTE_PROTNONE) !== 0 || pteSpecial(pte)) return 0;
  if (foll(flags, FOLL_WRITE) && !pteWrite(pte)) return 0;
  const pfn = ptePfn(pte);
  if (sched.wants()) yield* access('try to get folio', refcountCell(pfn), READ);
  if (!tryGrabFolio(pfn, flags)) return 0;
  if (sched.wants()) yield* access('read entry again', pteCell(slot), READ);
  const same = pmdSameAfterRef(pmd, table) && pteSameAfterRef(slot, huge ? table : pte);
  const unshare = !pteWrite(pte) && gupMustUnshare(null, ownerOf(pfn, huge), flags);
  if (same && !unshare) return pfn;
  gupPutFolio(pfn, flags);
  return 0;
}

/** The frame of one page that can be had without a lock, with a reference, or 0. @linux get_user_page_fast_only */
export function* getUserPageFastOnly(mm: Mm, address: Vaddr, flags: FollFlags): Steps<Pfn | 0> {
  const pages = yield* gupFast(mm, address, address + PAGE_SIZE, flags);
  return pages[0] ?? 0;
}

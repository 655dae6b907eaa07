/**
 * Making a huge page of the pages of a file in shared memory (semantics.md section 22, COLLAPSE-file):
 *
 *   a huge folio, locked | each index: a hole gets it at once; a page is locked, unmapped, has no other user | holes, and
 *   somebody waits for missing pages? | the huge folio takes all places | tables of other mappings that may go, go | unlock |
 *   the caller's own table gives way to the huge page
 *
 * Whoever faults meanwhile finds the huge folio locked, waits, and looks again.
 * @linux mm/khugepaged.c hpage_collapse_scan_file, collapse_file, retract_page_tables, collapse_pte_mapped_thp
 */
import { contentCell, refcountCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_SWAPBACKED } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkPte,
  type Pfn,
  PTE_HUGE,
  PTE_NONE,
  PTE_YOUNG,
  type Pte,
  pteDirty,
  pteHuge,
  pteIsTable,
  pteNone,
  ptePfn,
  ptePresent,
  pteTable,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access } from '../../sched/access.ts';
import { ADD, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, lockRead, tryTake, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { type Seam, seam } from '../seam.ts';
import { type AddressSpace, PG_UPTODATE } from './address-space.ts';
import { hasAnonVma } from './anon-vma.ts';
import { folioStillCached, peekFolio, vmaInode } from './filemap.ts';
import { folioSetLocked, folioTrylock, folioUnlock, folioUnlockPut } from './folio-lock.ts';
import type { ScanResult } from './khugepaged.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock, vmaLookup } from './mmap-lock.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { pageProt, vmPageProtWrite } from './page-prot.ts';
import { allocPmd, freeTable, pmdOrder, pmdSize, pmdSlot, ptLockOf } from './pgtable.ts';
import { folioAddFileRmapPmd, folioMarkDirty, folioRemoveRmap, linearPageIndex } from './rmap.ts';
import { peekSwapped } from './shmem-swap.ts';
import { shmemSwapinFolio } from './shmem-swapin.ts';
import { thpVmaSuitable } from './thp-policy.ts';
import { flushNow } from './tlb.ts';
import { has, VM_MAYBE_GUARD, VM_UFFD_MISSING, VM_UFFD_WP, type VmFlags } from './vm-flags.ts';
import { unmapFileFolio } from './vmscan.ts';

/**
 * The span of a mapping of shared memory.
 * @param maxNone how many of its pages may be missing
 * Requires: mmap_lock for reading; it is dropped in between, and held again at the end.
 */
export function* collapseFile(vma: Vma, start: Vaddr, maxNone: number): Steps<ScanResult> {
  const { mm } = vma;
  const mapping = vmaInode(vma)?.mapping;
  if (mapping === undefined || mapping.disk !== null) return 'stop';
  const index = linearPageIndex(vma, start);
  mmapReadUnlock(mm);
  const scanned = scanCache(mapping, index, maxNone);
  const result = scanned === 'done' ? yield* collapseInCache(mapping, index) : scanned;
  yield* mmapReadLock(mm);
  if (result !== 'done' && result !== 'huge') return result;
  return yield* collapsePteMappedThp(mm, start);
}

/** @linux hpage_collapse_scan_file */
function scanCache(mapping: AddressSpace, index: number, maxNone: number): ScanResult | 'huge' {
  const { frames, geometry } = machine;
  sched.touch(mapping.cell, READ);
  let none = 0;
  for (let i = 0; i < geometry.ptrsPerPte; i++) {
    const pfn = peekFolio(mapping, index + i);
    if (pfn === 0 && peekSwapped(mapping, index + i) === 0) none++;
    if (pfn !== 0 && frames.order(pfn) === pmdOrder()) return i === 0 ? 'huge' : 'unfit';
    if (pfn !== 0 && frames.refcount(pfn) !== 1 + frames.mapcount(pfn)) return 'busy';
  }
  if (none === geometry.ptrsPerPte) return 'unfit';
  return none > maxNone ? 'holes' : 'done';
}

/** One collapse under way: what it has locked, by place. 0: a hole that the huge folio fills already. */
interface Gathered {
  readonly mapping: AddressSpace;
  readonly index: number;
  readonly head: Pfn;
  readonly pages: (Pfn | 0)[];
}

function* collapseInCache(mapping: AddressSpace, index: number): Steps<ScanResult> {
  const { frames } = machine;
  const head = frames.allocFolio(world.owner(), pmdOrder());
  if (head === 0) return 'no-memory';
  folioSetLocked(head);
  frames.flags[head] = PG_SWAPBACKED;
  frames.mapping[head] = -mapping.id;
  frames.index[head] = index;
  const got: Gathered = { mapping, index, head, pages: [] };
  let result = yield* gather(got);
  if (result === 'done' && got.pages.includes(0) && !(yield* holesAllowed(mapping, index))) {
    result = 'holes';
  }
  if (result !== 'done') {
    yield* putBack(got);
    return result;
  }
  if (sched.wants()) yield* access('copy pages', contentCell(head), WRITE);
  takeOver(got);
  yield* retractPageTables(mapping, index);
  folioUnlockPut(head);
  return 'done';
}

/** Index by index: the place is the huge folio's, or its page is locked and nobody uses it. */
function* gather(got: Gathered): Steps<ScanResult> {
  const { mapping, index, head, pages } = got;
  while (pages.length < machine.geometry.ptrsPerPte) {
    const at = index + pages.length;
    if (sched.wants()) yield* access('find folio', mapping.pageCell(at), WRITE);
    const pfn = peekFolio(mapping, at);
    const slot = pfn === 0 ? peekSwapped(mapping, at) : 0;
    if (slot !== 0) {
      const back = yield* shmemSwapinFolio(mapping, at, slot);
      if (back === null) continue;
      if (back === 0) return 'no-memory';
      folioUnlockPut(back);
      continue;
    }
    if (pfn === 0) {
      sched.touch(mapping.pageCell(at), WRITE);
      sched.touch(mapping.cell, ADD);
      mapping.pages.set(at, (head + pages.length) as Pfn);
      machine.frames.get(head);
      pages.push(0);
      continue;
    }
    const result = yield* lockCached(mapping, at, pfn);
    if (result !== 'done') return result;
    pages.push(pfn);
  }
  return 'done';
}

/** Requires: the page was found in the cache in the step that runs. */
function* lockCached(mapping: AddressSpace, at: number, pfn: Pfn): Steps<ScanResult> {
  const { frames } = machine;
  if (!folioTrylock(pfn)) return 'busy';
  frames.get(pfn);
  let result: ScanResult = frames.order(pfn) > 0 ? 'unfit' : 'done';
  if (result === 'done' && !folioStillCached(mapping, at, pfn)) result = 'unfit';
  if (result === 'done') {
    yield* unmapFileFolio(pfn);
    if (sched.wants()) yield* access('unmapped', refcountCell(pfn), READ);
    if (!cacheAlone(pfn)) result = 'busy';
  }
  if (result !== 'done') folioUnlockPut(pfn);
  return result;
}

/** Under the folio lock, unmapped: does only the cache, and the caller, refer to the page? */
export const cacheAlone = seam(
  'khugepaged.cacheAlone',
  (pfn: Pfn): boolean => machine.frames.refcount(pfn) === 2,
  'COLLAPSE: chk refs: a device or a read under way would go on using the page that was copied',
);

/**
 * Whether holes may be filled: not where somebody asked to be told of missing pages. From the time the places are taken,
 * who asks anew finds them filled. Before 6.4 nobody looked.
 */
export const holesAllowed: Seam<(mapping: AddressSpace, index: number) => Steps<boolean>> = seam(
  'khugepaged.holesAllowed',
  function* (mapping: AddressSpace, index: number): Steps<boolean> {
    yield* lockRead(mapping.iMmapLock);
    let allowed = true;
    for (const vma of mappers(mapping, index)) {
      vma.peek();
      if (has(vma.flags, VM_UFFD_MISSING)) allowed = false;
    }
    unlockRead(mapping.iMmapLock);
    return allowed;
  },
);

/** VMAs that map part of the span. Requires: the i_mmap lock. */
function mappers(mapping: AddressSpace, index: number): Vma[] {
  const last = index + machine.geometry.ptrsPerPte;
  return [...mapping.iMmap].filter(
    (vma) => vma.pgoff < last && vma.pgoff + (vma.end - vma.start) / PAGE_SIZE > index,
  );
}

/** Nothing has happened: holes are holes again. */
function* putBack({ mapping, index, head, pages }: Gathered): Steps<void> {
  const { frames } = machine;
  if (sched.wants()) yield* access('give places back', mapping.cell, ADD);
  frames.mapping[head] = 0;
  for (const [i, pfn] of pages.entries()) {
    if (pfn !== 0) {
      folioUnlockPut(pfn);
      continue;
    }
    sched.touch(mapping.pageCell(index + i), WRITE);
    sched.touch(mapping.cell, ADD);
    mapping.pages.delete(index + i);
    frames.put(head, world.owner());
  }
  folioUnlockPut(head);
}

/** Content and places go to the huge folio, inside the running step; the old pages go. */
function takeOver({ mapping, index, head, pages }: Gathered): void {
  const { frames } = machine;
  for (const [i, pfn] of pages.entries()) {
    const page = (head + i) as Pfn;
    if (pfn === 0) {
      frames.zero(page);
      continue;
    }
    frames.copy(page, pfn);
    sched.touch(mapping.pageCell(index + i), WRITE);
    mapping.pages.set(index + i, page);
    frames.get(head);
    frames.mapping[pfn] = 0;
    frames.put(pfn, world.owner());
    folioUnlockPut(pfn);
  }
  frames.setFlag(head, PG_UPTODATE);
  folioMarkDirty(head);
}

/** Looked at without a lock: may a mapping's table go? Not one with private pages, markers or guards in it. */
export const retractable = seam('khugepaged.retractable', (vma: Vma): boolean => {
  if (hasAnonVma(vma)) return false;
  return !has(vma.flags, (VM_UFFD_WP | VM_MAYBE_GUARD) as VmFlags);
});

/** Under the page-table locks again: is there still nothing private in the mapping? */
export const stillRetractable = seam(
  'khugepaged.stillRetractable',
  (vma: Vma): boolean => retractable(vma),
  'COLLAPSE: chk anon_vma, WP and guards again: a first private page or a marker may have come since, and would be lost with the table',
);

/**
 * Takes the tables of all mappings of the span away, so that the next fault maps the huge page; a poison marker goes with
 * its table (measured on 6.18).
 * Requires: the lock of the huge folio: no entry maps it yet. @linux retract_page_tables
 */
function* retractPageTables(mapping: AddressSpace, index: number): Steps<void> {
  yield* lockRead(mapping.iMmapLock);
  for (const vma of mappers(mapping, index)) {
    const start = vma.start + (index - vma.pgoff) * PAGE_SIZE;
    if (retractable(vma) && thpVmaSuitable(vma, start)) yield* retractTable(vma, start);
  }
  unlockRead(mapping.iMmapLock);
}

function* retractTable(vma: Vma, start: Vaddr): Steps<void> {
  const { mm } = vma;
  const pmd = pmdSlot(mm, start);
  if (pmd < 0 || !pteIsTable(getPte(pmd))) return;
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'clear', start, start + pmdSize());
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  const table = getPte(pmd);
  if (pteIsTable(table)) {
    const first = machine.tables.slot(pteTable(table), 0);
    const ptl = ptLockOf(first);
    if (tryTake(ptl)) {
      if (stillRetractable(vma)) dropTable(vma, pmd, start, table);
      unlock(ptl);
    }
  }
  unlock(pml);
  yield* mmuNotifierInvalidateRangeEnd(range);
}

/** Requires: both page-table locks. Walkers that are inside keep the table until RCU lets it go. */
function dropTable(vma: Vma, pmd: number, start: Vaddr, table: Pte): void {
  const { mm } = vma;
  const first = machine.tables.slot(pteTable(table), 0);
  setPte(pmd, PTE_NONE);
  flushNow(mm, start, start + pmdSize());
  for (let i = 0; i < machine.geometry.ptrsPerPte; i++) {
    const pte = getPte(first + i);
    if (pteNone(pte)) continue;
    // Only a kernel that does not look again loses more than markers.
    if (ptePresent(pte)) {
      folioRemoveRmap(ptePfn(pte), vma);
      machine.frames.put(ptePfn(pte), world.owner());
    }
    setPte(first + i, PTE_NONE);
  }
  world.rcu.callRcu(() => freeTable(mm, pteTable(table)));
}

/**
 * Maps the huge page that the cache has where its pages are mapped one by one, or not at all.
 * Requires: mmap_lock for reading. @linux collapse_pte_mapped_thp
 */
function* collapsePteMappedThp(mm: Mm, start: Vaddr): Steps<ScanResult> {
  const vma = vmaLookup(mm, start);
  const mapping = vma === null ? undefined : vmaInode(vma)?.mapping;
  if (vma === null || mapping === undefined || !thpVmaSuitable(vma, start)) return 'stop';
  if (has(vma.flags, VM_UFFD_WP)) return 'unfit';
  const pmd = allocPmd(mm, start);
  if (pmd < 0) return 'no-memory';
  if (pteHuge(getPte(pmd))) return 'done';
  const index = linearPageIndex(vma, start);
  if (sched.wants()) yield* access('find folio', mapping.pageCell(index), READ);
  const head = peekFolio(mapping, index);
  if (head === 0 || machine.frames.order(head) !== pmdOrder()) return 'unfit';
  if (!folioTrylock(head)) return 'busy';
  machine.frames.get(head);
  const result = yield* mapWhole(vma, start, pmd, head);
  folioUnlock(head);
  machine.frames.put(head, world.owner());
  return result;
}

/** Requires: the folio lock. */
function* mapWhole(vma: Vma, start: Vaddr, pmd: number, head: Pfn): Steps<ScanResult> {
  const { mm } = vma;
  const range = yield* mmuNotifierInvalidateRangeStart(mm, 'clear', start, start + pmdSize());
  const pml = ptLockOf(pmd);
  yield* lock(pml);
  const word = getPte(pmd);
  let result: ScanResult = 'done';
  if (pteIsTable(word)) {
    const ptl = ptLockOf(machine.tables.slot(pteTable(word), 0));
    if (!tryTake(ptl)) result = 'busy';
    else {
      if (mapsOnly(word, head)) dropTable(vma, pmd, start, word);
      else result = 'unfit';
      unlock(ptl);
    }
  }
  if (result === 'done' && getPte(pmd) === PTE_NONE) {
    machine.frames.get(head);
    folioAddFileRmapPmd(head, vma);
    const bits = PTE_HUGE | PTE_YOUNG | pageProt(vma.flags) | vmPageProtWrite(vma);
    setPte(pmd, mkPte(head, bits));
  }
  unlock(pml);
  yield* mmuNotifierInvalidateRangeEnd(range);
  return result;
}

/** Whether a table holds nothing but pages of the folio, each at its place. */
function mapsOnly(table: Pte, head: Pfn): boolean {
  const first = machine.tables.slot(pteTable(table), 0);
  for (let i = 0; i < machine.geometry.ptrsPerPte; i++) {
    const pte = getPte(first + i);
    if (pteNone(pte)) continue;
    if (!ptePresent(pte) || ptePfn(pte) !== head + i) return false;
    if (pteDirty(pte)) folioMarkDirty(head);
  }
  return true;
}

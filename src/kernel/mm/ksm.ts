/**
 * Kernel samepage merging: private pages of the same content become one write-protected page, which the next write copies.
 *
 *   lock the folio | page-table lock: write-protect, nobody else? | same content? page-table lock: entry same? the merged
 *   page in its place
 *
 * The first page of a content becomes the merged page itself (the stable tree); those that changed lately or have no twin
 * yet wait in the unstable tree, which is forgotten after every full scan.
 *
 * Differs from Linux: merged pages are neither moved nor swapped out, and one may be shared by any number of entries.
 * @linux mm/ksm.c; Documentation/mm/ksm.rst
 */
import { folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON, PG_ANON_EXCLUSIVE, PG_DIRTY, ZERO_PFN } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkPte,
  type Pfn,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  pteDirty,
  ptePfn,
  ptePresent,
  pteSpecial,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access, pause } from '../../sched/access.ts';
import { type Cell, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { CELL_MM } from '../cells.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import { mmput } from './exit-mmap.ts';
import { folioTrylock, folioUnlock } from './folio-lock.ts';
import { folioMaybeDmaPinned } from './gup-pin.ts';
import { isKsm, PG_KSM } from './ksm-page.ts';
import { handleMmFault } from './memory.ts';
import { folioAt } from './migrate.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmgetNotZero } from './mm-users.ts';
import { mmapReadLock, mmapReadUnlock, vmaLookup } from './mmap-lock.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { pageProt } from './page-prot.ts';
import { ptLockOf } from './pgtable.ts';
import { pteOffsetMapLock } from './pte-offset-map.ts';
import { folioMarkDirty, folioRemoveRmap } from './rmap.ts';
import { folioSwapOffset, freeFolioAndSwapCache } from './swapfile.ts';
import { flushNow } from './tlb.ts';
import {
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_UNSHARE,
  type FaultFlags,
  VM_FAULT_RETRY,
} from './vm-fault.ts';
import { has, VM_MERGEABLE } from './vm-flags.ts';

/** What is known of one page that may be merged. @linux struct ksm_rmap_item */
export interface KsmItem {
  readonly mm: Mm;
  readonly address: Vaddr;
  /** Of its content when it was last looked at. */
  content: string;
  /** Its entry leads to a merged page, or to the zero page in place of one. */
  place: 'none' | 'merged' | 'zero';
}

/** The trees, and the settings under /sys/kernel/mm/ksm. */
export class Ksm {
  /** 0: merged pages stay, nothing is scanned; 1: scans; 2: everything is unmerged. */
  run = 0;
  useZeroPages = false;
  pagesToScan = 100;
  sleepMillisecs = 20;
  fullScans = 0;
  pagesScanned = 0;
  /** Items by address space and address. */
  readonly items: Map<string, KsmItem> = new Map();
  /** Merged pages by content; those that have been freed since are found out when they are looked up. */
  readonly stable: Map<string, Pfn> = new Map();
  /** Pages without a twin so far, by content. */
  readonly unstable: Map<string, KsmItem> = new Map();
  /** ksmd is there. */
  started = false;
  /** Stands for both trees. */
  readonly cell: Cell = sched.newCell(CELL_MM);
}

/** The trees of this world. */
export function ksm(): Ksm {
  world.ksm ??= new Ksm();
  return world.ksm;
}

/** The item of a page. */
function itemOf(mm: Mm, address: Vaddr): KsmItem {
  const { items } = ksm();
  const key = `${mm.id}:${address}`;
  const known = items.get(key);
  if (known !== undefined) return known;
  const made: KsmItem = { mm, address, content: '', place: 'none' };
  items.set(key, made);
  return made;
}

/** The bytes of a page as text, one character a byte: equal texts, equal pages. */
function contentOf(pfn: Pfn): string {
  const bytes = machine.frames.read(pfn, 0, machine.frames.contentBytes);
  let text = '';
  for (let i = 0; i < bytes.length; i += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  }
  return text;
}
const CHUNK = 1024;

/**
 * Looks at one page and merges it when another has the same content.
 * @param settled merge only what has not changed since it was last looked at, as ksmd does
 * Requires: no lock. @linux cmp_and_merge_page
 */
export function* ksmScanPage(mm: Mm, address: Vaddr, settled = false): Steps<void> {
  const pfn = yield* underMmapLock(mm, address, () => folioAt(mm, address));
  if (pfn === null || pfn === 0) return;
  if (isMergeable(pfn)) yield* cmpAndMerge(itemOf(mm, address), pfn, settled);
  machine.frames.put(pfn, world.owner());
}

/** Does something to an address that may be merged; null: it may not. */
function* underMmapLock<T>(mm: Mm, address: Vaddr, body: (vma: Vma) => Steps<T>): Steps<T | null> {
  if (!mmgetNotZero(mm)) return null;
  yield* mmapReadLock(mm);
  const vma = vmaLookup(mm, address);
  const result = vma !== null && has(vma.flags, VM_MERGEABLE) ? yield* body(vma) : null;
  mmapReadUnlock(mm);
  yield* mmput(mm);
  return result;
}

function isMergeable(pfn: Pfn): boolean {
  const { frames } = machine;
  return frames.hasFlag(pfn, PG_ANON) && !isKsm(pfn) && frames.order(frames.head(pfn)) === 0;
}

/** Requires: a reference to the page. */
function* cmpAndMerge(item: KsmItem, pfn: Pfn, settled: boolean): Steps<void> {
  const trees = ksm();
  yield* access('compare pages', trees.cell, WRITE);
  const content = contentOf(pfn);
  const merged = stableOf(content);
  if (merged !== 0) {
    machine.frames.get(merged);
    if (yield* tryToMerge(item, pfn, merged)) item.place = 'merged';
    machine.frames.put(merged, world.owner());
    return;
  }
  const changed = item.content !== content;
  item.content = content;
  if (settled && changed) return;
  if (trees.useZeroPages && isZeroes(content)) {
    if (yield* tryToMerge(item, pfn, ZERO_PFN)) item.place = 'zero';
    return;
  }
  const twin = trees.unstable.get(content);
  if (twin === undefined || twin === item) {
    trees.unstable.set(content, item);
    return;
  }
  if (twin.mm !== item.mm && (yield* sharedByFork(twin, pfn))) return;
  trees.unstable.delete(content);
  if (!(yield* tryToMerge(item, pfn, 0))) return;
  item.place = 'merged';
  trees.stable.set(content, pfn);
  yield* mergeTwin(twin, pfn);
}

function isZeroes(content: string): boolean {
  return /^\0*$/.test(content);
}

/** The merged page of a content, or 0. */
function stableOf(content: string): Pfn | 0 {
  const { stable } = ksm();
  const pfn = stable.get(content) ?? 0;
  // Freed since, and perhaps somebody else's now. @linux ksm_get_folio
  if (pfn !== 0 && machine.frames.refcount(pfn) > 0 && isKsm(pfn)) return pfn;
  stable.delete(content);
  return 0;
}

/** Whether the twin is the same page: one that fork has shared needs no merging (6.18.44: ksm_merging_pages after fork). */
function* sharedByFork({ mm, address }: KsmItem, pfn: Pfn): Steps<boolean> {
  const there = yield* underMmapLock(mm, address, () => folioAt(mm, address));
  if (there === null || there === 0) return false;
  machine.frames.put(there, world.owner());
  return there === pfn;
}

/** @linux try_to_merge_two_pages */
function* mergeTwin(twin: KsmItem, merged: Pfn): Steps<void> {
  const { mm, address } = twin;
  const pfn = yield* underMmapLock(mm, address, () => folioAt(mm, address));
  if (pfn === null || pfn === 0) return;
  if (isMergeable(pfn) && (yield* tryToMerge(twin, pfn, merged))) twin.place = 'merged';
  machine.frames.put(pfn, world.owner());
}

/** Under the page-table lock, the entry cleared: does nobody but its mappings, its caches and the caller refer to the page? */
export const nobodyElseReads = seam(
  'ksm.nobodyElse',
  (pfn: Pfn): boolean => {
    const { frames } = machine;
    const cached = folioSwapOffset(pfn) === 0 ? 0 : 1;
    return frames.refcount(pfn) === frames.mapcount(pfn) + 1 + cached;
  },
  'KSM: chk references: a device or a system call in flight may be writing to the page',
);

/** Under the page-table lock again: is it still the entry that was write-protected? */
export const entrySameOnMerge = seam(
  'ksm.entrySame',
  (now: Pte, before: Pte): boolean => now === before,
  'KSM: chk pte same: since the contents were compared the page may have been written, and copied first',
);

/** Whether write protection by userfaultfd survives. 6.18 forgets it (docs/findings.md). */
export const mergeKeepsUffdWp = seam('ksm.keepsUffdWp', (): boolean => false);

/**
 * Write-protects a page and puts the merged one in its place; 0 makes the page itself the merged one.
 * @returns whether it did
 * Requires: references to both pages. @linux try_to_merge_one_page
 */
function* tryToMerge(item: KsmItem, pfn: Pfn, merged: Pfn | 0): Steps<boolean> {
  const { mm, address } = item;
  const merge = (vma: Vma): Steps<boolean> => mergeOne(vma, address, pfn, merged);
  return (yield* underMmapLock(mm, address, merge)) ?? false;
}

/** Requires: mmap_lock for reading. */
function* mergeOne(vma: Vma, address: Vaddr, pfn: Pfn, merged: Pfn | 0): Steps<boolean> {
  yield* pause('lock folio');
  if (!folioTrylock(pfn)) return false;
  const end = address + PAGE_SIZE;
  const range = yield* mmuNotifierInvalidateRangeStart(vma.mm, 'clear', address, end);
  const before = yield* writeProtectPage(vma, address, pfn);
  let done = before !== 0;
  if (before !== 0 && merged === 0) {
    markMerged(pfn);
  } else if (before !== 0) {
    yield* pause('compare contents');
    done = sameContent(pfn, merged as Pfn);
    if (done) done = yield* replacePage(vma, address, pfn, merged as Pfn, before);
  }
  yield* mmuNotifierInvalidateRangeEnd(range);
  folioUnlock(pfn);
  return done;
}

/** Requires: the folio lock; the page is write-protected. @linux folio_set_stable_node */
function markMerged(pfn: Pfn): void {
  const { frames } = machine;
  sched.touch(folioCell(pfn), WRITE);
  frames.flags[pfn] = (frames.flags[pfn] ?? 0) | PG_KSM | PG_DIRTY;
  frames.mapping[pfn] = 0;
}

function sameContent(pfn: Pfn, merged: Pfn): boolean {
  const content = contentOf(pfn);
  return merged === ZERO_PFN ? isZeroes(content) : content === contentOf(merged);
}

/** @returns the entry as it is now, or 0: not this page's, or somebody else uses the page. @linux write_protect_page */
function* writeProtectPage(vma: Vma, address: Vaddr, pfn: Pfn): Steps<Pte | 0> {
  const { frames } = machine;
  const slot = yield* pteOffsetMapLock(vma.mm, address);
  if (slot < 0) return 0;
  const pte = getPte(slot);
  let done = ptePresent(pte) && !pteSpecial(pte) && ptePfn(pte) === pfn;
  let clean = pte;
  if (done) {
    flushNow(vma.mm, address, address + PAGE_SIZE);
    const pinned = vma.mm.hasPinned && folioMaybeDmaPinned(pfn);
    done = nobodyElseReads(pfn) && !pinned;
  }
  if (done) {
    if (frames.hasFlag(pfn, PG_ANON_EXCLUSIVE)) frames.clearFlag(pfn, PG_ANON_EXCLUSIVE);
    if (pteDirty(pte)) folioMarkDirty(pfn);
    clean = withoutFlags(pte, PTE_WRITE | PTE_DIRTY);
    if (clean !== pte) setPte(slot, clean);
  }
  unlock(ptLockOf(slot));
  return done ? clean : 0;
}

/** @linux replace_page */
function* replacePage(
  vma: Vma,
  address: Vaddr,
  pfn: Pfn,
  merged: Pfn,
  before: Pte,
): Steps<boolean> {
  const { frames } = machine;
  const slot = yield* pteOffsetMapLock(vma.mm, address);
  if (slot < 0) return false;
  const same = entrySameOnMerge(getPte(slot), before);
  if (same) {
    const zero = merged === ZERO_PFN;
    if (!zero) {
      frames.get(merged);
      frames.addMapcount(merged, 1);
      vma.mm.rss.anon++;
    }
    flushNow(vma.mm, address, address + PAGE_SIZE);
    const flags = pageProt(vma.flags) | PTE_YOUNG | (zero ? PTE_SPECIAL | PTE_DIRTY : 0);
    const kept = mergeKeepsUffdWp() ? before & PTE_UFFD_WP : 0;
    setPte(slot, withFlags(mkPte(merged, flags), kept));
    folioRemoveRmap(pfn, vma);
    freeFolioAndSwapCache(pfn);
  }
  unlock(ptLockOf(slot));
  return same;
}

/**
 * Gives every merged page in [start, end) of a VMA a page of its own again, by a fault that asks for one.
 * Requires: mmap_lock, which the faults do not let go of. @linux unmerge_ksm_pages, break_ksm
 */
export function* unmergeKsmPages(vma: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  const { items } = ksm();
  for (let address = start; address < end; address += PAGE_SIZE) {
    const item = items.get(`${vma.mm.id}:${address}`);
    while (yield* leadsToKsm(vma.mm, address, item?.place === 'zero')) {
      const flags = (FAULT_FLAG_UNSHARE | FAULT_FLAG_REMOTE) as FaultFlags;
      const result = yield* handleMmFault(vma, world.current, address, flags);
      if (result !== 0 && result !== VM_FAULT_RETRY) break;
    }
    items.delete(`${vma.mm.id}:${address}`);
  }
}

/** @param zero whether the zero page stands for a merged page here */
function* leadsToKsm(mm: Mm, address: Vaddr, zero: boolean): Steps<boolean> {
  const slot = yield* pteOffsetMapLock(mm, address);
  if (slot < 0) return false;
  const pte = getPte(slot);
  unlock(ptLockOf(slot));
  if (!ptePresent(pte)) return false;
  return pteSpecial(pte) ? zero && isKsmZero(pte) : isKsm(ptePfn(pte));
}

/** A zero page that stands for a merged one is dirty, which others never are. @linux is_ksm_zero_pte */
export function isKsmZero(pte: Pte): boolean {
  return pteSpecial(pte) && pteDirty(pte);
}

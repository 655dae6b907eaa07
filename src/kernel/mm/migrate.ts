/**
 * Moving a page to another frame while programs use it (semantics.md section 22, MIGRATE):
 *
 *   lock the folio | every mapping: clear, flush, migration entry | nobody else? copy, take over its place in the caches |
 *   every migration entry: the new page | unlock: those who waited look again
 *
 * A migration entry keeps what the entry allowed, so that nobody sees that the page has moved. Faults on it wait for the
 * folio lock; they take no reference, since that would look like somebody who uses the page.
 *
 * Differs from Linux: only single pages move; a large folio stays where it is.
 * @linux mm/migrate.c; Documentation/mm/page_migration.rst
 */
import { assert } from '../../base/assert.ts';
import { folioCell, refcountCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import {
  GUP_PIN_COUNTING_BIAS,
  PG_ANON,
  PG_ANON_EXCLUSIVE,
  PG_SWAPCACHE,
} from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  MIGRATION_DIRTY,
  MIGRATION_WRITE,
  MIGRATION_YOUNG,
  mkMigration,
  mkPte,
  type Pfn,
  PTE_DIRTY,
  PTE_SOFT_DIRTY,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  pteDirty,
  pteIsMigration,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteUffdWp,
  pteWrite,
  pteYoung,
  SWP_EXCLUSIVE,
  withFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access, pause } from '../../sched/access.ts';
import { ADD, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { EAGAIN, ENOMEM } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import { filemapReplaceFolio } from './filemap.ts';
import {
  folioSetLocked,
  folioTrylock,
  folioUnlock,
  folioUnlockPut,
  folioWaitUnlocked,
} from './folio-lock.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mkUffdWp, pageProt } from './page-prot.ts';
import { ptLockOf } from './pgtable.ts';
import { pteOffsetMapLock } from './pte-offset-map.ts';
import { countMigrating, folioMarkDirty, folioRemoveRmap, type RmapPlace } from './rmap.ts';
import { rmapWalk } from './rmap-walk.ts';
import { replaceInSwapCache } from './swapfile.ts';
import { flushNow } from './tlb.ts';

/** Under the folio lock, with every mapping gone: does only its cache, and the caller, refer to the folio? */
export const nobodyElseMigrating = seam(
  'migrate.nobodyElse',
  (pfn: Pfn): boolean => machine.frames.refcount(pfn) === 1 + inCache(pfn),
  'MIGRATE: chk refcount: whoever has a reference would go on using the page that is left behind',
);

/** References that a cache holds: the page cache, the swap cache. */
function inCache(pfn: Pfn): number {
  const { frames } = machine;
  const cached = (frames.flags[pfn] ?? 0) & PG_SWAPCACHE ? 1 : 0;
  return cached + (world.mappings.has(-frames.mappingOf(pfn)) ? 1 : 0);
}

/**
 * Moves a page to a new frame.
 * @param pfn a reference to it is given up
 * @param retire called with the old frame once it is empty and unlocked, instead of dropping the reference to it
 * @returns 0; -EAGAIN: somebody is busy with it; -ENOMEM
 * Requires: no page-table lock, no folio lock. @linux unmap_and_move
 */
export function* migrateFolio(pfn: Pfn, retire: ((old: Pfn) => void) | null = null): Steps<number> {
  const { frames } = machine;
  yield* pause('lock folio');
  if (frames.order(frames.head(pfn)) > 0 || !folioTrylock(pfn)) {
    yield* putFolio(pfn);
    return -EAGAIN;
  }
  if (frames.mapcount(pfn) + inCache(pfn) === 0) {
    folioUnlockPut(pfn);
    return -EAGAIN;
  }
  const fresh = frames.alloc(world.owner());
  if (fresh === 0) {
    folioUnlockPut(pfn);
    return -ENOMEM;
  }
  folioSetLocked(fresh);
  yield* rmapWalk(pfn, (place, slot) => toMigrationEntry(pfn, place, slot));
  if (sched.wants()) yield* access('move page', refcountCell(pfn), READ);
  const moved = frames.mapcount(pfn) === 0 && nobodyElseMigrating(pfn);
  if (moved) takeOver(pfn, fresh);
  const now = moved ? fresh : pfn;
  yield* rmapWalk(now, (place, slot) => fromMigrationEntry(pfn, now, place, slot), false);
  folioUnlockPut(fresh);
  folioUnlock(pfn);
  if (moved && retire !== null) retire(pfn);
  else yield* putFolio(pfn);
  return moved ? 0 : -EAGAIN;
}

function* putFolio(pfn: Pfn): Steps<void> {
  if (sched.wants()) yield* access('put folio', refcountCell(pfn), ADD);
  machine.frames.put(pfn, world.owner());
}

/** Requires: the page-table lock. @linux mm/rmap.c try_to_migrate_one */
function toMigrationEntry(pfn: Pfn, { vma, address }: RmapPlace, slot: number): void {
  const { frames } = machine;
  const pte = getPte(slot);
  if (!ptePresent(pte) || pteSpecial(pte) || ptePfn(pte) !== pfn) return;
  if (vma.mm.hasPinned && frames.refcount(pfn) >= GUP_PIN_COUNTING_BIAS) return;
  const exclusive = frames.hasFlag(pfn, PG_ANON_EXCLUSIVE);
  const anon = frames.hasFlag(pfn, PG_ANON);
  let flags = pte & (PTE_SOFT_DIRTY | PTE_UFFD_WP);
  if (pteWrite(pte)) flags |= MIGRATION_WRITE;
  if (pteYoung(pte)) flags |= MIGRATION_YOUNG;
  if (pteDirty(pte)) flags |= MIGRATION_DIRTY;
  if (exclusive) flags |= SWP_EXCLUSIVE;
  setPte(slot, mkMigration(pfn, flags));
  flushNow(vma.mm, address, address + PAGE_SIZE);
  if (exclusive) frames.clearFlag(pfn, PG_ANON_EXCLUSIVE);
  if (pteDirty(pte) && !anon) folioMarkDirty(pfn);
  folioRemoveRmap(pfn, vma);
  // The page is on its way; it still counts as resident. @linux mm_counter
  countMigrating(vma.mm, pfn, 1);
  frames.put(pfn, world.owner());
}

/**
 * The new frame gets the content and everything that led to the old one.
 * Requires: both folio locks; nobody but the cache and the caller refers to the old one. @linux __migrate_folio
 */
function takeOver(old: Pfn, fresh: Pfn): void {
  const { frames } = machine;
  sched.touch(folioCell(old), WRITE);
  sched.touch(folioCell(fresh), WRITE);
  frames.copy(fresh, old);
  const id = frames.mapping[old] ?? 0;
  const index = frames.index[old] ?? 0;
  frames.flags[fresh] = (frames.flags[old] ?? 0) & ~PG_SWAPCACHE;
  frames.mapping[fresh] = id;
  frames.index[fresh] = index;
  const mapping = world.mappings.get(-id);
  if (mapping !== undefined) filemapReplaceFolio(mapping, index, old, fresh);
  if (((frames.flags[old] ?? 0) & PG_SWAPCACHE) !== 0) replaceInSwapCache(old, fresh);
}

/** Requires: the page-table lock. @linux remove_migration_pte */
function fromMigrationEntry(old: Pfn, now: Pfn, { vma, address }: RmapPlace, slot: number): void {
  const { frames } = machine;
  const entry = getPte(slot);
  if (!pteIsMigration(entry) || ptePfn(entry) !== old) return;
  const anon = frames.hasFlag(now, PG_ANON);
  frames.get(now);
  frames.addMapcount(now, 1);
  if (anon && (entry & SWP_EXCLUSIVE) !== 0) frames.setFlag(now, PG_ANON_EXCLUSIVE);
  assert(vma.contains(address), 'a migration entry outside its VMA');
  setPte(slot, presentAgain(vma, entry, now));
}

function presentAgain(vma: Vma, entry: Pte, now: Pfn): Pte {
  let flags = pageProt(vma.flags) | (entry & PTE_SOFT_DIRTY);
  if ((entry & MIGRATION_YOUNG) !== 0) flags |= PTE_YOUNG;
  if ((entry & MIGRATION_DIRTY) !== 0) flags |= PTE_DIRTY;
  const pte = mkPte(now, flags);
  if ((entry & MIGRATION_WRITE) !== 0) return withFlags(pte, PTE_WRITE);
  return pteUffdWp(entry) ? mkUffdWp(pte) : pte;
}

/**
 * Waits until a migration that a slot told of is over, unless the slot changed meanwhile.
 * Requires: no page-table lock. @linux migration_entry_wait
 */
export function* migrationEntryWait(mm: Mm, address: Vaddr): Steps<void> {
  const slot = yield* pteOffsetMapLock(mm, address);
  if (slot < 0) return;
  const pte = getPte(slot);
  unlock(ptLockOf(slot));
  if (pteIsMigration(pte)) yield* folioWaitUnlocked(ptePfn(pte));
}

/**
 * Something moves the page at an address elsewhere, as compaction may at any time: the actor of `adversary migrate`.
 * Requires: no lock
 */
export function* migrateAddress(mm: Mm, address: Vaddr): Steps<void> {
  const pfn = yield* folioAt(mm, address);
  if (pfn !== 0) yield* migrateFolio(pfn);
}

/** The page that an address maps, with a reference; 0: none, or nobody's. */
export function* folioAt(mm: Mm, address: Vaddr): Steps<Pfn | 0> {
  const slot = yield* pteOffsetMapLock(mm, address);
  if (slot < 0) return 0;
  const pte = getPte(slot);
  const found = ptePresent(pte) && !pteSpecial(pte);
  if (found) machine.frames.get(ptePfn(pte));
  unlock(ptLockOf(slot));
  return found ? ptePfn(pte) : 0;
}

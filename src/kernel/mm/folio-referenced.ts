/**
 * Reclaim asks which pages were used lately: a walk over the mappings of a page without the page's lock. What keeps its
 * place in the reverse mapping still is the lock of its anon_vma alone.
 * @linux mm/rmap.c folio_referenced, folio_lock_anon_vma_read; semantics.md section 16
 */
import { assert } from '../../base/assert.ts';
import { folioCell, refcountCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PG_ANON } from '../../machine/frames.ts';
import {
  type Pfn,
  PTE_YOUNG,
  ptePfn,
  ptePresent,
  pteSpecial,
  withoutFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { access } from '../../sched/access.ts';
import { ADD, READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lockRead, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import type { AnonVma } from './anon-vma.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { ptLockOf } from './pgtable.ts';
import { pteOffsetMapLock } from './pte-offset-map.ts';
import { rmapPlaces } from './rmap.ts';

/** Under the lock of the anon_vma: does the page still belong to it? UFFDIO_MOVE may have given it to another. */
export const mappingSame = seam(
  'rmap.mappingSame',
  (pfn: Pfn, mapping: number): boolean => machine.frames.mappingOf(pfn) === mapping,
);

/** The page at an address is looked at: the actor of `adversary referenced`. Requires: no lock. */
export function* referencedAddress(mm: Mm, address: Vaddr): Steps<void> {
  const slot = yield* pteOffsetMapLock(mm, address);
  if (slot < 0) return;
  const pte = getPte(slot);
  const { frames } = machine;
  const found = ptePresent(pte) && !pteSpecial(pte) && frames.hasFlag(ptePfn(pte), PG_ANON);
  if (found) frames.get(ptePfn(pte));
  unlock(ptLockOf(slot));
  if (!found) return;
  const pfn = ptePfn(pte);
  yield* folioReferenced(pfn);
  if (sched.wants()) yield* access('put folio', refcountCell(pfn), ADD);
  frames.put(pfn, world.owner());
}

/**
 * Forgets that a page was used, wherever it is mapped.
 * @returns entries that map it
 * Requires: a reference to the page. @linux folio_referenced
 */
function* folioReferenced(pfn: Pfn): Steps<number> {
  const anonVma = yield* folioLockAnonVmaRead(pfn);
  if (anonVma === null) return 0;
  let seen = 0;
  for (const { vma, address } of rmapPlaces(pfn)) {
    // Nothing keeps the address space from ending meanwhile: RCU keeps its tables.
    world.rcu.readLock();
    const slot = yield* pteOffsetMapLock(vma.mm, address);
    if (slot >= 0) {
      const pte = getPte(slot);
      if (ptePresent(pte) && ptePfn(pte) === pfn) {
        setPte(slot, withoutFlags(pte, PTE_YOUNG));
        seen++;
      }
      unlock(ptLockOf(slot));
    }
    world.rcu.readUnlock();
  }
  const missed = seen === 0 && machine.frames.mapcount(pfn) > 0;
  assert(!missed, () => `a walk over the mappings of frame ${pfn} has missed where it is mapped`);
  unlockRead(anonVma.root.lock);
  return seen;
}

/** The anon_vma of a page, locked for reading; null: it has none. @linux folio_lock_anon_vma_read */
function* folioLockAnonVmaRead(pfn: Pfn): Steps<AnonVma | null> {
  for (;;) {
    sched.touch(folioCell(pfn), READ);
    const mapping = machine.frames.mappingOf(pfn);
    const anonVma = world.anonVmas.get(mapping);
    if (anonVma === undefined) return null;
    yield* lockRead(anonVma.root.lock);
    sched.touch(folioCell(pfn), READ);
    if (mappingSame(pfn, mapping)) return anonVma;
    unlockRead(anonVma.root.lock);
  }
}

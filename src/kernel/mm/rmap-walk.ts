/**
 * Going to every entry that may map a folio, one at a time, each under its page-table lock: migration and memory failure.
 * @linux mm/rmap.c rmap_walk, mm/page_vma_mapped.c
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { type Lock, lockRead, unlock, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.ts';
import { ptLockOf } from './pgtable.ts';
import { pteOffsetMapLock } from './pte-offset-map.ts';
import { type RmapPlace, rmapPlaces } from './rmap.ts';

/**
 * Calls back with each slot in which the folio may be mapped, or may have been; the slot decides.
 * @param visit looks at the slot and changes it, inside the step that took its lock
 * @param tells whether entries lose what they allow, so that MMU notifiers have to hear of it
 * Requires: the folio lock, which keeps the folio's place in the reverse mapping; no page-table lock
 */
export function* rmapWalk(
  pfn: Pfn,
  visit: (place: RmapPlace, slot: number) => void,
  tells = true,
): Steps<void> {
  const found = placesOf(pfn);
  if (found === null) return;
  yield* lockRead(found.lock);
  for (const place of found.places()) {
    const { mm } = place.vma;
    const { address } = place;
    const range = tells
      ? yield* mmuNotifierInvalidateRangeStart(mm, 'clear', address, address + PAGE_SIZE)
      : null;
    // Nothing keeps the address space from ending meanwhile: RCU keeps its tables.
    world.rcu.readLock();
    const slot = yield* pteOffsetMapLock(mm, address);
    if (slot >= 0) {
      visit(place, slot);
      unlock(ptLockOf(slot));
    }
    world.rcu.readUnlock();
    yield* mmuNotifierInvalidateRangeEnd(range);
  }
  unlockRead(found.lock);
}

interface Places {
  /** Keeps the list as it is: the root's anon_vma lock, or i_mmap. */
  readonly lock: Lock;
  readonly places: () => readonly RmapPlace[];
}

/** Where the folio may be mapped; null: nowhere any more. */
function placesOf(pfn: Pfn): Places | null {
  const id = machine.frames.mappingOf(pfn);
  const anonVma = world.anonVmas.get(id);
  if (anonVma !== undefined) return { lock: anonVma.root.lock, places: () => rmapPlaces(pfn) };
  const mapping = world.mappings.get(-id);
  if (mapping === undefined) return null;
  const index = machine.frames.indexOf(pfn);
  const places = (): RmapPlace[] =>
    [...mapping.iMmap]
      .map((vma) => ({ vma, address: vma.start + (index - vma.pgoff) * PAGE_SIZE }))
      .filter(({ vma, address }) => vma.contains(address));
  return { lock: mapping.iMmapLock, places };
}

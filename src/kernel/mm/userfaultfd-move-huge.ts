/**
 * UFFDIO_MOVE where huge pages are: one that is asked for as a whole moves as one, part of one after its mapping has
 * become a table; a page of a large folio after the folio has become single frames.
 * @linux mm/huge_memory.c move_pages_huge_pmd, mm/userfaultfd.c move_pages; measured on 6.18.44
 */
import { machine } from '../../machine/current.ts';
import { GUP_PIN_COUNTING_BIAS, PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import {
  mkPte,
  type Pfn,
  PTE_HUGE,
  PTE_NONE,
  PTE_SPECIAL,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  pteHuge,
  ptePfn,
  pteSpecial,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import type { ErrnoRow } from '../errno-row.ts';
import { MOVE_ERRNOS } from '../fs/userfaultfd-errnos.ts';
import { folioLock, folioUnlock } from './folio-lock.ts';
import { splitHugePmd } from './huge-split.ts';
import type { Vaddr } from './mm-types.ts';
import { pageProt } from './page-prot.ts';
import { allocPmd, depositTable, pmdSize, pmdSlot, ptLockOf, withdrawTable } from './pgtable.ts';
import { doublePtLock } from './pte-offset-map.ts';
import { folioMoveAnonRmap, linearPageIndex } from './rmap.ts';
import { dirtyBits } from './soft-dirty.ts';
import { flushNow } from './tlb.ts';
import type { Areas } from './userfaultfd-move-lock.ts';

/** What became of a huge page: it moved; look again; there is none, go page by page; it cannot move. */
export type MovedHuge = 'huge' | 'again' | 'pages' | ErrnoRow;

/**
 * @param left bytes that are still to be moved
 * Requires: as movePages. Page by page the source has no huge page then, unless one appears.
 */
export function* moveHugePage(
  areas: Areas,
  dst: Vaddr,
  src: Vaddr,
  left: number,
): Steps<MovedHuge> {
  const { mm } = areas.src;
  const to = pmdSlot(areas.dst.mm, dst);
  if (to >= 0 && pteHuge(getPte(to))) return MOVE_ERRNOS.exists;
  const from = pmdSlot(mm, src);
  if (from < 0 || !pteHuge(getPte(from))) return 'pages';
  const size = pmdSize();
  const aligned = dst % size === 0 && src % size === 0 && left >= size;
  if (aligned && (to < 0 || getPte(to) === PTE_NONE))
    return yield* moveWhole(areas, dst, src, from);
  // Splitting what is shared would change it for nothing.
  const pml = ptLockOf(from);
  yield* lock(pml);
  const leaf = getPte(from);
  const movable = !pteHuge(leaf) || pteSpecial(leaf) || isExclusive(ptePfn(leaf));
  unlock(pml);
  if (!movable) return MOVE_ERRNOS.notExclusive;
  yield* splitHugePmd(areas.src, src);
  return 'again';
}

function isExclusive(head: Pfn): boolean {
  return machine.frames.hasFlag(head, PG_ANON_EXCLUSIVE);
}

function* moveWhole(areas: Areas, dst: Vaddr, src: Vaddr, from: number): Steps<MovedHuge> {
  const to = allocPmd(areas.dst.mm, dst);
  if (to < 0) return MOVE_ERRNOS.noMemory;
  const pml = ptLockOf(from);
  yield* lock(pml);
  const leaf = getPte(from);
  const head = pteHuge(leaf) && !pteSpecial(leaf) ? ptePfn(leaf) : 0;
  const refused = head !== 0 && !isExclusive(head);
  if (head !== 0 && !refused) machine.frames.get(head);
  unlock(pml);
  if (!pteHuge(leaf)) return 'again';
  if (refused) return MOVE_ERRNOS.notExclusive;
  if (head === 0) return yield* exchange(areas, { dst, src, from, to, leaf });
  yield* folioLock(head);
  const root = world.anonVmas.get(machine.frames.mappingOf(head))?.root.lock;
  if (root !== undefined) yield* lock(root);
  const result = yield* exchange(areas, { dst, src, from, to, leaf });
  if (root !== undefined) unlock(root);
  folioUnlock(head);
  machine.frames.put(head, world.owner());
  return result;
}

interface HugeMove {
  readonly dst: Vaddr;
  readonly src: Vaddr;
  readonly from: number;
  readonly to: number;
  readonly leaf: Pte;
}

/** Under both PMD locks: the slots are as they were, the folio still exclusive and in no device's hands? */
function* exchange(areas: Areas, { dst, src, from, to, leaf }: HugeMove): Steps<MovedHuge> {
  const unlockBoth = yield* doublePtLock(to, from);
  let result: MovedHuge = 'again';
  if (getPte(from) === leaf && getPte(to) === PTE_NONE) {
    const head = ptePfn(leaf);
    const special = pteSpecial(leaf);
    const pinned = !special && areas.src.mm.hasPinned && isPinned(head);
    result = special || (isExclusive(head) && !pinned) ? 'huge' : MOVE_ERRNOS.notExclusive;
    if (result === 'huge') {
      setPte(from, PTE_NONE);
      flushNow(areas.src.mm, src, src + pmdSize());
      if (!special) {
        folioMoveAnonRmap(head, areas.dst);
        machine.frames.index[head] = linearPageIndex(areas.dst, dst);
      }
      const bits = special ? PTE_SPECIAL : PTE_YOUNG | PTE_WRITE | dirtyBits();
      setPte(to, mkPte(head, PTE_HUGE | bits | pageProt(areas.dst.flags)));
      depositTable(to, withdrawTable(from));
    }
  }
  unlockBoth();
  return result;
}

function isPinned(head: Pfn): boolean {
  return machine.frames.refcount(head) >= GUP_PIN_COUNTING_BIAS;
}

/** Looks at page tables from outside: for final states, promises and diagrams. Leaves no trace in footprints. */
import type { Mm, Vaddr } from '../kernel/mm/mm-types.ts';
import { lookupPte, pteSlot } from '../kernel/mm/pgtable.ts';
import { has, VM_SOFTDIRTY } from '../kernel/mm/vm-flags.ts';
import { machine } from '../machine/current.ts';
import {
  PTE_MARKER_GUARD,
  type Pte,
  pteIsMarker,
  pteIsMigration,
  pteIsSwap,
  pteMarker,
  pteNone,
  ptePfn,
  ptePresent,
  pteSoftDirty,
  pteSpecial,
  pteUffdWpAny,
} from '../machine/pte.ts';
import { sched } from '../sched/current.ts';

/** Runs `look` without leaving what it touches in the footprint of the running step. */
export function unseen<T>(look: () => T): T {
  const { footprint } = sched;
  const before = footprint.length;
  const value = look();
  footprint.length = before;
  return value;
}

/** The entry of an address, or null when it has no page table. */
export function ptePeek(mm: Mm, address: Vaddr): Pte | null {
  return unseen(() => {
    return lookupPte(mm, address);
  });
}

/** The slot of the entry of an address, or -1 when it has no page table. */
export function slotPeek(mm: Mm, address: Vaddr): number {
  return unseen(() => pteSlot(mm, address));
}

/** What pagemap says of the page at an address, seen from outside. */
export function pageFlagsAt(mm: Mm, address: Vaddr): string {
  const vma = unseen(() => mm.vmas.find(address));
  return pageFlags(ptePeek(mm, address), vma !== null && has(vma.flags, VM_SOFTDIRTY));
}

/**
 * What /proc/PID/pagemap says of an entry, as flags in a fixed order: `present+wp+once`; `none` when nothing.
 * @param fresh the mapping is new, so all of it counts as written
 */
export function pageFlags(pte: Pte | null, fresh = false): string {
  if (pte === null || pteNone(pte)) return fresh ? 'soft-dirty' : 'none';
  const flags: string[] = [];
  if (ptePresent(pte)) flags.push('present');
  if (pteIsSwap(pte) || pteIsMigration(pte) || pteIsMarker(pte)) flags.push('swap');
  if ((pteMarker(pte) & PTE_MARKER_GUARD) !== 0) flags.push('guard');
  if (pteUffdWpAny(pte)) flags.push('wp');
  if (ptePresent(pte) && !pteSpecial(pte) && machine.frames.pageMapcount(ptePfn(pte)) === 1) {
    flags.push('once');
  }
  if (fresh || pteSoftDirty(pte)) flags.push('soft-dirty');
  return flags.join('+');
}

/** The word a page begins with, or null when no page is there. */
export function pageWord(mm: Mm, address: Vaddr): number | null {
  const pte = ptePeek(mm, address);
  if (pte === null || !ptePresent(pte)) return null;
  const { frames } = machine;
  return frames.view.getInt32(frames.address(ptePfn(pte), 0), true);
}

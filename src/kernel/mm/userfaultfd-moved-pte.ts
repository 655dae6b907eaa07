/** What UFFDIO_MOVE puts where a page arrives. @linux mm/userfaultfd.c move_present_ptes; semantics.md section 9.8 */
import {
  mkPte,
  type Pfn,
  PTE_DIRTY,
  PTE_WRITE,
  PTE_YOUNG,
  type Pte,
  pteDirty,
  pteUffdWp,
} from '../../machine/pte.ts';
import { seam } from '../seam.ts';
import type { Vma } from './mm-types.ts';
import { mkUffdWp, pageProt } from './page-prot.ts';
import { dirtyBits, softDirtyBit } from './soft-dirty.ts';
import { has, VM_UFFD_WP } from './vm-flags.ts';

/** Whether the uffd-wp bit goes with the page. 6.18 drops it. */
export const keepsUffdWp = seam('move.keepsUffdWp', (): boolean => false);
/** Whether a page counts as written because it moved. */
export const marksMovedDirty = seam('move.marksMovedDirty', (): boolean => false);

/** The entry of a page at its new place: writable, and dirty if it was. */
export function movedPte(dst: Vma, old: Pte, pfn: Pfn): Pte {
  const dirty = marksMovedDirty() ? dirtyBits() : pteDirty(old) ? PTE_DIRTY : 0;
  const flags = PTE_YOUNG | PTE_WRITE | dirty | softDirtyBit();
  const pte = mkPte(pfn, flags | pageProt(dst.flags));
  return keepsUffdWp() && pteUffdWp(old) && has(dst.flags, VM_UFFD_WP) ? mkUffdWp(pte) : pte;
}

/** One page less in one address space, one more in another. */
export function countMoved(src: Vma, dst: Vma, counter: 'anon' | 'swap'): void {
  src.mm.rss[counter]--;
  dst.mm.rss[counter]++;
}

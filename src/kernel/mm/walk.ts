/**
 * What the hart's MMU does on a TLB miss: reads the page tables, sets the accessed and dirty bits, remembers the page.
 * It asks nobody and takes no lock: one step of its own against everything the kernel does to the tables.
 */
import { tlbCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  PTE_DIRTY,
  PTE_EXEC,
  PTE_PROTNONE,
  PTE_YOUNG,
  pteHuge,
  pteOfHuge,
  ptePfn,
  ptePresent,
  pteWrite,
  withFlags,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { TLB_R, TLB_W, TLB_X } from '../../machine/tlb.ts';
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { pmdSlot, pteSlot } from './pgtable.ts';

/**
 * Walks for one access and fills the hart's TLB, inside the running step. A huge page fills the entry of the page used.
 * The right to write enters a TLB only with a write, because that is what sets the dirty bit.
 * @param right TLB_R, TLB_W or TLB_X: what the access is
 * @returns false when the tables do not allow it: a page fault
 */
export function hartWalk(mm: Mm, hart: number, address: Vaddr, right: number): boolean {
  let slot = pteSlot(mm, address);
  let index = 0;
  if (slot < 0) {
    slot = pmdSlot(mm, address);
    if (slot < 0 || !pteHuge(getPte(slot))) return false;
    index = Math.floor(address / PAGE_SIZE) % machine.geometry.ptrsPerPte;
  }
  const pte = getPte(slot);
  if (!ptePresent(pte) || (pte & PTE_PROTNONE) !== 0) return false;
  const executable = (pte & PTE_EXEC) !== 0;
  if (right === TLB_W && !pteWrite(pte)) return false;
  if (right === TLB_X && !executable) return false;
  const used = withFlags(pte, right === TLB_W ? PTE_YOUNG | PTE_DIRTY : PTE_YOUNG);
  if (used !== pte) setPte(slot, used);
  const vpn = Math.floor(address / PAGE_SIZE);
  const rights = right === TLB_X ? TLB_X : TLB_R | (right === TLB_W ? TLB_W : 0);
  sched.touch(tlbCell(hart, vpn), WRITE);
  const pfn = index === 0 ? ptePfn(used) : ptePfn(pteOfHuge(used, index));
  machine.tlbs[hart]?.fill(vpn, pfn, rights);
  return true;
}

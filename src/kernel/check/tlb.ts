/**
 * I-TLB and I-LIFE: what a TLB grants, the page table grants too, except while somebody has changed entries and not
 * flushed yet (tlb_flush_pending, or mmap_lock write-held: fork flushes before it lets go). Never, pending or not, does
 * a TLB lead to a frame that is free. Suspended for harts that two address spaces share: who is on one is not recorded.
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { PTE_PROTNONE, ptePfn, ptePresent, pteWrite } from '../../machine/pte.ts';
import { TLB_W, tlbPfn } from '../../machine/tlb.ts';
import type { Mm } from '../mm/mm-types.ts';
import type { World } from '../world.ts';
import { peekPte, place } from './page-tables.ts';

export const name = 'tlb';

export function check(world: World): string | null {
  for (const mm of world.mms) {
    for (const hart of mm.harts) {
      if (shared(world, mm, hart)) continue;
      const wrong = checkHart(mm, hart);
      if (wrong !== null) return wrong;
    }
  }
  return null;
}

function shared(world: World, mm: Mm, hart: number): boolean {
  for (const other of world.mms) if (other !== mm && other.harts.has(hart)) return true;
  return false;
}

function checkHart(mm: Mm, hart: number): string | null {
  const pending = mm.tlbFlushPending > 0 || mm.mmapLock.held;
  for (const [vpn, word] of machine.tlbs[hart]?.entries() ?? []) {
    const pfn = tlbPfn(word);
    const address = vpn * PAGE_SIZE;
    if (machine.frames.refcount(pfn) === 0) {
      return `hart ${hart} reaches free frame ${pfn} through ${place(mm, address)}`;
    }
    if (pending) continue;
    const pte = peekPte(mm, address);
    if (!ptePresent(pte) || (pte & PTE_PROTNONE) !== 0 || ptePfn(pte) !== pfn) {
      return `hart ${hart} still maps ${place(mm, address)} to frame ${pfn} after the flush`;
    }
    if ((word & TLB_W) !== 0 && !pteWrite(pte)) {
      return `hart ${hart} may still write ${place(mm, address)} after the flush`;
    }
  }
  return null;
}

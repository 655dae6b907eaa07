/** Reading page tables without touching cells: for checks, which look at the state between steps. */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { PTE_NONE, type Pte, pteHuge, pteIsTable, pteOfHuge, pteTable } from '../../machine/pte.ts';
import { world } from '../current.ts';
import type { Mm, Vaddr } from '../mm/mm-types.ts';
import { pmdSize, pudSize } from '../mm/pgtable.ts';

/**
 * Calls back for every PTE of an mm that is not empty, whether or not a VMA covers it. A table that a collapse has taken
 * out for the time being counts as if it were in its place. A huge page counts as an entry for
 * each of its pages; the slot is then that of the PMD.
 */
export function forEachPte(
  mm: Mm,
  visit: (address: Vaddr, pte: Pte, slot: number, huge: boolean) => void,
): void {
  const { words, granule } = machine.tables;
  const { ptrsPerPte, ptrsPerPmd } = machine.geometry;
  const [pmdSpan, pudSpan] = [pmdSize(), pudSize()];
  for (const [key, puds] of mm.pgd) {
    for (let u = 0; u < granule; u++) {
      const pud = (words[puds * granule + u] ?? 0) as Pte;
      if (!pteIsTable(pud)) continue;
      const first = pteTable(pud) * granule;
      const pudBase = (key * granule + u) * pudSpan;
      for (let m = 0; m < ptrsPerPmd; m++) {
        const here = (words[first + m] ?? 0) as Pte;
        const pmd = here === PTE_NONE ? (world.detachedTables.get(first + m) ?? here) : here;
        const base = pudBase + m * pmdSpan;
        if (pteHuge(pmd)) {
          for (let i = 0; i < ptrsPerPte; i++) {
            visit(base + i * PAGE_SIZE, pteOfHuge(pmd, i), first + m, true);
          }
        }
        if (!pteIsTable(pmd)) continue;
        const slots = pteTable(pmd) * granule;
        for (let i = 0; i < ptrsPerPte; i++) {
          const pte = (words[slots + i] ?? 0) as Pte;
          if (pte !== PTE_NONE) visit(base + i * PAGE_SIZE, pte, slots + i, false);
        }
      }
    }
  }
}

/** The PTE of an address, or what a huge page there says of it, or PTE_NONE. */
export function peekPte(mm: Mm, address: Vaddr): Pte {
  const { words, granule } = machine.tables;
  const pudIndex = Math.floor(address / pudSize());
  const puds = mm.pgd.get(Math.floor(pudIndex / granule));
  if (puds === undefined) return PTE_NONE;
  const pud = (words[puds * granule + (pudIndex % granule)] ?? 0) as Pte;
  if (!pteIsTable(pud)) return PTE_NONE;
  const pmdIndex = Math.floor(address / pmdSize()) % machine.geometry.ptrsPerPmd;
  const pmd = (words[pteTable(pud) * granule + pmdIndex] ?? 0) as Pte;
  const index = Math.floor(address / PAGE_SIZE) % machine.geometry.ptrsPerPte;
  if (pteHuge(pmd)) return pteOfHuge(pmd, index);
  if (!pteIsTable(pmd)) return PTE_NONE;
  return (words[pteTable(pmd) * granule + index] ?? 0) as Pte;
}

/** `0x12000 of mm 1`. */
export function place(mm: Mm, address: Vaddr): string {
  return `0x${address.toString(16)} of mm ${mm.id}`;
}

/**
 * A pool of huge pages counts what it has: free pages are on its list, used once and mapped nowhere; promises are never
 * more than free pages; and a table that several address spaces share lies in one mapping of each. Counts change with the
 * pages in one step; sharing is looked at while nobody changes mappings.
 */
import { machine } from '../../machine/current.ts';
import { type Pte, pteIsTable, pteTable } from '../../machine/pte.ts';
import { type Hstate, isHugetlb } from '../mm/hugetlb.ts';
import type { Mm } from '../mm/mm-types.ts';
import { pudSize } from '../mm/pgtable.ts';
import type { World } from '../world.ts';

export const name = 'hugetlb';

export function check(world: World): string | null {
  for (const pool of world.hstates ?? []) {
    const wrong = checkPool(pool);
    if (wrong !== null) return wrong;
  }
  if (world.pmdSharers === null) return null;
  for (const mm of world.mms) {
    const wrong = mm.mmapLock.held ? null : checkShared(mm, world.pmdSharers);
    if (wrong !== null) return wrong;
  }
  return null;
}

function checkPool({ free, nr, resv, surplus, size }: Hstate): string | null {
  const { frames } = machine;
  if (resv > free.length) {
    return `${resv} huge pages are promised and ${free.length} are free`;
  }
  if (surplus < 0 || surplus > nr || free.length > nr) {
    return `the pool of ${size} bytes has ${nr} pages, ${free.length} free, ${surplus} surplus`;
  }
  for (const pfn of free) {
    const idle = isHugetlb(pfn) && frames.refcount(pfn) === 1 && frames.mapcount(pfn) === 0;
    if (!idle) return `free huge page ${pfn} is in use`;
  }
  return null;
}

function checkShared(mm: Mm, sharers: ReadonlyMap<number, number>): string | null {
  const { words, granule } = machine.tables;
  for (const [key, table] of mm.pgd) {
    for (let i = 0; i < granule; i++) {
      const word = (words[table * granule + i] ?? 0) as Pte;
      if (!pteIsTable(word) || !sharers.has(pteTable(word))) continue;
      const start = (key * granule + i) * pudSize();
      const vma = mm.vmas.find(start);
      if (vma === null || vma.end < start + pudSize()) {
        return `mm ${mm.id} shares a table at 0x${start.toString(16)} that no mapping of it covers`;
      }
    }
  }
  return null;
}

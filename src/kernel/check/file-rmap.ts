/**
 * A page of a file that an entry shows is in the page cache at the index that the VMA's offset gives, and the file knows
 * the VMA. Pages leave the cache only after they are unmapped, under the folio lock; nothing suspends that. Which VMA
 * covers the entry is looked at only while mmap_lock is not write-held and no flush is pending.
 */
import { machine } from '../../machine/current.ts';
import { PG_ANON } from '../../machine/frames.ts';
import { type Pfn, ptePfn, ptePresent, pteSpecial } from '../../machine/pte.ts';
import { isHugetlb } from '../mm/hugetlb.ts';
import type { Mm, Vaddr } from '../mm/mm-types.ts';
import { linearPageIndex } from '../mm/rmap.ts';
import type { World } from '../world.ts';
import { forEachPte, place } from './page-tables.ts';

export const name = 'file-rmap';

export function check(world: World): string | null {
  let wrong: string | null = null;
  for (const mm of world.mms) {
    const settled = !mm.mmapLock.held && mm.tlbFlushPending === 0;
    forEachPte(mm, (address, pte) => {
      if (!ptePresent(pte) || pteSpecial(pte)) return;
      const pfn = ptePfn(pte);
      if (((machine.frames.flags[machine.frames.head(pfn)] ?? 0) & PG_ANON) !== 0) return;
      wrong ??= checkFolio(world, pfn, mm, address, settled);
    });
  }
  return wrong;
}

function checkFolio(
  world: World,
  pfn: Pfn,
  mm: Mm,
  address: Vaddr,
  settled: boolean,
): string | null {
  const mapping = world.mappings.get(-machine.frames.mappingOf(pfn));
  const index = machine.frames.indexOf(pfn);
  // The cache knows a huge page by its first frame only.
  const kept = isHugetlb(pfn) ? machine.frames.head(pfn) : pfn;
  if (mapping?.pages.get(machine.frames.indexOf(kept)) !== kept) {
    return `frame ${pfn} is mapped at ${place(mm, address)} and in no page cache`;
  }
  if (!settled) return null;
  const vma = mm.vmas.find(address);
  if (vma === null || !mapping.iMmap.has(vma)) {
    return `file ${mapping.id} does not know what maps its page at ${place(mm, address)}`;
  }
  return linearPageIndex(vma, address) === index
    ? null
    : `page ${index} of file ${mapping.id} is mapped at ${place(mm, address)}, the place of another`;
}

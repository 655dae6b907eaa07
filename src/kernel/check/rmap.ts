/**
 * I-RMAP: from an anonymous folio that is not a merged one, its anon_vma and index lead to every entry that maps it.
 * Suspended for an mm whose mmap_lock is write-held: its VMAs and their links are being changed.
 */
import { machine } from '../../machine/current.ts';
import { PG_ANON } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { type Pfn, ptePfn, ptePresent, pteSpecial } from '../../machine/pte.ts';
import { PG_KSM } from '../mm/ksm-page.ts';
import type { Mm, Vaddr } from '../mm/mm-types.ts';
import type { World } from '../world.ts';
import { forEachPte, place } from './page-tables.ts';

export const name = 'rmap';

export function check(world: World): string | null {
  let wrong: string | null = null;
  for (const mm of world.mms) {
    if (mm.mmapLock.held) continue;
    forEachPte(mm, (address, pte) => {
      if (!ptePresent(pte) || pteSpecial(pte)) return;
      const pfn = ptePfn(pte);
      const flags = machine.frames.flags[machine.frames.head(pfn)] ?? 0;
      if ((flags & PG_ANON) === 0 || (flags & PG_KSM) !== 0) return;
      if (!reaches(world, pfn, mm, address)) {
        wrong ??= `frame ${pfn} is mapped at ${place(mm, address)}, where its anon_vma does not lead`;
      }
    });
  }
  return wrong;
}

function reaches(world: World, pfn: Pfn, mm: Mm, address: Vaddr): boolean {
  const anonVma = world.anonVmas.get(machine.frames.mappingOf(pfn));
  if (anonVma === undefined) return false;
  const index = machine.frames.indexOf(pfn);
  for (const { vma } of anonVma.links) {
    if (vma.mm !== mm || !vma.contains(address)) continue;
    if (vma.start + (index - vma.pgoff) * PAGE_SIZE === address) return true;
  }
  return false;
}

/**
 * A frame's mapcount is the number of entries that map it, alone or with the large folio it belongs to, and each entry
 * holds a reference. Entry and count change in one step under the page-table lock, so nothing suspends this.
 */
import { machine } from '../../machine/current.ts';
import { type Pfn, ptePfn, ptePresent, pteSpecial } from '../../machine/pte.ts';
import type { World } from '../world.ts';
import { forEachPte } from './page-tables.ts';

export const name = 'mapcount';

/** More than there are. */
const FRAMES = 2 ** 20;

export function check(world: World): string | null {
  const mapped = new Map<number, number>();
  // A table of huge pages that several address spaces use is one table.
  const seen = world.pmdSharers === null ? null : new Set<number>();
  for (const mm of world.mms) {
    forEachPte(mm, (_address, pte, slot) => {
      if (!ptePresent(pte) || pteSpecial(pte)) return;
      const pfn = ptePfn(pte);
      const key = slot * FRAMES + pfn;
      if (seen?.has(key) === true) return;
      seen?.add(key);
      mapped.set(pfn, (mapped.get(pfn) ?? 0) + 1);
    });
  }
  const { frames } = machine;
  for (const { pfn: head, refcount, mapcount } of frames.census()) {
    for (let pfn = head; pfn < head + (1 << frames.order(head)); pfn = (pfn + 1) as Pfn) {
      const entries = mapped.get(pfn) ?? 0;
      mapped.delete(pfn);
      const counted = frames.pageMapcount(pfn);
      if (entries !== counted) {
        return `frame ${pfn} has mapcount ${counted} and is mapped by ${entries} entries`;
      }
    }
    if (refcount < mapcount) {
      return `frame ${head} is mapped ${mapcount} times and has ${refcount} references`;
    }
  }
  for (const [pfn] of mapped) return `frame ${pfn} is mapped and free`;
  return null;
}

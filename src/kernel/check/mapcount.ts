/**
 * A frame's mapcount is the number of entries that map it, and each of them holds a reference. Entry and count change
 * in one step under the page-table lock, so nothing suspends this.
 */
import { machine } from '../../machine/current.ts';
import { ptePfn, ptePresent, pteSpecial } from '../../machine/pte.ts';
import type { World } from '../world.ts';
import { forEachPte } from './page-tables.ts';

export const name = 'mapcount';

export function check(world: World): string | null {
  const mapped = new Map<number, number>();
  for (const mm of world.mms) {
    forEachPte(mm, (_address, pte) => {
      if (!ptePresent(pte) || pteSpecial(pte)) return;
      const pfn = ptePfn(pte);
      mapped.set(pfn, (mapped.get(pfn) ?? 0) + 1);
    });
  }
  for (const { pfn, refcount, mapcount } of machine.frames.census()) {
    const entries = mapped.get(pfn) ?? 0;
    mapped.delete(pfn);
    if (entries !== mapcount) {
      return `frame ${pfn} has mapcount ${mapcount} and is mapped by ${entries} entries`;
    }
    if (refcount < mapcount) {
      return `frame ${pfn} is mapped ${mapcount} times and has ${refcount} references`;
    }
  }
  for (const [pfn] of mapped) return `frame ${pfn} is mapped and free`;
  return null;
}

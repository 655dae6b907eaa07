/**
 * An entry with the uffd-wp bit is not writable. Suspended for good in an mm where a write went through an entry whose
 * registration had been replaced by one without write protection: 6.18 then leaves both bits (measured).
 */
import { ptePresent, pteUffdWp, pteWrite } from '../../machine/pte.ts';
import type { World } from '../world.ts';
import { forEachPte, place } from './page-tables.ts';

export const name = 'uffd-wp-not-writable';

export function check(world: World): string | null {
  let wrong: string | null = null;
  for (const mm of world.mms) {
    if (mm.staleUffdWp) continue;
    forEachPte(mm, (address, pte) => {
      if (ptePresent(pte) && pteUffdWp(pte) && pteWrite(pte)) {
        wrong ??= `the entry at ${place(mm, address)} is write-protected and writable`;
      }
    });
  }
  return wrong;
}

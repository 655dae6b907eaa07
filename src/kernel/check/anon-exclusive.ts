/**
 * An AnonExclusive page is mapped once, and a writable private page is AnonExclusive: otherwise a write would show in
 * another process. A huge mapping has the flag of the folio's head. Page flags and entries change together under the page-table lock; nothing suspends this.
 */
import { machine } from '../../machine/current.ts';
import { PG_ANON, PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import { ptePfn, ptePresent, pteSpecial, pteWrite } from '../../machine/pte.ts';
import type { World } from '../world.ts';
import { forEachPte, place } from './page-tables.ts';

export const name = 'anon-exclusive';

export function check(world: World): string | null {
  let wrong: string | null = null;
  const seen = new Set<number>();
  for (const mm of world.mms) {
    forEachPte(mm, (address, pte, _slot, huge) => {
      if (!ptePresent(pte)) return;
      const pfn = ptePfn(pte);
      if (pteSpecial(pte)) {
        if (pteWrite(pte)) wrong ??= `the zero page is writable at ${place(mm, address)}`;
        return;
      }
      const { flags } = machine.frames;
      const head = machine.frames.head(pfn);
      if (((flags[head] ?? 0) & PG_ANON) === 0) return;
      const exclusive = ((flags[huge ? head : pfn] ?? 0) & PG_ANON_EXCLUSIVE) !== 0;
      if (pteWrite(pte) && !exclusive) {
        wrong ??= `frame ${pfn} is writable at ${place(mm, address)} and not AnonExclusive`;
      }
      if (exclusive && seen.has(pfn)) {
        wrong ??= `AnonExclusive frame ${pfn} is mapped a second time at ${place(mm, address)}`;
      }
      seen.add(pfn);
    });
  }
  return wrong;
}

/**
 * I-NOTIFY: what a second MMU lets somebody access, the page tables of the address space allow too, to the same frame; and
 * between the return of an invalidation's start and its end there is no such access to its range at all. Nothing suspends
 * this: listeners are told before entries change.
 */
import { ptePfn, ptePresent, pteWrite } from '../../machine/pte.ts';
import type { Mm } from '../mm/mm-types.ts';
import type { MmuNotifierSubscriptions, SecondaryTranslation } from '../mm/mmu-notifier.ts';
import type { World } from '../world.ts';
import { peekPte, place } from './page-tables.ts';

export const name = 'notify';

export function check(world: World): string | null {
  for (const mm of world.mms) {
    if (mm.notifiers === null) continue;
    const wrong = checkMm(mm, mm.notifiers);
    if (wrong !== null) return wrong;
  }
  return null;
}

function checkMm(mm: Mm, { list, active }: MmuNotifierSubscriptions): string | null {
  for (const notifier of list) {
    for (const seen of notifier.translations()) {
      const { holder, address } = seen;
      const range = active.find((r) => address >= r.start && address < r.end);
      if (range !== undefined) {
        return `${holder} still reaches ${place(mm, address)} although its invalidation has begun`;
      }
      const wrong = compare(mm, seen);
      if (wrong !== null) return wrong;
    }
  }
  return null;
}

function compare(mm: Mm, { holder, address, pfn, write }: SecondaryTranslation): string | null {
  const pte = peekPte(mm, address);
  if (!ptePresent(pte) || ptePfn(pte) !== pfn) {
    return `${holder} maps ${place(mm, address)} to frame ${pfn}, which is not there`;
  }
  return write && !pteWrite(pte) ? `${holder} may write ${place(mm, address)}` : null;
}

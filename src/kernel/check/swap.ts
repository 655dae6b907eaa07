/**
 * A slot of the swap device is named by as many entries, and pages of files, as it counts, an exclusive entry is the only one, and a folio in
 * the swap cache knows its slot. Entry and count change in one step under the page-table lock; nothing suspends this.
 */
import { machine } from '../../machine/current.ts';
import { PG_SWAPCACHE } from '../../machine/frames.ts';
import { pteIsSwap, SWP_EXCLUSIVE, swpOffset } from '../../machine/pte.ts';
import type { SwapDevice } from '../mm/swapfile.ts';
import type { World } from '../world.ts';
import { forEachPte, place } from './page-tables.ts';

export const name = 'swap';

export function check(world: World): string | null {
  const { swap } = world;
  if (swap === null) return null;
  let wrong: string | null = null;
  const named = new Map<number, number>();
  for (const mm of world.mms) {
    forEachPte(mm, (address, pte) => {
      if (!pteIsSwap(pte)) return;
      const offset = swpOffset(pte);
      named.set(offset, (named.get(offset) ?? 0) + 1);
      if ((pte & SWP_EXCLUSIVE) !== 0 && (swap.counts[offset] ?? 0) > 1) {
        wrong ??= `swap slot ${offset} is exclusive at ${place(mm, address)} and counts ${swap.counts[offset]} entries`;
      }
    });
  }
  for (const { swapped } of world.mappings.values()) {
    for (const offset of swapped?.values() ?? []) named.set(offset, (named.get(offset) ?? 0) + 1);
  }
  return wrong ?? checkSlots(swap, named);
}

function checkSlots(swap: SwapDevice, named: ReadonlyMap<number, number>): string | null {
  let used = 0;
  for (let offset = 1; offset <= swap.slots; offset++) {
    const count = swap.counts[offset] ?? 0;
    if (count !== (named.get(offset) ?? 0)) {
      return `swap slot ${offset} counts ${count} entries and ${named.get(offset) ?? 0} name it`;
    }
    if (!swap.isFree(offset)) used++;
  }
  if (used !== swap.used) return `${swap.used} swap slots are counted as used, ${used} are`;
  for (const [offset, pfn] of swap.cache) {
    const { flags, private: slots } = machine.frames;
    if (((flags[pfn] ?? 0) & PG_SWAPCACHE) === 0 || slots[pfn] !== offset) {
      return `frame ${pfn} is cached for swap slot ${offset} and does not know it`;
    }
  }
  return null;
}

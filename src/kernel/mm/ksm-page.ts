/** The mark of a page that several contents were merged into. @linux include/linux/page-flags.h PageKsm */
import { machine } from '../../machine/current.ts';
import type { Pfn } from '../../machine/pte.ts';

/** A folio flag beside those of machine/frames.ts: nobody's own page, whoever writes gets a copy. */
export const PG_KSM: number = 1 << 18;

/** Whether a page is a merged one. Requires: a reference, or the page-table lock of an entry that leads to it. */
export function isKsm(pfn: Pfn): boolean {
  return machine.frames.hasFlag(pfn, PG_KSM);
}

/** The mark of a frame whose memory has failed. @linux include/linux/page-flags.h PageHWPoison */
import { machine } from '../../machine/current.ts';
import type { Pfn } from '../../machine/pte.ts';

/** A folio flag beside those of machine/frames.ts. Once set it stays: nobody gets the frame again. */
export const PG_HWPOISON: number = 1 << 19;

/** Whether the memory of a page has failed. Requires: a reference. */
export function isPoisoned(pfn: Pfn): boolean {
  return machine.frames.hasFlag(pfn, PG_HWPOISON);
}

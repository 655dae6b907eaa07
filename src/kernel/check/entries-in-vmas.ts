/**
 * Every page-table entry that is not empty lies in a VMA. Suspended while mmap_lock is write-held or a flush is pending:
 * munmap takes VMAs out first and empties their tables afterwards.
 */
import type { World } from '../world.ts';
import { forEachPte, place } from './page-tables.ts';

export const name = 'entries-in-vmas';

export function check(world: World): string | null {
  let wrong: string | null = null;
  for (const mm of world.mms) {
    if (mm.mmapLock.held || mm.tlbFlushPending > 0) continue;
    forEachPte(mm, (address) => {
      if (wrong === null && mm.vmas.find(address) === null) {
        wrong = `the entry at ${place(mm, address)} belongs to no mapping`;
      }
    });
  }
  return wrong;
}

/**
 * Memory that the OOM reaper or process_mrelease(2) has taken reads as zeroes to whoever faults on it next. Its own threads never
 * see that, they are being killed; but a system call of one that is under way, or another process, would take zeroes
 * for data. So such a fault fails. @linux include/linux/oom.h check_stable_address_space
 */
import { cellOf, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { CELL_OOM } from '../cells.ts';
import { seam } from '../seam.ts';
import type { Mm } from './mm-types.ts';

/** Under the page-table lock: has nobody taken private memory of the mm away? */
export const stableAddressSpace = seam(
  'oom.stableAddressSpace',
  (mm: Mm): boolean => {
    sched.touch(cellOf(CELL_OOM, mm.id), READ);
    return !mm.unstable;
  },
  'F: chk address space stable under PTL: what the OOM reaper has taken would come back as zeroes',
);

/** From now on what is missing stays missing. @linux MMF_UNSTABLE */
export function markUnstable(mm: Mm): void {
  sched.touch(cellOf(CELL_OOM, mm.id), WRITE);
  mm.unstable = true;
}

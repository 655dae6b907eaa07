/** Who keeps an address space alive. @linux include/linux/sched/mm.h */
import { ADD, READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Mm } from './mm-types.ts';

/** Adds a user to an mm that the caller knows to have one. @linux mmget */
export function mmAddUser(mm: Mm): void {
  sched.touch(mm.cell, ADD);
  mm.users++;
}

/** Becomes a user of an mm unless it has none left: then it is going or gone. @linux mmget_not_zero */
export function mmgetNotZero(mm: Mm): boolean {
  sched.touch(mm.cell, READ);
  if (mm.users === 0) return false;
  mmAddUser(mm);
  return true;
}

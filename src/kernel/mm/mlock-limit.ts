/** How much memory may be locked: RLIMIT_MEMLOCK, which does not bind root. getrlimit(2) */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { world } from '../current.ts';
import type { Mm } from './mm-types.ts';
import { has, VM_LOCKED, type VmFlags } from './vm-flags.ts';

/** Whether the caller may lock anything. @linux mm/mlock.c can_do_mlock */
export function canDoMlock(): boolean {
  return world.current.uid === 0 || world.current.group.memlockLimit > 0;
}

/**
 * Whether a mapping with these flags may grow by so many bytes: locked memory counts against RLIMIT_MEMLOCK.
 * @linux mm/mmap.c mlock_future_ok
 */
export function mlockFutureOk(mm: Mm, flags: VmFlags, bytes: number): boolean {
  if (!has(flags, VM_LOCKED)) return true;
  return withinMemlockLimit(mm.lockedVm + Math.ceil(bytes / PAGE_SIZE));
}

/** Whether so many pages may be locked in all. */
export function withinMemlockLimit(pages: number): boolean {
  const { uid, group } = world.current;
  return uid === 0 || pages <= Math.floor(group.memlockLimit / PAGE_SIZE);
}

/**
 * Mappings that grow downwards to meet an access below them (MAP_GROWSDOWN: stacks).
 * @linux mm/vma.c expand_downwards, mm/mmap_lock.c lock_mm_and_find_vma
 */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { anonVmaPrepare } from './anon-vma.ts';
import { mayExpandVm, mayPromise } from './may-expand-vm.ts';
import { mlockFutureOk } from './mlock-limit.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import {
  mmapReadLock,
  mmapReadUnlock,
  mmapWriteDowngrade,
  mmapWriteLock,
  mmapWriteUnlock,
  vmaLookup,
  vmaStartWrite,
} from './mmap-lock.ts';
import { has, VM_ACCESS_FLAGS, VM_GROWSDOWN, VM_LOCKED } from './vm-flags.ts';

/** Bytes between a stack and an accessible mapping below it. @linux stack_guard_gap */
export const STACK_GUARD_GAP: number = 256 * PAGE_SIZE;
/** Bytes a stack may grow to: the usual soft limit. @linux RLIMIT_STACK */
const RLIMIT_STACK = 8 * 1024 * 1024;

/**
 * Takes mmap_lock and finds the VMA for an address, growing a stack down to it where there is one.
 *
 * Differs from Linux: mmap_lock is always dropped between finding that a stack must grow and taking it for writing;
 * Linux first tries to upgrade it in place.
 *
 * @returns the VMA with mmap_lock held for reading, or null with no lock
 * Requires: no lock of the mm. @linux lock_mm_and_find_vma
 */
export function* lockMmAndFindVma(mm: Mm, address: Vaddr): Steps<Vma | null> {
  yield* mmapReadLock(mm);
  const found = vmaLookup(mm, address);
  if (found !== null) return found;
  const above = mm.vmas.findFrom(address);
  mmapReadUnlock(mm);
  if (above === null || !has(above.flags, VM_GROWSDOWN)) return null;
  yield* mmapWriteLock(mm);
  const vma = mm.vmas.findFrom(address);
  const there = vma !== null && (vma.contains(address) || (yield* expandDownwards(vma, address)));
  if (!there) {
    mmapWriteUnlock(mm);
    return null;
  }
  mmapWriteDowngrade(mm);
  return vma;
}

/** @returns false when it may not. Requires: mmap_lock for writing; nothing between the address and the VMA. */
function* expandDownwards(vma: Vma, address: Vaddr): Steps<boolean> {
  const { mm } = vma;
  const start = Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
  if (!has(vma.flags, VM_GROWSDOWN) || start < world.sysctl.mmapMinAddr) return false;
  const prev = mm.vmas.prev(vma);
  // Another stack, or a mapping nobody can touch, may come as close as it likes (measured on 6.18).
  if (prev !== null && !has(prev.flags, VM_GROWSDOWN) && has(prev.flags, VM_ACCESS_FLAGS)) {
    if (start - prev.end < STACK_GUARD_GAP) return false;
  }
  const grow = (vma.start - start) / PAGE_SIZE;
  if (vma.end - start > RLIMIT_STACK || grow > vma.pgoff) return false;
  if (!mlockFutureOk(mm, vma.flags, grow * PAGE_SIZE)) return false;
  if (!mayExpandVm(mm, vma.flags, grow) || !mayPromise(vma.flags, grow)) return false;
  yield* anonVmaPrepare(vma);
  yield* vmaStartWrite(vma);
  sched.touch(mm.treeCell, WRITE);
  vma.poke();
  vma.pgoff -= grow;
  mm.vmas.resize(vma, start, vma.end);
  mm.totalVm += grow;
  if (has(vma.flags, VM_LOCKED)) mm.lockedVm += grow;
  return true;
}

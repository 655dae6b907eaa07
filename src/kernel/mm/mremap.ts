/** mremap(2): changing the size of a mapping. @linux mm/mremap.c; semantics.md section 5 */
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { ENOSYS } from '../../uapi/errno.ts';
import { MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE } from '../../uapi/mman.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { type UserfaultfdUnmapCtx, userfaultfdUnmapComplete } from '../fs/userfaultfd-events.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock } from './mmap-lock.ts';
import { unmapRegion } from './munmap.ts';
import { mmPopulate } from './populate.ts';
import { has, VM_DONTEXPAND, VM_LOCKED, VM_PFNMAP, VM_SEALED, type VmFlags } from './vm-flags.ts';
import { pageAlign } from './vm-prot.ts';
import { growInto } from './vma.ts';

export const MREMAP_ERRORS = errnoTable('mremap', {
  flags: ['EINVAL', 'a flag that mremap does not have'],
  unaligned: ['EINVAL', 'old_address is not a multiple of the page size'],
  empty: ['EINVAL', 'new_size is 0'],
  beyond: ['EINVAL', 'the new range reaches beyond user space'],
  tailBeyond: ['EINVAL', 'the old range reaches beyond user space'],
  newUnaligned: ['EINVAL', 'new_address is not a multiple of the page size'],
  needsMayMove: ['EINVAL', 'MREMAP_FIXED or MREMAP_DONTUNMAP without MREMAP_MAYMOVE'],
  dontUnmapSize: ['EINVAL', 'MREMAP_DONTUNMAP with sizes that differ'],
  overlap: ['EINVAL', 'the old and the new range overlap'],
  unmapped: ['EFAULT', 'nothing is mapped at old_address'],
  sealed: ['EPERM', 'the mapping is sealed'],
  zeroPrivate: ['EINVAL', 'old_size 0 duplicates shared mappings only'],
  crosses: ['EFAULT', 'the old range reaches beyond its mapping'],
  cannotGrow: ['EFAULT', 'this kind of mapping cannot grow'],
  noRoom: ['ENOMEM', 'something is mapped behind the range and MREMAP_MAYMOVE is not given'],
});
const E = MREMAP_ERRORS;

/** What mremap is asked for; lengths in bytes. */
export interface MremapRequest {
  readonly address: Vaddr;
  readonly oldLength: number;
  readonly newLength: number;
  readonly flags: number;
  readonly newAddress: Vaddr;
}

/**
 * Shrinks a mapping, or grows it in place.
 * @returns the address of the mapping, or a negative errno; -ENOSYS where it would have to move, which is not modelled
 */
export function* doMremap(mm: Mm, asked: MremapRequest): Steps<number> {
  const request = {
    ...asked,
    oldLength: pageAlign(asked.oldLength),
    newLength: pageAlign(asked.newLength),
  };
  const error = checkRequest(request);
  if (error < 0) return error;
  const { address, oldLength, newLength } = request;
  const heard: UserfaultfdUnmapCtx[] = [];
  yield* mmapWriteLock(mm);
  const [result, released] = yield* mremapLocked(mm, request, heard);
  const vma = mm.vmas.find(address);
  const locked = vma !== null && has(vma.flags, VM_LOCKED);
  if (!released) mmapWriteUnlock(mm);
  yield* userfaultfdUnmapComplete(mm, heard);
  if (result >= 0 && locked && newLength > oldLength) {
    yield* mmPopulate(mm, address + oldLength, address + newLength);
  }
  return result;
}

/** What can be said without looking at mappings. @linux mm/mremap.c check_mremap_params */
function checkRequest({ address, oldLength, newLength, flags, newAddress }: MremapRequest): number {
  const known = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
  if ((flags & ~known) !== 0) return fail(E.flags);
  if (address % PAGE_SIZE !== 0) return fail(E.unaligned);
  if (newLength === 0) return fail(E.empty);
  if (newLength < 0 || newLength > TASK_SIZE) return fail(E.beyond);
  // Without these flags the new address is not looked at (measured on 6.18).
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) === 0) return 0;
  if (newAddress < 0 || newAddress > TASK_SIZE - newLength) return fail(E.beyond);
  if (newAddress % PAGE_SIZE !== 0) return fail(E.newUnaligned);
  if ((flags & MREMAP_MAYMOVE) === 0) return fail(E.needsMayMove);
  if ((flags & MREMAP_DONTUNMAP) !== 0 && oldLength !== newLength) return fail(E.dontUnmapSize);
  const apart = newAddress >= address + oldLength || address >= newAddress + newLength;
  return apart ? 0 : fail(E.overlap);
}

/** @returns the result, and whether mmap_lock was released on the way */
function* mremapLocked(
  mm: Mm,
  request: MremapRequest,
  heard: UserfaultfdUnmapCtx[],
): Steps<readonly [result: number, released: boolean]> {
  const { address, oldLength, newLength, flags } = request;
  const vma = mm.vmas.find(address);
  if (vma === null) return [fail(E.unmapped), false];
  if (has(vma.flags, VM_SEALED)) return [fail(E.sealed), false];
  const moves = (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0;
  if (!moves && newLength === oldLength) return [address, false];
  if (!moves && (newLength < oldLength || oldLength < 0)) {
    const [start, end] = [address + newLength, address + oldLength];
    if (oldLength < 0 || end > TASK_SIZE) return [fail(E.tailBeyond), false];
    const error = yield* unmapRegion(mm, start, end, heard, true);
    return [error < 0 ? error : address, true];
  }
  const error = checkMoveOrGrow(vma, request);
  if (error < 0) return [error, false];
  if (moves) return [-ENOSYS, false];
  if (address + oldLength === vma.end) {
    const grown = yield* growInto(vma, address + newLength);
    if (grown) {
      const pages = (newLength - oldLength) / PAGE_SIZE;
      mm.totalVm += pages;
      if (has(vma.flags, VM_LOCKED)) mm.lockedVm += pages;
      return [address, false];
    }
  }
  return [(flags & MREMAP_MAYMOVE) === 0 ? fail(E.noRoom) : -ENOSYS, false];
}

/** What only growing and moving ask. @linux mm/mremap.c check_prep_vma */
function checkMoveOrGrow(vma: Vma, { address, oldLength, newLength }: MremapRequest): number {
  if (oldLength === 0) return fail(E.zeroPrivate);
  if (oldLength > vma.end - address) return fail(E.crosses);
  const fixedSize = has(vma.flags, (VM_DONTEXPAND | VM_PFNMAP) as VmFlags);
  return newLength > oldLength && fixedSize ? fail(E.cannotGrow) : 0;
}

/** mseal(2): mappings that may not be changed or taken away any more. @linux mm/mseal.c; semantics.md sections 4, 6 */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { EINVAL } from '../../uapi/errno.ts';
import { errnoTable, fail } from '../errno-row.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock } from './mmap-lock.ts';
import { has, VM_SEALED, VM_WRITE, withFlag } from './vm-flags.ts';
import { pageAlign } from './vm-prot.ts';
import { vmaModify } from './vma.ts';

export const MSEAL_ERRORS = errnoTable('mseal', {
  flags: ['EINVAL', 'flags is not 0'],
  unaligned: ['EINVAL', 'addr is not a multiple of the page size'],
  wraps: ['EINVAL', 'addr + len is beyond the end of the address space'],
  hole: ['ENOMEM', 'part of the range is not mapped; nothing is sealed'],
  cutsHuge: ['EINVAL', 'a mapping of huge pages would be cut within one of them'],
  tooMany: ['ENOMEM', 'sealing part of a mapping would make more mappings than max_map_count'],
});
const E = MSEAL_ERRORS;

/**
 * Seals [start, start + length) for the rest of the life of the address space.
 * @param length bytes; rounded up to pages
 * @returns 0 or a negative errno, with nothing sealed when part of the range is not mapped
 * Requires: no lock.
 */
export function* doMseal(mm: Mm, start: Vaddr, length: number, flags: number): Steps<number> {
  if (flags !== 0) return fail(E.flags);
  if (start % PAGE_SIZE !== 0) return fail(E.unaligned);
  // Register values are signed here: a negative one is beyond all addresses.
  if (start < 0 || length < 0) return fail(E.wraps);
  const end = start + pageAlign(length);
  if (end === start) return 0;
  yield* mmapWriteLock(mm);
  const error = yield* sealRange(mm, start, end);
  mmapWriteUnlock(mm);
  return error;
}

/** Whether throwing data away would change a mapping that may not change. @linux mm/madvise.c can_madvise_modify */
export function discardSealed(vma: Vma): boolean {
  return has(vma.flags, VM_SEALED) && vma.file === null && !has(vma.flags, VM_WRITE);
}

function* sealRange(mm: Mm, start: Vaddr, end: Vaddr): Steps<number> {
  let covered = start;
  for (const vma of mm.vmas.range(start, end)) {
    if (vma.start > covered) break;
    covered = vma.end;
  }
  if (covered < end) return fail(E.hole);
  let address = start;
  for (const vma of mm.vmas.range(start, end)) {
    const to = Math.min(vma.end, end);
    const flags = withFlag(vma.flags, VM_SEALED);
    const changed = flags === vma.flags ? vma : yield* vmaModify(vma, address, to, { flags });
    if (typeof changed === 'number') return fail(changed === -EINVAL ? E.cutsHuge : E.tooMany);
    address = to;
  }
  return 0;
}

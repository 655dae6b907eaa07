/** A process whose private memory may all be merged: PR_SET_MEMORY_MERGE. @linux mm/ksm.c ksm_enable_merge_any; prctl(2) */
import type { Steps } from '../../sched/op.ts';
import { unmergeKsmPages } from './ksm.ts';
import type { Mm } from './mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock, vmaStartWrite } from './mmap-lock.ts';
import {
  has,
  VM_DONTEXPAND,
  VM_DROPPABLE,
  VM_HUGETLB,
  VM_IO,
  VM_MAYSHARE,
  VM_MERGEABLE,
  VM_PFNMAP,
  VM_SHARED,
  type VmFlags,
  withFlag,
  withoutFlag,
} from './vm-flags.ts';

const NEVER_MERGED: VmFlags = (VM_SHARED |
  VM_MAYSHARE |
  VM_PFNMAP |
  VM_IO |
  VM_DONTEXPAND |
  VM_HUGETLB |
  VM_DROPPABLE) as VmFlags;

/** The flags that a new mapping gets. @linux ksm_vma_flags */
export function ksmVmaFlags(mm: Mm, flags: VmFlags): VmFlags {
  return mm.mergeAny && !has(flags, NEVER_MERGED) ? withFlag(flags, VM_MERGEABLE) : flags;
}

/** From now on every private mapping may be merged, those that are there too. Requires: no lock of the mm. @returns 0 */
export function* enableMergeAny(mm: Mm): Steps<number> {
  yield* mmapWriteLock(mm);
  mm.mergeAny = true;
  for (const vma of mm.vmas) {
    if (has(vma.flags, NEVER_MERGED)) continue;
    yield* vmaStartWrite(vma);
    vma.flags = withFlag(vma.flags, VM_MERGEABLE);
    vma.poke();
  }
  mmapWriteUnlock(mm);
  return 0;
}

/** Nothing of the process is merged any more, and what was is its own again. Requires: no lock of the mm. @returns 0 */
export function* disableMergeAny(mm: Mm): Steps<number> {
  if (!mm.mergeAny) return 0;
  yield* mmapWriteLock(mm);
  mm.mergeAny = false;
  for (const vma of [...mm.vmas]) {
    if (!has(vma.flags, VM_MERGEABLE)) continue;
    yield* unmergeKsmPages(vma, vma.start, vma.end);
    yield* vmaStartWrite(vma);
    vma.flags = withoutFlag(vma.flags, VM_MERGEABLE);
    vma.poke();
  }
  mmapWriteUnlock(mm);
  return 0;
}

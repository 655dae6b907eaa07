/** The end of an address space. @linux mm/mmap.c exit_mmap, kernel/fork.c mmput */
import { assert } from '../../base/assert.ts';
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { fput } from '../fs/file.ts';
import { unlinkAnonVmas } from './anon-vma.ts';
import { unlinkFileVma } from './filemap.ts';
import { hugetlbVmaClose } from './hugetlb-vma.ts';
import type { Mm } from './mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock, vmaStartWrite } from './mmap-lock.ts';
import { tlbFinishMmu, tlbGatherMmu } from './mmu-gather.ts';
import { mmuNotifierDestroy, mmuNotifierRelease } from './mmu-notifier.ts';
import { detachVma } from './vma.ts';
import { freePgd, freePgtables, unmapPageRange } from './zap.ts';

/** Drops a use of an mm; the last one takes the address space apart. Requires: no lock. @linux mmput */
export function* mmput(mm: Mm): Steps<void> {
  assert(mm.users > 0, `mm ${mm.id} put without a user`);
  sched.touch(mm.cell, WRITE);
  mm.users--;
  if (mm.users === 0) yield* exitMmap(mm);
}

/**
 * Unmaps everything, frees page tables and VMAs. No events are sent: userfaultfd contexts of the mm learn of it by
 * finding no users. Requires: no users left, no lock. @linux exit_mmap
 */
export function* exitMmap(mm: Mm): Steps<void> {
  yield* mmuNotifierRelease(mm);
  yield* mmapWriteLock(mm);
  const vmas = [...mm.vmas];
  const tlb = tlbGatherMmu(mm);
  for (const vma of vmas) {
    yield* vmaStartWrite(vma);
    yield* unmapPageRange(tlb, vma, vma.start, vma.end, { dropMarker: true });
  }
  for (const vma of vmas) yield* unlinkFileVma(vma);
  // A table that two VMAs share goes with the last of them.
  for (const [i, vma] of vmas.entries()) {
    const ceiling = vmas[i + 1]?.start ?? Number.POSITIVE_INFINITY;
    yield* freePgtables(tlb, vma.start, vma.end, 0, ceiling);
  }
  yield* tlbFinishMmu(tlb);
  for (const vma of vmas) {
    yield* unlinkAnonVmas(vma);
    detachVma(vma);
    hugetlbVmaClose(vma);
    if (vma.file !== null) yield* fput(world.current, vma.file);
  }
  if (mm.exeFile !== null) yield* fput(world.current, mm.exeFile);
  mmuNotifierDestroy(mm);
  freePgd(mm);
  mmapWriteUnlock(mm);
  world.mms.delete(mm);
}

/** Before VMAs had locks of their own, mmap_lock did everything; userfaultfd's fills came last. */
import type { Steps } from '../../sched/op.ts';
import { tryVmaReadLock } from '../mm/madvise.ts';
import type { Vma } from '../mm/mm-types.ts';
import { lockVmaUnderRcu } from '../mm/mmap-lock.ts';
import { fillLocksVma } from '../mm/userfaultfd.ts';
import { override, type Patch } from '../seam.ts';

function* nothing(): Steps<Vma | null> {
  return null;
}

export const noMadviseVmaLocks: Patch = {
  name: 'no-madvise-vma-locks',
  title: 'MADV_DONTNEED takes mmap_lock, also where it concerns one mapping only',
  reference: 'semantics.md section 23',
  versions: '<6.17',
  overrides: [override(tryVmaReadLock, () => nothing)],
};

export const noFillVmaLocks: Patch = {
  name: 'no-fill-vma-locks',
  title: 'UFFDIO_COPY and its like hold mmap_lock for reading, not the lock of one mapping',
  reference: '867a43a34ff8',
  versions: '<6.9',
  overrides: [override(fillLocksVma, () => () => false)],
};

export const noVmaLocks: Patch = {
  name: 'no-vma-locks',
  title: 'page faults take mmap_lock: mappings have no locks of their own',
  reference: '5e31275cc997',
  versions: '<6.4',
  overrides: [override(lockVmaUnderRcu, () => nothing)],
};

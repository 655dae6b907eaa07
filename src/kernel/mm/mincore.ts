/** mincore(2). @linux mm/mincore.c; semantics.md section 13 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import { PTE_NONE, type Pte, pteKind, swpOffset } from '../../machine/pte.ts';
import { unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { PG_UPTODATE } from './address-space.ts';
import { peekFolio, vmaInode } from './filemap.ts';
import { isVmHugetlb } from './hugetlb-vma.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { mmapReadLock, mmapReadUnlock, vmaLookup } from './mmap-lock.ts';
import { pmdAddrEnd } from './pgtable.ts';
import { entryAt, lockEntries } from './pte-offset-map.ts';
import { linearPageIndex } from './rmap.ts';
import { peekSwapped } from './shmem-swap.ts';
import { isSwapCached } from './swapfile.ts';
import { copyToUser } from './user-access.ts';

export const MINCORE_ERRORS = errnoTable('mincore', {
  unaligned: ['EINVAL', 'addr is not a multiple of the page size'],
  beyond: ['ENOMEM', 'the range reaches beyond user space'],
  vecBeyond: ['EFAULT', 'the vector reaches beyond user space'],
  hole: ['ENOMEM', 'part of the range is not mapped; the vector is filled up to there'],
  vec: ['EFAULT', 'the vector cannot be written'],
});

/** Pages whose answers are copied out at once. @linux mm/mincore.c: one page of bytes */
const AT_ONCE = 4096;

/**
 * Writes one byte a page to `vec`: 1 when an access would not have to wait for storage.
 * @param length bytes; rounded up to pages
 * @returns 0 or a negative errno
 * Requires: no lock.
 */
export function* doMincore(task: Task, start: Vaddr, length: number, vec: Vaddr): Steps<number> {
  const M = MINCORE_ERRORS;
  if (start % PAGE_SIZE !== 0) return fail(M.unaligned);
  if (start < 0 || length < 0 || length > TASK_SIZE - start) return fail(M.beyond);
  const pages = Math.ceil(length / PAGE_SIZE);
  if (vec < 0 || pages > TASK_SIZE - vec) return fail(M.vecBeyond);
  for (let done = 0; done < pages; ) {
    const count = Math.min(pages - done, AT_ONCE);
    const bytes = yield* mincoreVma(task.mmOrDie, start + done * PAGE_SIZE, count);
    if (bytes === null) return fail(M.hole);
    if ((yield* copyToUser(task, vec + done, bytes)) < 0) return fail(M.vec);
    done += bytes.length;
  }
  return 0;
}

/** The answers for as many pages as one VMA has of them, or null where there is none. @linux do_mincore */
function* mincoreVma(mm: Mm, start: Vaddr, pages: number): Steps<Uint8Array | null> {
  yield* mmapReadLock(mm);
  const vma = vmaLookup(mm, start);
  if (vma === null) {
    mmapReadUnlock(mm);
    return null;
  }
  const end = Math.min(vma.end, start + pages * PAGE_SIZE);
  const bytes = new Uint8Array((end - start) / PAGE_SIZE);
  for (let address = start; address < end; ) {
    const next = pmdAddrEnd(address, end);
    const entries = yield* lockEntries(mm, address);
    for (let page = address; page < next; page += PAGE_SIZE) {
      const pte = entries === null ? PTE_NONE : entryAt(entries, (page - address) / PAGE_SIZE);
      bytes[(page - start) / PAGE_SIZE] = inCore(vma, page, pte) ? 1 : 0;
    }
    if (entries !== null) unlock(entries.lock);
    address = next;
  }
  mmapReadUnlock(mm);
  return bytes;
}

/** Nothing mapped, or only something to remember: the page cache decides. @linux mm/mincore.c mincore_page */
function inCore(vma: Vma, address: Vaddr, pte: Pte): boolean {
  const kind = pteKind(pte);
  if (kind === 'present' || kind === 'migration' || kind === 'hwpoison') return true;
  if (kind === 'swap') return isSwapCached(swpOffset(pte));
  // Of huge pages only the page table is asked, not the file (measured on 6.18).
  const inode = isVmHugetlb(vma) ? null : vmaInode(vma);
  if (inode === null || (kind !== 'none' && kind !== 'marker')) return false;
  const index = linearPageIndex(vma, address);
  const slot = peekSwapped(inode.mapping, index);
  if (slot !== 0) return isSwapCached(slot);
  const pfn = peekFolio(inode.mapping, index);
  return pfn !== 0 && machine.frames.hasFlag(pfn, PG_UPTODATE);
}

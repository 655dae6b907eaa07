/** The PTE bits that a mapping's protection gives to its pages. @linux mm/mmap.c vm_get_page_prot */
import {
  PTE_EXEC,
  PTE_PROTNONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  type Pte,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import type { Steps } from '../../sched/op.ts';
import type { Inode } from '../fs/inode.ts';
import { seam } from '../seam.ts';
import type { Vma } from './mm-types.ts';
import { tracksSoftDirty } from './soft-dirty.ts';
import {
  has,
  VM_ACCESS_FLAGS,
  VM_EXEC,
  VM_SHARED,
  VM_UFFD_WP,
  VM_WRITE,
  type VmFlags,
} from './vm-flags.ts';

/** PTE_EXEC and PTE_PROTNONE as the flags say; write permission is decided page by page. */
export function pageProt(flags: VmFlags): number {
  if (!has(flags, VM_ACCESS_FLAGS)) return PTE_PROTNONE;
  return has(flags, VM_EXEC) ? PTE_EXEC : 0;
}

/**
 * PTE_WRITE where every page of the mapping may be written without asking: shared and writable memory, unless somebody
 * wants to hear of first writes. @linux mm/mmap.c vma_set_page_prot, vma_wants_writenotify
 */
export function vmPageProtWrite(vma: Vma): number {
  const { flags } = vma;
  if (!has(flags, VM_SHARED) || !has(flags, VM_WRITE)) return 0;
  return wantsWritenotify(flags) || tracksDirty(vma) ? 0 : PTE_WRITE;
}

/** Whether the file behind a mapping has to know of first writes, so that it can write pages back. @linux vma_needs_dirty_tracking */
function tracksDirty({ file }: Vma): boolean {
  const inode = file?.inode ?? null;
  return inode !== null && fileAsksFirst(inode);
}

/** Whether a file wants to be asked before a page of it is written through a mapping. @linux vm_ops->page_mkwrite */
export const fileAsksFirst = seam(
  'filemap.asksFirst',
  (inode: Inode): boolean => inode.mapping.disk !== null,
);

/** What a write(2) waits for before it changes a page of shared memory: nothing. */
export const beforeFileWrite = seam(
  'shmem.beforeFileWrite',
  function* (_inode: Inode, _index: number): Steps<void> {},
);

/** Whether first writes to shared memory are reported or noted. Before 6.2 userfaultfd's were not among them. */
export const wantsWritenotify = seam(
  'mmap.wantsWritenotify',
  (flags: VmFlags): boolean => has(flags, VM_UFFD_WP) || tracksSoftDirty(flags),
);

/** Gives the entry the write bit when the mapping allows writing. @linux maybe_mkwrite */
export function maybeMkWrite(pte: Pte, vma: Vma): Pte {
  return has(vma.flags, VM_WRITE) ? withFlags(pte, PTE_WRITE) : pte;
}

/** Write-protected by userfaultfd: the bit that says so, and no right to write. @linux pte_mkuffd_wp */
export function mkUffdWp(pte: Pte): Pte {
  return withoutFlags(withFlags(pte, PTE_UFFD_WP), PTE_WRITE);
}

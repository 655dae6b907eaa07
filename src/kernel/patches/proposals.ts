/** What the mails propose and no kernel has. docs/proposals.md says what each was taken to mean. */
import { sharedSwapSlot } from '../fs/proc/pagemap.ts';
import { vmaInode } from '../mm/filemap.ts';
import { linearPageIndex } from '../mm/rmap.ts';
import { peekSwapped } from '../mm/shmem-swap.ts';
import { has, VM_SHARED } from '../mm/vm-flags.ts';
import { override, type Patch } from '../seam.ts';
import { fileWriteProtection } from './file-write-protection.ts';

export const pagemapSharedSwap: Patch = {
  name: 'pagemap-shared-swap',
  title:
    'pagemap shows where on the swap device a page of shared memory is, by asking the page cache',
  reference: 'PATCH 0/1 pagemap: swap location for shared pages, 2021-08',
  versions: 'proposed',
  overrides: [
    override(sharedSwapSlot, () => (vma, address) => {
      const inode = has(vma.flags, VM_SHARED) ? vmaInode(vma) : null;
      return inode === null ? 0 : peekSwapped(inode.mapping, linearPageIndex(vma, address));
    }),
  ],
};

/** All of them, for the table. */
export const PROPOSALS: readonly Patch[] = [pagemapSharedSwap, fileWriteProtection];

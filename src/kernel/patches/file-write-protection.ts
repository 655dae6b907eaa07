import { mayWatchFiles, untilWritable, watchedMkwrite } from '../mm/file-watch.ts';
import { pageMkwrite } from '../mm/filemap-fault.ts';
import { beforeFileWrite, fileAsksFirst } from '../mm/page-prot.ts';
import { override, type Patch } from '../seam.ts';

/** "Let's dream big": protection that belongs to the file. docs/proposals.md says what it was taken to mean. */
export const fileWriteProtection: Patch = {
  name: 'file-write-protection',
  title:
    'a userfaultfd can watch a memfd: protected pages wait however they are written, in every process',
  reference: 'Re: PATCH 0/1 pagemap: swap location for shared pages, 2021-08-11',
  versions: 'proposed',
  overrides: [
    override(mayWatchFiles, () => () => true),
    override(fileAsksFirst, (previous) => (inode) => inode.watch !== null || previous(inode)),
    override(beforeFileWrite, () => untilWritable),
    override(
      pageMkwrite,
      (previous) => (inode, index, pfn) =>
        inode.watch === null ? previous(inode, index, pfn) : watchedMkwrite(inode, index, pfn),
    ),
  ],
};

/** Who uses an inode: open files, and through them mappings. @linux fs/inode.c iput */
import { ADD, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { hugetlbEvictInode } from '../mm/hugetlb-truncate.ts';
import { shmemEvictInode } from '../mm/shmem.ts';
import { evictDiskInode } from '../mm/truncate.ts';
import { File, type FileOps } from './file.ts';
import type { Inode } from './inode.ts';

/** A new open file of an inode, with one reference. @param flags access mode and status */
export function openInode(inode: Inode, ops: FileOps, flags: number, path: string): File {
  const file = new File(ops, flags, null, path);
  file.inode = inode;
  inode.users++;
  return file;
}

/** A user less; a file that has no name either goes, with its pages. */
export function* iput(inode: Inode): Steps<void> {
  inode.users--;
  sched.touch(inode.mapping.cell, inode.users === 0 ? WRITE : ADD);
  if (inode.users > 0 || inode.nlink > 0) return;
  if (inode.hstate !== null) yield* hugetlbEvictInode(inode);
  else if (inode.mapping.disk !== null) yield* evictDiskInode(inode);
  else yield* shmemEvictInode(inode);
}

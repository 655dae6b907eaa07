/** What files with pages have in common, in shared memory and on a disk. @linux mm/filemap.c, fs/read_write.c */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import type { Steps } from '../../sched/op.ts';
import { EINVAL, ENXIO } from '../../uapi/errno.ts';
import { O_APPEND, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { withInodeLock } from '../mm/shmem.ts';
import { copyFromUser, copyPageToUser, copyToUserPartly } from '../mm/user-access.ts';
import type { File } from './file.ts';
import type { Inode } from './inode.ts';

/** The inode of an open file that has pages. */
export function fileInode(file: File): Inode {
  const { inode } = file;
  if (inode === null) throw new Error(`BUG: ${file.path} has no inode`);
  return inode;
}

/** Copies user memory into one page. @returns bytes copied, 0: fault the memory in first, or a negative errno */
export type WritePage = (
  task: Task,
  inode: Inode,
  at: number,
  buffer: number,
  chunk: number,
) => Steps<number>;

/**
 * Page by page under the inode lock. The page is made and the file grows before it is known whether the memory is
 * there: a write that fails with EFAULT may leave an empty page and a longer file (measured on 6.18).
 * @linux mm/filemap.c generic_perform_write
 */
export function* performWrite(
  task: Task,
  file: File,
  buffer: number,
  count: number,
  offset: number | null,
  writePage: WritePage,
): Steps<number> {
  if (count === 0) return 0;
  const inode = fileInode(file);
  return yield* withInodeLock(inode, function* () {
    const end = (file.flags & O_APPEND) === 0 ? null : inode.size;
    const from = end ?? offset ?? file.offset;
    let done = 0;
    let error = 0;
    while (done < count && error === 0) {
      const at = from + done;
      const chunk = Math.min(count - done, PAGE_SIZE - (at % PAGE_SIZE));
      const copied = yield* writePage(task, inode, at, buffer + done, chunk);
      if (copied < 0) error = copied;
      else if (copied === 0) error = yield* faultIn(task, buffer + done, chunk);
      else done += copied;
    }
    if (offset === null) file.offset = from + done;
    return done > 0 ? done : error;
  });
}

/** @returns 0, or -EFAULT when the first byte cannot be had. @linux mm/gup.c fault_in_readable */
function* faultIn(task: Task, buffer: number, chunk: number): Steps<number> {
  const first = yield* copyFromUser(task, buffer, Math.min(chunk, 1));
  return typeof first === 'number' ? first : 0;
}

/** lseek(2) with SEEK_DATA and SEEK_HOLE over the pages that exist. @linux mapping_seek_hole_data */
export function seekPages(
  file: File,
  offset: number,
  whence: number,
  isData: (inode: Inode, index: number) => boolean,
): number {
  const inode = fileInode(file);
  const { size } = inode;
  let to = offset;
  switch (whence) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      to += file.offset;
      break;
    case SEEK_END:
      to += size;
      break;
    case SEEK_DATA:
    case SEEK_HOLE: {
      if (offset < 0 || offset >= size) return -ENXIO;
      const wanted = whence === SEEK_DATA;
      let index = Math.floor(offset / PAGE_SIZE);
      while (index * PAGE_SIZE < size && isData(inode, index) !== wanted) index++;
      to = Math.max(offset, index * PAGE_SIZE);
      if (to >= size) {
        if (wanted) return -ENXIO;
        to = size;
      }
      break;
    }
    default:
      return -EINVAL;
  }
  if (to < 0) return -EINVAL;
  file.offset = to;
  return to;
}

/** A page, whose reference goes, or zeroes for a hole. @returns how many bytes */
export function* copyOut(
  task: Task,
  buffer: number,
  chunk: number,
  pfn: number,
  offset: number,
): Steps<number> {
  if (pfn === 0) return yield* copyToUserPartly(task, buffer, new Uint8Array(chunk));
  const copied = yield* copyPageToUser(task, buffer, chunk, pfn as Pfn, offset);
  machine.frames.put(pfn as Pfn, world.owner());
  return copied;
}

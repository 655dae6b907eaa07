/**
 * Files of huge pages: memfds with MFD_HUGETLB and what lies under MAP_HUGETLB. They are read but not written, and their
 * size is a whole number of pages. @linux fs/hugetlbfs/inode.c
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EINVAL, ENXIO } from '../../uapi/errno.ts';
import {
  O_RDWR,
  S_IFREG,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  SEEK_SET,
} from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { HUGETLB_INODE_LOCK } from '../lock-classes.ts';
import { filemapGetFolio } from '../mm/filemap.ts';
import { defaultHstate, type Hstate } from '../mm/hugetlb.ts';
import { copyToUserPartly, readContent } from '../mm/user-access.ts';
import { type File, type FileOps, POLLIN, POLLOUT } from './file.ts';
import { Inode } from './inode.ts';
import { iput, openInode } from './iput.ts';
import { fileInode } from './regular-file.ts';

const O_LARGEFILE = 0o100000;
const SECTOR = 512;

/** Page by page to user memory; holes read as zeroes. @linux hugetlbfs_read_iter */
function* readHugetlb(
  task: Task,
  file: File,
  buffer: number,
  count: number,
  offset: number | null,
): Steps<number> {
  const inode = fileInode(file);
  const h = inode.hstate ?? defaultHstate();
  const from = offset ?? file.offset;
  let done = 0;
  let failed = false;
  while (done < count && !failed) {
    const at = from + done;
    const chunk = Math.min(count - done, inode.size - at, PAGE_SIZE - (at % PAGE_SIZE));
    if (chunk <= 0) break;
    const part = new Uint8Array(chunk);
    const start = Math.floor(at / h.size) * h.size;
    const head = yield* filemapGetFolio(inode.mapping, start / PAGE_SIZE);
    const page = Math.floor((at - start) / PAGE_SIZE);
    if (head !== 0) readContent((head + page) as Pfn, at % PAGE_SIZE, part);
    const copied = yield* copyToUserPartly(task, buffer + done, part);
    if (head !== 0) machine.frames.put(head, world.owner());
    done += copied;
    failed = copied < chunk;
  }
  if (offset === null) file.offset += done;
  return done === 0 && failed ? -EFAULT : done;
}

/** Data up to the end, a hole behind it (measured on 6.18). @linux fs/read_write.c default_llseek */
function seekHugetlb(file: File, offset: number, whence: number): number {
  const { size } = fileInode(file);
  const base = whence === SEEK_CUR ? file.offset : whence === SEEK_END ? size : 0;
  if (![SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE].includes(whence)) return -EINVAL;
  if ((whence === SEEK_DATA || whence === SEEK_HOLE) && offset >= size) return -ENXIO;
  const to = whence === SEEK_HOLE ? size : base + offset;
  if (to < 0) return -EINVAL;
  file.offset = to;
  return to;
}

const HUGETLB_OPS: FileOps = {
  kind: 'hugetlb',
  readTo: readHugetlb,
  *writeFrom(): Steps<number> {
    return -EINVAL;
  },
  seek: seekHugetlb,
  poll: () => POLLIN | POLLOUT,
  stat(file) {
    const { size, mode, mapping, hstate } = fileInode(file);
    const blksize = hstate?.size ?? PAGE_SIZE;
    return { size, mode, blocks: (mapping.pages.size * blksize) / SECTOR, blksize };
  },
  *release(_task, file) {
    yield* iput(fileInode(file));
  },
};

/**
 * A new file of huge pages with one reference.
 * @param path as /proc/PID/maps shows it
 * @linux fs/hugetlbfs/inode.c hugetlb_file_setup
 */
export function hugetlbFileSetup(
  h: Hstate,
  path: string,
  size: number,
  mode: number,
  seals: number,
): File {
  const inode = new Inode(S_IFREG | mode, seals, HUGETLB_INODE_LOCK);
  inode.hstate = h;
  if (size > 0) inode.size = size;
  return openInode(inode, HUGETLB_OPS, O_RDWR | O_LARGEFILE, path);
}

/**
 * The file side of files on a disk: read and write through the page cache, fsync, lseek.
 * @linux mm/filemap.c generic_file_read_iter, generic_perform_write; fs/sync.c
 */
import { machine } from '../../machine/current.ts';
import { PG_DIRTY } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT, ENOMEM } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { PG_UPTODATE } from '../mm/address-space.ts';
import { filemapAddFolio, filemapLockFolio, folioMarkUptodate, peekFolio } from '../mm/filemap.ts';
import { getUptodate, readaheadPages, readFolio, readPages } from '../mm/filemap-read.ts';
import { folioSetLocked, folioUnlockPut } from '../mm/folio-lock.ts';
import { filemapWriteAndWait } from '../mm/page-writeback.ts';
import { folioMarkDirty } from '../mm/rmap.ts';
import { copyFromUserToPage } from '../mm/user-access.ts';
import { type File, type FileOps, POLLIN, POLLOUT } from './file.ts';
import type { Inode } from './inode.ts';
import { iput, openInode } from './iput.ts';
import { copyOut, fileInode, performWrite, seekPages } from './regular-file.ts';

/** Page by page to user memory. A page that cannot be written to ends it. @linux filemap_read */
function* readDisk(
  task: Task,
  file: File,
  buffer: number,
  count: number,
  offset: number | null,
): Steps<number> {
  const inode = fileInode(file);
  const from = offset ?? file.offset;
  let done = 0;
  let error = 0;
  while (done < count && error === 0) {
    const at = from + done;
    if (at >= inode.size) break;
    const pfn = yield* pageToRead(inode, Math.floor(at / PAGE_SIZE), count - done);
    if (pfn < 0) {
      error = pfn;
      break;
    }
    // The file may have become shorter since the page was found.
    const chunk = Math.min(count - done, inode.size - at, PAGE_SIZE - (at % PAGE_SIZE));
    const copied = yield* copyOut(task, buffer + done, Math.max(0, chunk), pfn, at % PAGE_SIZE);
    done += copied;
    if (chunk <= 0) break;
    if (copied < chunk) error = -EFAULT;
  }
  if (offset === null) file.offset += done;
  return done > 0 ? done : error;
}

/** A valid page with a reference; 0: the file has been cut; or a negative errno. @linux filemap_get_pages */
export function* pageToRead(
  inode: Inode,
  index: number,
  wanted: number,
): Steps<ReturnType<typeof peekFolio>> {
  for (;;) {
    const pfn = yield* getUptodate(inode.mapping, index);
    if (pfn !== 0 || index * PAGE_SIZE >= inode.size) return pfn;
    const pages = readWindow(index, wanted);
    if ((yield* readPages(inode, index, index + pages, index)) < 0) {
      return -ENOMEM as ReturnType<typeof peekFolio>;
    }
    const locked = yield* filemapLockFolio(inode.mapping, index);
    if (locked === 0) continue;
    yield* readFolio(inode.mapping, index, locked);
    folioUnlockPut(locked);
  }
}

/** At the start of a file four times what is asked for, elsewhere just that (measured on 6.18). @linux get_init_ra_size */
function readWindow(index: number, wanted: number): number {
  const asked = Math.max(1, Math.ceil(wanted / PAGE_SIZE));
  const size = index === 0 ? 4 * 2 ** Math.ceil(Math.log2(asked)) : asked;
  return Math.min(size, readaheadPages());
}

/** Into one page, without faulting while it is locked. @returns bytes copied, or a negative errno */
function* writePage(
  task: Task,
  inode: Inode,
  at: number,
  buffer: number,
  chunk: number,
): Steps<number> {
  const { mapping } = inode;
  const index = Math.floor(at / PAGE_SIZE);
  const pfn = yield* pageToWrite(inode, index);
  if (pfn === 0) return -ENOMEM;
  const { frames } = machine;
  // A page that is written whole, or lies beyond the end, need not be read.
  const whole = chunk === PAGE_SIZE || index * PAGE_SIZE >= inode.peekSize();
  if (!whole) yield* readFolio(mapping, index, pfn);
  const valid = frames.hasFlag(pfn, PG_UPTODATE);
  if (!valid) frames.zero(pfn);
  const copied = yield* copyFromUserToPage(task, buffer, chunk, pfn, at % PAGE_SIZE);
  if (copied < chunk && !valid && chunk === PAGE_SIZE) {
    // Half a page of what was never read: as if nothing had been copied.
    folioUnlockPut(pfn);
    return 0;
  }
  folioMarkUptodate(pfn);
  if (copied > 0) folioMarkDirty(pfn);
  if (at + copied > inode.peekSize()) inode.size = at + copied;
  folioUnlockPut(pfn);
  return copied;
}

/** The page at an index, locked and with a reference, made if need be; 0: no memory. @linux write_begin */
function* pageToWrite({ mapping }: Inode, index: number): Steps<ReturnType<typeof peekFolio>> {
  for (;;) {
    const found = yield* filemapLockFolio(mapping, index);
    if (found !== 0) return found;
    const pfn = machine.frames.alloc(world.owner());
    if (pfn === 0) return 0;
    folioSetLocked(pfn);
    if (yield* filemapAddFolio(mapping, index, pfn)) return pfn;
    folioUnlockPut(pfn);
  }
}

/** Whether lseek finds data at an index: something on the disk, or on its way there. */
function isData(inode: Inode, index: number): boolean {
  if (inode.mapping.disk?.has(index) === true) return true;
  const pfn = peekFolio(inode.mapping, index);
  return pfn !== 0 && machine.frames.hasFlag(pfn, PG_DIRTY);
}

const DISK_OPS: FileOps = {
  kind: 'disk',
  readTo: readDisk,
  *writeFrom(task, file, buffer, count, offset) {
    return yield* performWrite(task, file, buffer, count, offset, writePage);
  },
  seek: (file, offset, whence) => seekPages(file, offset, whence, isData),
  poll: () => POLLIN | POLLOUT,
  *fsync(file, first, end) {
    yield* filemapWriteAndWait(fileInode(file), first, end);
    return 0;
  },
  *release(_task, file) {
    yield* iput(fileInode(file));
  },
};

/** Opens a file on a disk. @param flags access mode and status */
export function openDisk(inode: Inode, flags: number, path: string): File {
  return openInode(inode, DISK_OPS, flags, path);
}

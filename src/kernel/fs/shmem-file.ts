/**
 * The file side of shared memory: what read, write, lseek, ftruncate and fallocate do to it, and how such files are made.
 * @linux mm/shmem.c shmem_file_operations, fs/open.c vfs_fallocate
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EIO, ENOMEM, EPERM } from '../../uapi/errno.ts';
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_LARGEFILE,
  O_RDWR,
  S_IFREG,
} from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { PG_UPTODATE } from '../mm/address-space.ts';
import { filemapGetFolio, peekFolio } from '../mm/filemap.ts';
import { folioUnlock, folioUnlockPut } from '../mm/folio-lock.ts';
import { isPoisoned } from '../mm/hwpoison.ts';
import { beforeFileWrite } from '../mm/page-prot.ts';
import { folioMarkDirty } from '../mm/rmap.ts';
import {
  shmemAllocate,
  shmemGetFolio,
  shmemPunchHole,
  shmemSetSize,
  withInodeLock,
} from '../mm/shmem.ts';
import { peekSwapped } from '../mm/shmem-swap.ts';
import { punchRange, truncateSetsize } from '../mm/truncate.ts';
import { copyFromUserToPage } from '../mm/user-access.ts';
import { type File, type FileOps, POLLIN, POLLOUT } from './file.ts';
import { Inode } from './inode.ts';
import { iput, openInode } from './iput.ts';
import { copyOut, fileInode, performWrite, seekPages } from './regular-file.ts';

/** The largest file. @linux MAX_LFS_FILESIZE */
export const MAX_LFS_FILESIZE: number = 2 ** 63;
const BLOCKS_PER_PAGE = PAGE_SIZE / 512;

export const FTRUNCATE_ERRORS = errnoTable('ftruncate', {
  negative: ['EINVAL', 'the length is negative'],
  badFd: ['EBADF', 'fd is not open'],
  kind: ['EINVAL', 'fd is no regular file, or not open for writing'],
  huge: ['EINVAL', 'a size of a hugetlb file that is not a whole number of huge pages'],
  shrink: ['EPERM', 'F_SEAL_SHRINK forbids a smaller file'],
  grow: ['EPERM', 'F_SEAL_GROW forbids a larger file'],
});
export const FALLOCATE_ERRORS = errnoTable('fallocate', {
  badFd: ['EBADF', 'fd is not open'],
  range: ['EINVAL', 'the offset is negative, or the length is not positive'],
  mode: ['EOPNOTSUPP', 'a mode that does not exist, or that shared memory does not have'],
  readOnly: ['EBADF', 'fd is not open for writing'],
  pipe: ['ESPIPE', 'fd is a pipe'],
  kind: ['ENODEV', 'fd is no regular file'],
  tooBig: ['EFBIG', 'offset + len is beyond the largest file'],
  sealed: ['EPERM', 'a write seal forbids punching holes'],
  grow: ['EPERM', 'F_SEAL_GROW forbids reaching beyond the end'],
  noMemory: ['ENOMEM', 'no memory for a page'],
  noHugePages: ['ENOSPC', 'no huge page is free'],
});

/**
 * Page by page to user memory, from where the file stands or from `offset`; holes read as zeroes. A page that cannot be
 * written to ends it. @linux shmem_file_read_iter
 */
function* readShmem(
  task: Task,
  file: File,
  buffer: number,
  count: number,
  offset: number | null,
): Steps<number> {
  const inode = fileInode(file);
  const from = offset ?? file.offset;
  let done = 0;
  let failed = false;
  while (done < count && !failed) {
    const at = from + done;
    const index = Math.floor(at / PAGE_SIZE);
    // The file may have become shorter since the page before.
    const chunk = Math.min(count - done, inode.size - at, PAGE_SIZE - (at % PAGE_SIZE));
    if (chunk <= 0) break;
    const pfn = yield* folioToRead(inode, index);
    if (pfn < 0) return done === 0 ? pfn : done;
    if (pfn > 0 && isPoisoned(pfn as Pfn)) {
      machine.frames.put(pfn as Pfn, world.owner());
      return done === 0 ? -EIO : done;
    }
    const copied = yield* copyOut(task, buffer + done, chunk, pfn, at % PAGE_SIZE);
    done += copied;
    failed = copied < chunk;
  }
  if (offset === null) file.offset += done;
  return done === 0 && failed ? -EFAULT : done;
}

/** The page with a reference; 0: a hole; or -ENOMEM, where it is on the swap device. @linux shmem_file_read_iter */
export function* folioToRead(inode: Inode, index: number): Steps<number> {
  const { mapping } = inode;
  const found = yield* filemapGetFolio(mapping, index);
  if (found !== 0 || peekSwapped(mapping, index) === 0) return found;
  const got = yield* shmemGetFolio(inode, index, 'read', null);
  if (got.kind === 'error' && got.errno === ENOMEM) return -ENOMEM;
  if (got.kind !== 'folio') return 0;
  folioUnlock(got.pfn);
  return got.pfn;
}

/** Into one page, without faulting while it is locked. @returns bytes copied, or a negative errno */
function* writePage(
  task: Task,
  inode: Inode,
  at: number,
  buffer: number,
  chunk: number,
): Steps<number> {
  if (refusesWrite(inode, at + chunk)) return -EPERM;
  const index = Math.floor(at / PAGE_SIZE);
  yield* beforeFileWrite(inode, index);
  const got = yield* shmemGetFolio(inode, index, 'write', null);
  if (got.kind !== 'folio') return got.kind === 'error' ? -got.errno : -EPERM;
  if (isPoisoned(got.pfn)) {
    folioUnlockPut(got.pfn);
    return -EIO;
  }
  const copied = yield* copyFromUserToPage(task, buffer, chunk, got.pfn, at % PAGE_SIZE);
  if (at + copied > inode.peekSize()) inode.size = at + copied;
  folioMarkDirty(got.pfn);
  folioUnlockPut(got.pfn);
  return copied;
}

function refusesWrite(inode: Inode, end: number): boolean {
  const { seals } = inode;
  if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) return true;
  return (seals & F_SEAL_GROW) !== 0 && end > inode.size;
}

/** Pages that fallocate made and nobody has used are a hole to lseek. @linux mm/filemap.c folio_seek_hole_data */
function isData({ mapping }: Inode, index: number): boolean {
  const pfn = peekFolio(mapping, index);
  if (peekSwapped(mapping, index) !== 0) return true;
  return pfn !== 0 && machine.frames.hasFlag(pfn, PG_UPTODATE);
}

const SHMEM_OPS: FileOps = {
  kind: 'shmem',
  readTo: readShmem,
  *writeFrom(task, file, buffer, count, offset) {
    return yield* performWrite(task, file, buffer, count, offset, writePage);
  },
  *fsync() {
    return 0;
  },
  seek: (file, offset, whence) => seekPages(file, offset, whence, isData),
  poll: () => POLLIN | POLLOUT,
  stat(file) {
    const { mode, mapping, size } = fileInode(file);
    const pages = mapping.pages.size + (mapping.swapped?.size ?? 0);
    return { size, mode, blocks: pages * BLOCKS_PER_PAGE };
  },
  *release(_task, file) {
    yield* iput(fileInode(file));
  },
};

/**
 * A new file of shared memory with one reference.
 * @param path as /proc/PID/maps shows it
 * @linux mm/shmem.c __shmem_file_setup
 */
export function shmemFileSetup(path: string, size: number, mode: number, seals: number): File {
  const inode = new Inode(S_IFREG | mode, seals);
  if (size > 0) inode.size = size;
  return openShmem(inode, O_RDWR | O_LARGEFILE, path);
}

/** Opens a file of shared memory. @param flags access mode and status */
export function openShmem(inode: Inode, flags: number, path: string): File {
  return openInode(inode, SHMEM_OPS, flags, path);
}

/** What MAP_SHARED|MAP_ANONYMOUS memory of `size` bytes lies in: a file nobody else has. @linux shmem_zero_setup */
export function shmemZeroSetup(size: number): File {
  return shmemFileSetup('/dev/zero (deleted)', size, 0o777, F_SEAL_SEAL);
}

/** Changes the size of an open file. Requires: no lock. @returns 0 or a negative errno. @linux fs/open.c do_truncate */
export function* doTruncate(inode: Inode, size: number): Steps<number> {
  return yield* withInodeLock(inode, function* () {
    const { seals } = inode;
    if (size < inode.size && (seals & F_SEAL_SHRINK) !== 0) return fail(FTRUNCATE_ERRORS.shrink);
    if (size > inode.size && (seals & F_SEAL_GROW) !== 0) return fail(FTRUNCATE_ERRORS.grow);
    if (inode.mapping.disk === null) yield* shmemSetSize(inode, size);
    else yield* truncateSetsize(inode, size);
    return 0;
  });
}

/** Allocates or punches a range. Requires: no lock; a checked range. @returns 0 or a negative errno */
export function* vfsFallocate(
  inode: Inode,
  mode: number,
  offset: number,
  length: number,
): Steps<number> {
  return yield* withInodeLock(inode, function* () {
    const { seals } = inode;
    const onDisk = inode.mapping.disk !== null;
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) {
      if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0)
        return fail(FALLOCATE_ERRORS.sealed);
      if (onDisk) yield* punchRange(inode, offset, length);
      else yield* shmemPunchHole(inode, offset, length);
      return 0;
    }
    if ((seals & F_SEAL_GROW) !== 0 && offset + length > inode.size) {
      return fail(FALLOCATE_ERRORS.grow);
    }
    const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
    if (onDisk) {
      // Blocks are promised, no page is made.
      if (!keepSize && offset + length > inode.size) yield* truncateSetsize(inode, offset + length);
      return 0;
    }
    const result = yield* shmemAllocate(inode, offset, length, keepSize);
    return result < 0 ? fail(FALLOCATE_ERRORS.noMemory) : 0;
  });
}

/**
 * The file side of shared memory: what read, write, lseek, ftruncate and fallocate do to it, and how such files are made.
 * @linux mm/shmem.c shmem_file_operations, fs/open.c vfs_fallocate
 */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EINVAL, ENXIO, EPERM } from '../../uapi/errno.ts';
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_RDWR,
  S_IFREG,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  SEEK_SET,
} from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { type AddressSpace, PG_UPTODATE } from '../mm/address-space.ts';
import { peekFolio } from '../mm/filemap.ts';
import { folioUnlockPut } from '../mm/folio-lock.ts';
import { folioMarkDirty } from '../mm/rmap.ts';
import {
  shmemAllocate,
  shmemEvictInode,
  shmemGetFolio,
  shmemPunchHole,
  shmemSetSize,
  withInodeLock,
} from '../mm/shmem.ts';
import { readContent, writeContent } from '../mm/user-access.ts';
import { File, type FileOps, POLLIN, POLLOUT } from './file.ts';
import { Inode } from './inode.ts';

/** The largest file. @linux MAX_LFS_FILESIZE */
export const MAX_LFS_FILESIZE: number = 2 ** 63;
const O_LARGEFILE = 0o100000;
const BLOCKS_PER_PAGE = PAGE_SIZE / 512;

export const FTRUNCATE_ERRORS = errnoTable('ftruncate', {
  negative: ['EINVAL', 'the length is negative'],
  badFd: ['EBADF', 'fd is not open'],
  kind: ['EINVAL', 'fd is no regular file, or not open for writing'],
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
});

/** The inode of an open file that has pages. */
export function fileInode(file: File): Inode {
  const { inode } = file;
  if (inode === null) throw new Error(`BUG: ${file.path} has no inode`);
  return inode;
}

/** Bytes from where the file stands or from `offset`; holes read as zeroes. @linux shmem_file_read_iter */
function* readShmem(
  _task: Task,
  file: File,
  count: number,
  offset: number | null,
): Steps<Uint8Array> {
  const inode = fileInode(file);
  const from = offset ?? file.offset;
  const parts = new Uint8Array(Math.max(0, Math.min(count, inode.size - from)));
  let done = 0;
  while (done < parts.length) {
    const at = from + done;
    const index = Math.floor(at / PAGE_SIZE);
    if (sched.wants()) yield* access('read page', inode.mapping.pageCell(index), READ);
    // The file may have become shorter since the page before.
    const chunk = Math.min(parts.length, inode.size - from, PAGE_SIZE - (at % PAGE_SIZE) + done);
    if (chunk <= done) break;
    const pfn = peekFolio(inode.mapping, index);
    if (pfn !== 0) readContent(pfn, at % PAGE_SIZE, parts.subarray(done, chunk));
    done = chunk;
  }
  if (offset === null) file.offset += done;
  return parts.subarray(0, done);
}

/** Page by page under the inode lock. @linux shmem_file_write_iter, shmem_write_begin */
function* writeShmem(
  _task: Task,
  file: File,
  data: Uint8Array,
  offset: number | null,
): Steps<number> {
  const inode = fileInode(file);
  return yield* withInodeLock(inode, function* () {
    const from = offset ?? file.offset;
    let done = 0;
    while (done < data.length) {
      const at = from + done;
      const chunk = Math.min(data.length - done, PAGE_SIZE - (at % PAGE_SIZE));
      const refused = refusesWrite(inode, at + chunk);
      const got = refused
        ? null
        : yield* shmemGetFolio(inode, Math.floor(at / PAGE_SIZE), 'write', null);
      if (got === null || got.kind !== 'folio') {
        if (done > 0) break;
        return got?.kind === 'error' ? -got.errno : -EPERM;
      }
      writeContent(got.pfn, at % PAGE_SIZE, data.subarray(done, done + chunk));
      if (at + chunk > inode.peekSize()) inode.size = at + chunk;
      folioMarkDirty(got.pfn);
      folioUnlockPut(got.pfn);
      done += chunk;
    }
    if (offset === null) file.offset += done;
    return done;
  });
}

function refusesWrite(inode: Inode, end: number): boolean {
  const { seals } = inode;
  if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) return true;
  return (seals & F_SEAL_GROW) !== 0 && end > inode.size;
}

/** lseek(2) with SEEK_DATA and SEEK_HOLE over the pages that exist. @linux shmem_file_llseek */
function seekShmem(file: File, offset: number, whence: number): number {
  const { mapping, size } = fileInode(file);
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
      while (index * PAGE_SIZE < size && isData(mapping, index) !== wanted) index++;
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

/** Pages that fallocate made and nobody has used are a hole to lseek. @linux mm/filemap.c folio_seek_hole_data */
function isData(mapping: AddressSpace, index: number): boolean {
  const pfn = peekFolio(mapping, index);
  return pfn !== 0 && machine.frames.hasFlag(pfn, PG_UPTODATE);
}

const SHMEM_OPS: FileOps = {
  kind: 'shmem',
  read: readShmem,
  write: writeShmem,
  seek: seekShmem,
  poll: () => POLLIN | POLLOUT,
  stat(file) {
    const { mode, mapping, size } = fileInode(file);
    return { size, mode, blocks: mapping.pages.size * BLOCKS_PER_PAGE };
  },
  *release(_task, file) {
    yield* shmemEvictInode(fileInode(file));
  },
};

/**
 * A new file of shared memory with one reference.
 * @param path as /proc/PID/maps shows it
 * @linux mm/shmem.c __shmem_file_setup
 */
export function shmemFileSetup(path: string, size: number, mode: number, seals: number): File {
  const file = new File(SHMEM_OPS, O_RDWR | O_LARGEFILE, null, path);
  const inode = new Inode(S_IFREG | mode, seals);
  if (size > 0) inode.size = size;
  file.inode = inode;
  return file;
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
    yield* shmemSetSize(inode, size);
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
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) {
      if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0)
        return fail(FALLOCATE_ERRORS.sealed);
      yield* shmemPunchHole(inode, offset, length);
      return 0;
    }
    if ((seals & F_SEAL_GROW) !== 0 && offset + length > inode.size) {
      return fail(FALLOCATE_ERRORS.grow);
    }
    const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
    const result = yield* shmemAllocate(inode, offset, length, keepSize);
    return result < 0 ? fail(FALLOCATE_ERRORS.noMemory) : 0;
  });
}

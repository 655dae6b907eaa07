/**
 * System V shared memory: segments with keys and numbers, each a file of shared memory or of huge pages that processes map
 * by its number. A segment lives until it is removed and nobody has it mapped. @linux ipc/shm.c
 */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { F_SEAL_SEAL } from '../../uapi/fcntl.ts';
import {
  HUGETLB_FLAG_ENCODE_MASK,
  HUGETLB_FLAG_ENCODE_SHIFT,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_SHARED,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../../uapi/mman.ts';
import {
  IPC_CREAT,
  IPC_EXCL,
  IPC_PRIVATE,
  SHM_EXEC,
  SHM_HUGETLB,
  SHM_NORESERVE,
  SHM_RDONLY,
  SHM_REMAP,
  SHM_RND,
} from '../../uapi/shm.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { type File, fput } from '../fs/file.ts';
import { hugetlbFileSetup } from '../fs/hugetlbfs.ts';
import { fileInode } from '../fs/regular-file.ts';
import { shmemFileSetup } from '../fs/shmem-file.ts';
import { hstateSizelog } from '../mm/hugetlb.ts';
import { hugetlbReservePages, inodeResvMap } from '../mm/hugetlb-reserve.ts';
import type { Mm, Vaddr, Vma } from '../mm/mm-types.ts';
import { doMmap } from '../mm/mmap.ts';
import { mmapWriteLock, mmapWriteUnlock } from '../mm/mmap-lock.ts';
import { doMunmap } from '../mm/munmap.ts';

/** One segment. @linux struct shmid_kernel */
export interface ShmSegment {
  readonly id: number;
  readonly key: number;
  readonly file: File;
  /** Bytes asked for; the file is as many pages. */
  readonly size: number;
  /** Permissions. */
  readonly mode: number;
  readonly creator: number;
  lastPid: number;
}

/** The segments there are, by number. */
export class ShmIds {
  readonly segments: Map<number, ShmSegment> = new Map();
  next = 0;
}

/** shmmni: how many there may be. */
export const SHMMNI = 4096;
/** shmmax is beyond what an address space holds. */
const LARGEST = 2 ** 47;

export const SHM_ERRORS = errnoTable('shmget', {
  none: ['ENOENT', 'no segment has the key, and IPC_CREAT is not given'],
  exists: ['EEXIST', 'a segment has the key, and IPC_CREAT|IPC_EXCL is given'],
  smaller: ['EINVAL', 'the segment that has the key is smaller'],
  size: ['EINVAL', 'the size is 0 or more than shmmax'],
  hugeSize: ['EINVAL', 'SHM_HUGETLB with a size of huge pages that there is not'],
  pool: ['ENOMEM', 'the pool has too few huge pages for a promise of them all'],
  full: ['ENOSPC', 'there are shmmni segments'],
});
export const SHMAT_ERRORS = errnoTable('shmat', {
  id: ['EINVAL', 'no segment has the number'],
  unaligned: ['EINVAL', 'the address is no multiple of the page size, and SHM_RND is not given'],
  remapNull: ['EINVAL', 'SHM_REMAP without an address'],
  taken: ['EINVAL', 'something is mapped there, and SHM_REMAP is not given'],
});
export const SHMDT_ERRORS = errnoTable('shmdt', {
  none: ['EINVAL', 'no segment is mapped from that address on'],
});

export function shmIds(): ShmIds {
  world.shm ??= new ShmIds();
  return world.shm;
}

/** @returns the number of the segment, or a negative errno. @linux ksys_shmget */
export function doShmget(task: Task, key: number, size: number, flags: number): number {
  const E = SHM_ERRORS;
  const ids = shmIds();
  const known =
    key === IPC_PRIVATE ? undefined : [...ids.segments.values()].find((s) => s.key === key);
  if (known !== undefined) {
    const exclusive = IPC_CREAT | IPC_EXCL;
    if ((flags & exclusive) === exclusive) return fail(E.exists);
    return size > known.size ? fail(E.smaller) : known.id;
  }
  if (key !== IPC_PRIVATE && (flags & IPC_CREAT) === 0) return fail(E.none);
  if (size <= 0 || size > LARGEST) return fail(E.size);
  if (ids.segments.size >= SHMMNI) return fail(E.full);
  const file = segmentFile(key, size, flags);
  if (typeof file === 'number') return file;
  const id = ids.next++;
  const mode = flags & 0o777;
  ids.segments.set(id, { id, key, file, size, mode, creator: task.tgid, lastPid: 0 });
  return id;
}

/** @returns the file behind a new segment, or a negative errno. @linux newseg */
function segmentFile(key: number, size: number, flags: number): File | number {
  const path = `/SYSV${(key >>> 0).toString(16).padStart(8, '0')} (deleted)`;
  if ((flags & SHM_HUGETLB) === 0) return shmemFileSetup(path, pagesOf(size), 0o777, F_SEAL_SEAL);
  const h = hstateSizelog((flags >>> HUGETLB_FLAG_ENCODE_SHIFT) & HUGETLB_FLAG_ENCODE_MASK);
  if (h === null) return fail(SHM_ERRORS.hugeSize);
  const bytes = Math.ceil(size / h.size) * h.size;
  const file = hugetlbFileSetup(h, path, bytes, 0o777, F_SEAL_SEAL);
  const map = inodeResvMap(fileInode(file));
  const promised =
    (flags & SHM_NORESERVE) !== 0 || hugetlbReservePages(h, map, 0, bytes / PAGE_SIZE, true);
  return promised ? file : fail(SHM_ERRORS.pool);
}

function pagesOf(size: number): number {
  return Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
}

/** Maps a segment. @returns the address, or a negative errno. @linux do_shmat */
export function* doShmat(task: Task, id: number, where: Vaddr, flags: number): Steps<number> {
  const E = SHMAT_ERRORS;
  const segment = shmIds().segments.get(id);
  if (segment === undefined) return fail(E.id);
  let address = where;
  let how = MAP_SHARED;
  if (where !== 0) {
    // SHMLBA is a page here.
    if (where % PAGE_SIZE !== 0) {
      if ((flags & SHM_RND) === 0) return fail(E.unaligned);
      address = where - (where % PAGE_SIZE);
    }
    how |= (flags & SHM_REMAP) !== 0 ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  } else if ((flags & SHM_REMAP) !== 0) return fail(E.remapNull);
  const prot =
    PROT_READ |
    ((flags & SHM_RDONLY) === 0 ? PROT_WRITE : 0) |
    ((flags & SHM_EXEC) === 0 ? 0 : PROT_EXEC);
  const { file } = segment;
  const length = fileInode(file).size;
  const mapped = yield* doMmap(task.mmOrDie, { address, length, prot, flags: how, file, pgoff: 0 });
  segment.lastPid = task.tgid;
  return mapped < 0 && where !== 0 && (flags & SHM_REMAP) === 0 ? fail(E.taken) : mapped;
}

/** Unmaps a segment where it was attached, what is left of it there. @returns 0 or a negative errno. @linux ksys_shmdt */
export function* doShmdt(mm: Mm, address: Vaddr): Steps<number> {
  const E = SHMDT_ERRORS;
  yield* mmapWriteLock(mm);
  const parts: (readonly [Vaddr, Vaddr])[] = [];
  let file: File | null = null;
  for (const vma of mm.vmas) {
    if (vma.start < address || !attachedAt(vma, address)) continue;
    file ??= vma.file;
    if (vma.file === file) parts.push([vma.start, vma.end]);
  }
  mmapWriteUnlock(mm);
  for (const [start, end] of parts) yield* doMunmap(mm, start, end - start);
  return file === null ? fail(E.none) : 0;
}

function attachedAt(vma: Vma, address: Vaddr): boolean {
  const { file } = vma;
  return file?.path.startsWith('/SYSV') === true && vma.start - vma.pgoff * PAGE_SIZE === address;
}

/** Takes a segment's key and number away; it goes with the last mapping. @linux do_shm_rmid */
export function* removeSegment(task: Task, segment: ShmSegment): Steps<void> {
  shmIds().segments.delete(segment.id);
  yield* fput(task, segment.file);
}

/** How many mappings a segment has. @linux shm_nattch */
export function attachments({ file }: ShmSegment): number {
  return fileInode(file).mapping.iMmap.size;
}

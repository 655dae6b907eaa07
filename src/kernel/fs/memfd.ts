/** memfd_create(2) and seals. @linux mm/memfd.c */
import type { Steps } from '../../sched/op.ts';
import {
  F_SEAL_EXEC,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  MFD_HUGETLB,
  MFD_NOEXEC_SEAL,
  O_ACCMODE,
  O_RDONLY,
} from '../../uapi/fcntl.ts';
import { HUGETLB_FLAG_ENCODE_MASK, HUGETLB_FLAG_ENCODE_SHIFT } from '../../uapi/mman.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { lockMappingOf, unlockMapping } from '../mm/filemap.ts';
import { hstateSizelog } from '../mm/hugetlb.ts';
import { withInodeLock } from '../mm/shmem.ts';
import { has, VM_MAYWRITE, VM_SHARED, type VmFlags, withoutFlag } from '../mm/vm-flags.ts';
import type { File } from './file.ts';
import { hugetlbFileSetup } from './hugetlbfs.ts';
import type { Inode } from './inode.ts';
import { fileInode } from './regular-file.ts';
import { shmemFileSetup } from './shmem-file.ts';

export const MEMFD_ERRORS = errnoTable('memfd_create', {
  flags: ['EINVAL', 'a flag that memfd_create does not have'],
  exec: ['EINVAL', 'MFD_EXEC and MFD_NOEXEC_SEAL exclude each other'],
  fault: ['EFAULT', 'the name cannot be read'],
  name: ['EINVAL', 'the name is longer than 249 bytes'],
  hugetlb: ['ENODEV', 'MFD_HUGETLB with a size of huge pages that there is not'],
});
export const SEAL_ERRORS = errnoTable('fcntl(F_ADD_SEALS)', {
  kind: ['EINVAL', 'only shared memory has seals'],
  readOnly: ['EPERM', 'fd is not open for writing'],
  unknown: ['EINVAL', 'no such seal'],
  sealed: ['EPERM', 'F_SEAL_SEAL forbids further seals'],
  mapped: ['EBUSY', 'F_SEAL_WRITE while a shared mapping of the file may be written'],
});

const ALL_SEALS =
  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;
const WRITE_SEALS = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
const KNOWN = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
const HUGETLB_KNOWN = KNOWN | MFD_HUGETLB | (HUGETLB_FLAG_ENCODE_MASK << HUGETLB_FLAG_ENCODE_SHIFT);

/** @returns 0, or why the flags are wrong. @linux sanitize_flags */
export function checkMemfdFlags(flags: number): number {
  const known = (flags & MFD_HUGETLB) === 0 ? KNOWN : HUGETLB_KNOWN;
  if ((flags & ~known) !== 0) return fail(MEMFD_ERRORS.flags);
  return (flags & MFD_EXEC) !== 0 && (flags & MFD_NOEXEC_SEAL) !== 0 ? fail(MEMFD_ERRORS.exec) : 0;
}

/**
 * An empty file with the seals and mode that the flags give it.
 * @returns it, or a negative errno. @linux mm/memfd.c alloc_file
 */
export function createMemfd(name: string, flags: number): File | number {
  let mode = 0o777;
  let seals = (flags & MFD_ALLOW_SEALING) !== 0 ? 0 : F_SEAL_SEAL;
  if ((flags & MFD_NOEXEC_SEAL) !== 0) {
    mode = 0o666;
    seals = F_SEAL_EXEC;
  }
  const path = `/memfd:${name} (deleted)`;
  if ((flags & MFD_HUGETLB) === 0) return shmemFileSetup(path, 0, mode, seals);
  const h = hstateSizelog((flags >>> HUGETLB_FLAG_ENCODE_SHIFT) & HUGETLB_FLAG_ENCODE_MASK);
  return h === null ? fail(MEMFD_ERRORS.hugetlb) : hugetlbFileSetup(h, path, 0, mode, seals);
}

/** Files on a disk have none. @linux memfd_file_seals_ptr */
function sealable({ inode }: File): boolean {
  return inode !== null && inode.mapping.disk === null;
}

/** @returns the seals, or -EINVAL. @linux memfd_get_seals */
export function memfdGetSeals(file: File): number {
  return sealable(file) ? fileInode(file).seals : fail(SEAL_ERRORS.kind);
}

/** @returns 0 or a negative errno. @linux memfd_add_seals */
export function* memfdAddSeals(file: File, asked: number): Steps<number> {
  const { inode } = file;
  if ((file.flags & O_ACCMODE) === O_RDONLY) return fail(SEAL_ERRORS.readOnly);
  if ((asked & ~ALL_SEALS) !== 0) return fail(SEAL_ERRORS.unknown);
  if (inode === null || !sealable(file)) return fail(SEAL_ERRORS.kind);
  return yield* withInodeLock(inode, function* () {
    if ((inode.seals & F_SEAL_SEAL) !== 0) return fail(SEAL_ERRORS.sealed);
    let add = asked;
    // No file is both executable and writable from then on.
    if ((add & F_SEAL_EXEC) !== 0 && (inode.mode & 0o111) !== 0) {
      add |= F_SEAL_SHRINK | F_SEAL_GROW | WRITE_SEALS;
    }
    if ((add & F_SEAL_WRITE) !== 0 && (inode.seals & F_SEAL_WRITE) === 0) {
      if (yield* mappedWritable(inode)) return fail(SEAL_ERRORS.mapped);
    }
    inode.seals |= add;
    return 0;
  });
}

/** Whether any mapping could be used to write the file, now or after an mprotect. @linux mapping_deny_writable */
function* mappedWritable(inode: Inode): Steps<boolean> {
  yield* lockMappingOf(inode);
  const writable = [...inode.mapping.iMmap].some(
    ({ flags }) => has(flags, VM_SHARED) && has(flags, VM_MAYWRITE),
  );
  unlockMapping(inode.mapping);
  return writable;
}

/**
 * What write seals make of a mapping's flags.
 * @returns them, or null when it is not allowed: a new mapping that is shared and writable
 * @linux mm/memfd.c memfd_check_seals_mmap
 */
export function sealedVmFlags(inode: Inode, flags: VmFlags, writes: boolean): VmFlags | null {
  if (!has(flags, VM_SHARED) || (inode.seals & WRITE_SEALS) === 0) return flags;
  return writes ? null : withoutFlag(flags, VM_MAYWRITE);
}

/** Which checks of a call give which error, in order: the data of `faultline explain ERRNO SYSCALL`. */
import { errnoName } from '../uapi/errno.ts';
import type { ErrnoRow } from './errno-row.ts';
import { MEMFD_ERRORS, SEAL_ERRORS } from './fs/memfd.ts';
import { OPEN_ERRORS } from './fs/open.ts';
import { PAGEMAP_SCAN_ERRORS } from './fs/proc/pagemap-scan.ts';
import { FALLOCATE_ERRORS, FTRUNCATE_ERRORS } from './fs/shmem-file.ts';

import {
  API_ERRNOS,
  CONTINUE_ERRNOS,
  COPY_ERRNOS,
  IOCTL_ERRNOS,
  MOVE_ERRNOS,
  POISON_ERRNOS,
  USERFAULTFD_ERRNOS,
  WAKE_ERRNOS,
  WRITEPROTECT_ERRNOS,
  ZEROPAGE_ERRNOS,
} from './fs/userfaultfd-errnos.ts';
import { REGISTER_ERRNOS, UNREGISTER_ERRNOS } from './fs/userfaultfd-register.ts';
import { SHM_ERRORS, SHMAT_ERRORS, SHMDT_ERRORS } from './ipc/shm.ts';
import { MADVISE_ERRORS } from './mm/madvise-errors.ts';
import { MINCORE_ERRORS } from './mm/mincore.ts';
import { MLOCK_ERRORS, MLOCKALL_ERRORS } from './mm/mlock.ts';
import { MMAP_ERRORS } from './mm/mmap-errors.ts';
import { MPROTECT_ERRORS } from './mm/mprotect.ts';
import { MREMAP_ERRORS } from './mm/mremap.ts';
import { MSEAL_ERRORS } from './mm/mseal.ts';
import { MSYNC_ERRORS } from './mm/msync.ts';
import { MUNMAP_ERRORS } from './mm/munmap.ts';
import { NEVER_FAILS, OTHER_ERRNOS, SAME_CHECKS } from './syscall/errnos.ts';
import { FILE_ERRNOS } from './syscall/errnos-files.ts';
import { PROCESS_MADVISE_ERRORS } from './syscall/process-madvise.ts';
import { PROCESS_MRELEASE_ERRORS } from './syscall/process-mrelease.ts';
import { PROCESS_VM_READV_ERRORS, PROCESS_VM_WRITEV_ERRORS } from './syscall/process-vm-readv.ts';
import { SHMCTL_ERRORS } from './syscall/shm.ts';
import { SPLICE_ERRORS, TEE_ERRORS, VMSPLICE_ERRORS } from './syscall/splice.ts';
import { SWAPOFF_ERRORS, SWAPON_ERRORS } from './syscall/swapon.ts';

/** Every check that has a row, call by call, in the order in which the kernel makes them. */
export const ERRNO_ROWS: readonly ErrnoRow[] = [
  USERFAULTFD_ERRNOS,
  IOCTL_ERRNOS,
  API_ERRNOS,
  REGISTER_ERRNOS,
  UNREGISTER_ERRNOS,
  WAKE_ERRNOS,
  COPY_ERRNOS,
  ZEROPAGE_ERRNOS,
  CONTINUE_ERRNOS,
  POISON_ERRNOS,
  MOVE_ERRNOS,
  WRITEPROTECT_ERRNOS,
  MMAP_ERRORS,
  MUNMAP_ERRORS,
  MPROTECT_ERRORS,
  MADVISE_ERRORS,
  MREMAP_ERRORS,
  PROCESS_MADVISE_ERRORS,
  PROCESS_MRELEASE_ERRORS,
  SWAPON_ERRORS,
  SWAPOFF_ERRORS,
  PROCESS_VM_READV_ERRORS,
  PROCESS_VM_WRITEV_ERRORS,
  VMSPLICE_ERRORS,
  SPLICE_ERRORS,
  TEE_ERRORS,
  PAGEMAP_SCAN_ERRORS,
  MLOCK_ERRORS,
  MLOCKALL_ERRORS,
  MSEAL_ERRORS,
  MINCORE_ERRORS,
  MSYNC_ERRORS,
  MEMFD_ERRORS,
  SEAL_ERRORS,
  SHM_ERRORS,
  SHMAT_ERRORS,
  SHMDT_ERRORS,
  SHMCTL_ERRORS,
  FTRUNCATE_ERRORS,
  OPEN_ERRORS,
  FALLOCATE_ERRORS,
]
  .flatMap((table): readonly ErrnoRow[] => Object.values(table))
  .concat(FILE_ERRNOS, OTHER_ERRNOS);

/** The name under which a call's checks stand, or null: any case, and calls that share their checks. */
export function knownCall(call: string): string | null {
  const wanted = call.toLowerCase();
  const same = SAME_CHECKS[wanted] ?? wanted;
  const names = [...ERRNO_ROWS.map((r) => r.call), ...NEVER_FAILS];
  return names.find((name) => name.toLowerCase() === same) ?? null;
}

/** Every call that `explain` knows. */
export function explainedCalls(): string[] {
  return [
    ...new Set([...ERRNO_ROWS.map((r) => r.call), ...Object.keys(SAME_CHECKS), ...NEVER_FAILS]),
  ];
}

/** The checks of a call that give an errno. @param call any case: `uffdio_copy`, `userfaultfd` */
export function explain(errno: number, call: string): readonly ErrnoRow[] {
  const name = knownCall(call);
  return ERRNO_ROWS.filter((r) => r.errno === errno && r.call === name);
}

/** `UFFDIO_COPY 3 EINVAL: the source range …`. */
export function errnoRowText(row: ErrnoRow): string {
  return `${row.call} ${row.order} ${errnoName(row.errno)}: ${row.why}`;
}

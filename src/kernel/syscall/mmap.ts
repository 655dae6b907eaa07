/** mmap(2). */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { F_SEAL_SEAL } from '../../uapi/fcntl.ts';
import {
  HUGETLB_FLAG_ENCODE_MASK,
  HUGETLB_FLAG_ENCODE_SHIFT,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_NAMES,
  PROT_NAMES,
} from '../../uapi/mman.ts';
import type { Task } from '../core/task.ts';
import { fail } from '../errno-row.ts';
import { fget, fput } from '../fs/file.ts';
import { hugetlbFileSetup } from '../fs/hugetlbfs.ts';
import { hstateSizelog } from '../mm/hugetlb.ts';
import { doMmap } from '../mm/mmap.ts';
import { MMAP_ERRORS } from '../mm/mmap-errors.ts';
import { address, fd, flags, length, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysMmap(task: Task, args: SysArgs): Steps<number> {
  const [where = 0, size = 0, prot = 0, how = 0, fildes = -1, offset = 0] = args;
  // The file is looked up before anything else but the offset is checked. @linux ksys_mmap_pgoff
  if (offset % PAGE_SIZE !== 0) return fail(MMAP_ERRORS.offset);
  const request = { address: where, length: size, prot, flags: how };
  const pgoff = offset / PAGE_SIZE;
  if ((how & MAP_ANONYMOUS) === 0) {
    const file = task.files.get(fildes);
    if (file === null) return fail(MMAP_ERRORS.badFd);
    const h = file.inode?.hstate ?? null;
    if (h === null && (how & MAP_HUGETLB) !== 0) return fail(MMAP_ERRORS.notHugetlb);
    fget(file);
    const rounded = h === null ? size : roundUp(size, h.size);
    const result = yield* doMmap(task.mmOrDie, { ...request, length: rounded, file, pgoff });
    yield* fput(task, file);
    return result;
  }
  if ((how & MAP_HUGETLB) !== 0) {
    const h = hstateSizelog((how >>> HUGETLB_FLAG_ENCODE_SHIFT) & HUGETLB_FLAG_ENCODE_MASK);
    if (h === null) return fail(MMAP_ERRORS.hugeSize);
    const rounded = roundUp(size, h.size);
    const file = hugetlbFileSetup(h, '/anon_hugepage (deleted)', rounded, 0o777, F_SEAL_SEAL);
    const result = yield* doMmap(task.mmOrDie, { ...request, length: rounded, file, pgoff });
    yield* fput(task, file);
    return result;
  }
  return yield* doMmap(task.mmOrDie, request);
}

/** Register values are signed here: a negative length is the longest, but the last of them wrap around to 0. */
function roundUp(length: number, size: number): number {
  return Math.ceil(length / size) * size;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 222,
    name: 'mmap',
    params: [
      address('addr'),
      length('length'),
      flags('prot', PROT_NAMES),
      flags('flags', MAP_NAMES),
      fd('fd'),
      number('offset'),
    ],
    handler: sysMmap,
    supports: [
      'MAP_PRIVATE|MAP_ANONYMOUS',
      'MAP_SHARED|MAP_ANONYMOUS',
      'MAP_PRIVATE, MAP_SHARED and MAP_SHARED_VALIDATE of a memfd',
      'MAP_FIXED',
      'MAP_FIXED_NOREPLACE',
      'MAP_POPULATE',
      'MAP_NORESERVE',
      'MAP_STACK',
      'MAP_LOCKED',
      'MAP_GROWSDOWN',
      'MAP_HUGETLB',
      'MAP_DROPPABLE|MAP_ANONYMOUS',
    ],
    gap:
      'Files other than memfds give ENODEV, MAP_GROWSDOWN only sets the flag; ' +
      'vm.overcommit_memory 0 refuses nothing, and shared memory promises nothing; large mappings are not aligned for huge pages.',
  },
];

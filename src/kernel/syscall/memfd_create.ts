/** memfd_create(2). */
import type { Steps } from '../../sched/op.ts';
import { ENAMETOOLONG } from '../../uapi/errno.ts';
import {
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  MFD_HUGETLB,
  MFD_NOEXEC_SEAL,
} from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { fail } from '../errno-row.ts';
import { checkMemfdFlags, createMemfd, MEMFD_ERRORS } from '../fs/memfd.ts';
import { flags, string } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

/** NAME_MAX less "memfd:". */
const NAME_LIMIT = 249;

function* sysMemfdCreate(task: Task, args: SysArgs): Steps<number> {
  const [pointer = 0, how = 0] = args;
  const error = checkMemfdFlags(how);
  if (error < 0) return error;
  const name = yield* readPath(task, pointer);
  if (name === -ENAMETOOLONG) return fail(MEMFD_ERRORS.name);
  if (typeof name === 'number') return fail(MEMFD_ERRORS.fault);
  if (name.length > NAME_LIMIT) return fail(MEMFD_ERRORS.name);
  const file = createMemfd(name, how);
  if (typeof file === 'number') return file;
  return task.files.install(file, (how & MFD_CLOEXEC) !== 0);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 279,
    name: 'memfd_create',
    params: [
      string('name'),
      flags('flags', {
        MFD_CLOEXEC,
        MFD_ALLOW_SEALING,
        MFD_HUGETLB,
        MFD_NOEXEC_SEAL,
        MFD_EXEC,
      }),
    ],
    handler: sysMemfdCreate,
    supports: ['MFD_CLOEXEC', 'MFD_ALLOW_SEALING', 'MFD_HUGETLB', 'MFD_NOEXEC_SEAL', 'MFD_EXEC'],
    gap: 'There are no pages of 1 GiB to be had; pages are not swapped out.',
  },
];

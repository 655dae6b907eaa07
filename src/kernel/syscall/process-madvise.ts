/** process_madvise(2). */

import { TASK_SIZE } from '../../machine/geometry.ts';
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EBADF, EFAULT } from '../../uapi/errno.ts';
import { MADV_COLD, MADV_COLLAPSE, MADV_PAGEOUT, MADV_WILLNEED } from '../../uapi/mman.ts';
import type { Task } from '../core/task.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { pidfdGetTask } from '../fs/pidfd.ts';
import { mmput } from '../mm/exit-mmap.ts';
import { ADVICE, doMadvise } from '../mm/madvise.ts';
import type { Mm } from '../mm/mm-types.ts';
import { mmgetNotZero } from '../mm/mm-users.ts';
import { type IoVec, readIoVecs } from './iovec.ts';
import { address, fd, flags, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

export const PROCESS_MADVISE_ERRORS = errnoTable('process_madvise', {
  flags: ['EINVAL', 'flags must be 0'],
  vector: ['EINVAL', 'more than 1024 ranges, or a length that is negative'],
  fault: ['EFAULT', 'the vector cannot be read, or names addresses outside user space'],
  badFd: ['EBADF', 'not the descriptor of a process'],
  gone: ['ESRCH', 'the process has ended'],
  notAllowed: ['EPERM', 'another process: it takes the right to trace it, and CAP_SYS_NICE'],
  remote: ['EINVAL', 'this advice can only be given to oneself'],
});
const E = PROCESS_MADVISE_ERRORS;

/** What may be done to another process: nothing that changes its data. @linux process_madvise_remote_valid */
const REMOTE: readonly number[] = [MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_COLLAPSE];

/** @linux mm/madvise.c SYSCALL_DEFINE5(process_madvise) */
function* sysProcessMadvise(task: Task, args: SysArgs): Steps<number> {
  const [pidfd = 0, vector = 0, count = 0, behavior = 0, how = 0] = args;
  if (how !== 0) return fail(E.flags);
  const ranges = yield* readIoVecs(task, vector, count);
  if (typeof ranges === 'number') return fail(ranges === -EFAULT ? E.fault : E.vector);
  if (ranges.some((r) => r.base < 0 || r.base + r.length > TASK_SIZE)) return fail(E.fault);
  if (sched.wants()) yield* access('pidfd', task.files.cell, READ);
  const target = pidfdGetTask(task, pidfd);
  if (typeof target === 'number') return fail(target === -EBADF ? E.badFd : E.gone);
  const { mm } = target;
  if (mm === null) return fail(E.gone);
  if (mm === task.mm) return yield* adviseRanges(mm, ranges, behavior);
  if (task.uid !== 0) return fail(E.notAllowed);
  if (!REMOTE.includes(behavior)) return fail(E.remote);
  if (!mmgetNotZero(mm)) return fail(E.gone);
  const done = yield* adviseRanges(mm, ranges, behavior);
  yield* mmput(mm);
  return done;
}

/**
 * Range by range. Bytes of those that are done count, whatever happens to the next one.
 *
 * Differs from Linux: mmap_lock is taken for each range anew; Linux holds it for all of them where the advice allows.
 */
function* adviseRanges(mm: Mm, ranges: readonly IoVec[], behavior: number): Steps<number> {
  let done = 0;
  for (const { base, length } of ranges) {
    const result = yield* doMadvise(mm, base, length, behavior, 'killable');
    if (result < 0) return done > 0 ? done : result;
    done += length;
  }
  return done;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 440,
    name: 'process_madvise',
    params: [
      fd('pidfd'),
      address('iovec'),
      number('vlen'),
      flags('advice', Object.fromEntries(ADVICE.map((a) => [a.name, a.nr]))),
      number('flags'),
    ],
    handler: sysProcessMadvise,
    supports: ADVICE.map((a) => a.name),
    gap: 'Advice that madvise(2) does not model yet.',
  },
];

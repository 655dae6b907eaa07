/** brk(2). */
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import { doBrk } from '../mm/mmap.ts';
import { address } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysBrk(task: Task, [end = 0]: SysArgs): Steps<number> {
  return yield* doBrk(task.mmOrDie, end);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 214,
    name: 'brk',
    params: [address('addr')],
    handler: sysBrk,
    supports: ['growing', 'shrinking'],
    gap: 'RLIMIT_DATA is not enforced.',
  },
];

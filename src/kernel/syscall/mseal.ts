/** mseal(2). */
import type { Steps } from '../../sched/op.ts';
import { ENOSYS } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { doMseal } from '../mm/mseal.ts';
import { seam } from '../seam.ts';
import { address, length, number } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

/** Whether there is the call: 6.10 and later. */
export const hasMseal = seam('mseal.hasMseal', (): boolean => true);

function* sysMseal(task: Task, [start = 0, size = 0, how = 0]: SysArgs): Steps<number> {
  return hasMseal() ? yield* doMseal(task.mmOrDie, start, size, how) : -ENOSYS;
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 462,
    name: 'mseal',
    params: [address('addr'), length('len'), number('flags')],
    handler: sysMseal,
    supports: [],
    gap: '',
  },
];

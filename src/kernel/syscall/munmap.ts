/** munmap(2). */
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import { doMunmap } from '../mm/munmap.ts';
import { address, length } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysMunmap(task: Task, [start = 0, size = 0]: SysArgs): Steps<number> {
  return yield* doMunmap(task.mmOrDie, start, size);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 215,
    name: 'munmap',
    params: [address('addr'), length('length')],
    handler: sysMunmap,
    supports: ['anonymous private memory', 'EVENT_UNMAP'],
    gap: '',
  },
];

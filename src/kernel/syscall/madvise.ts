/** madvise(2). */
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import { ADVICE, doMadvise } from '../mm/madvise.ts';
import { address, flags, length } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysMadvise(task: Task, [start = 0, size = 0, advice = 0]: SysArgs): Steps<number> {
  return yield* doMadvise(task.mmOrDie, start, size, advice);
}

const partial = ADVICE.filter((a) => a.gap !== '');

export const rows: readonly SyscallRow[] = [
  {
    nr: 233,
    name: 'madvise',
    params: [
      address('addr'),
      length('length'),
      flags('advice', Object.fromEntries(ADVICE.map((a) => [a.name, a.nr]))),
    ],
    handler: sysMadvise,
    supports: ADVICE.map((a) => a.name),
    gap: `${partial.map((a) => `${a.name}: ${a.gap}`).join('; ')}.`,
  },
];

/** prctl(2): what a process asks for itself, one row an option. */
import type { Steps } from '../../sched/op.ts';
import { EINVAL } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { disableMergeAny, enableMergeAny } from '../mm/ksm-any.ts';
import { setMdwe } from '../mm/mdwe.ts';
import { number } from './params.ts';
import {
  getThpDisable,
  PR_GET_THP_DISABLE,
  PR_SET_THP_DISABLE,
  setThpDisable,
} from './prctl-thp.ts';
import type { SysArgs, SyscallRow } from './row.ts';

interface Option {
  readonly nr: number;
  readonly name: string;
  readonly perform: (task: Task, args: SysArgs) => Steps<number>;
}

/** Accepted, and changes nothing that is modelled. */
function* nothing(): Steps<number> {
  return 0;
}

function* setMemoryMerge({ mmOrDie: mm }: Task, args: SysArgs): Steps<number> {
  const [, on = 0, ...rest] = args;
  if (rest.slice(0, 3).some((arg) => arg !== 0)) return -EINVAL;
  return yield* on !== 0 ? enableMergeAny(mm) : disableMergeAny(mm);
}

function* getMemoryMerge({ mmOrDie: mm }: Task, args: SysArgs): Steps<number> {
  if (args.slice(1, 5).some((arg) => arg !== 0)) return -EINVAL;
  return mm.mergeAny ? 1 : 0;
}

function* setMdweOption({ mmOrDie: mm }: Task, args: SysArgs): Steps<number> {
  return args.slice(2, 5).some((arg) => arg !== 0) ? -EINVAL : setMdwe(mm, args[1] ?? 0);
}

function* getMdweOption({ mmOrDie: mm }: Task, args: SysArgs): Steps<number> {
  return args.slice(1, 5).some((arg) => arg !== 0) ? -EINVAL : mm.mdwe;
}

const OPTIONS: readonly Option[] = [
  { nr: 15, name: 'PR_SET_NAME', perform: nothing },
  {
    nr: PR_SET_THP_DISABLE,
    name: 'PR_SET_THP_DISABLE',
    perform: (task, args) => setThpDisable(task.mmOrDie, args.slice(1)),
  },
  {
    nr: PR_GET_THP_DISABLE,
    name: 'PR_GET_THP_DISABLE',
    perform: function* (task, args) {
      return getThpDisable(task.mmOrDie, args.slice(1));
    },
  },
  { nr: 65, name: 'PR_SET_MDWE', perform: setMdweOption },
  { nr: 66, name: 'PR_GET_MDWE', perform: getMdweOption },
  { nr: 67, name: 'PR_SET_MEMORY_MERGE', perform: setMemoryMerge },
  { nr: 68, name: 'PR_GET_MEMORY_MERGE', perform: getMemoryMerge },
];

export const rows: readonly SyscallRow[] = [
  {
    nr: 167,
    name: 'prctl',
    params: ['option', 'arg2', 'arg3', 'arg4', 'arg5'].map(number),
    handler: function* (task, args) {
      const option = OPTIONS.find((o) => o.nr === args[0]);
      return option === undefined ? -EINVAL : yield* option.perform(task, args);
    },
    supports: OPTIONS.map((o) => o.name),
    gap: 'Other options are EINVAL.',
  },
];

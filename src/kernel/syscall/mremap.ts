/** mremap(2). */
import type { Steps } from '../../sched/op.ts';
import { MREMAP_NAMES } from '../../uapi/mman.ts';
import type { Task } from '../core/task.ts';
import { doMremap } from '../mm/mremap.ts';
import { address, flags, length } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysMremap(task: Task, args: SysArgs): Steps<number> {
  const [where = 0, oldLength = 0, newLength = 0, how = 0, newAddress = 0] = args;
  const request = { address: where, oldLength, newLength, flags: how, newAddress };
  return yield* doMremap(task.mmOrDie, request);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 216,
    name: 'mremap',
    params: [
      address('old_address'),
      length('old_size'),
      length('new_size'),
      flags('flags', MREMAP_NAMES),
      address('new_address'),
    ],
    handler: sysMremap,
    supports: ['MREMAP_MAYMOVE', 'MREMAP_FIXED', 'MREMAP_DONTUNMAP', 'EVENT_REMAP'],
    gap: 'vm.overcommit_memory 0 refuses nothing, and shared memory promises nothing; tables of whole PUDs are moved PMD by PMD.',
  },
];

/** mprotect(2). */
import type { Steps } from '../../sched/op.ts';
import { PROT_NAMES } from '../../uapi/mman.ts';
import type { Task } from '../core/task.ts';
import { doMprotect } from '../mm/mprotect.ts';
import { address, flags, length } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

function* sysMprotect(task: Task, [start = 0, size = 0, prot = 0]: SysArgs): Steps<number> {
  return yield* doMprotect(task.mmOrDie, start, size, prot);
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 226,
    name: 'mprotect',
    params: [address('addr'), length('len'), flags('prot', PROT_NAMES)],
    handler: sysMprotect,
    supports: ['PROT_READ', 'PROT_WRITE', 'PROT_EXEC', 'PROT_GROWSDOWN'],
    gap: 'A locked mapping that becomes writable is not faulted in.',
  },
];

/** mincore(2) and msync(2). */
import { MS_NAMES } from '../../uapi/mman.ts';
import { doMincore, doMsync } from '../mm/mincore.ts';
import { address, flags, length } from './params.ts';
import type { SyscallRow } from './row.ts';

export const rows: readonly SyscallRow[] = [
  {
    nr: 232,
    name: 'mincore',
    params: [address('addr'), length('length'), address('vec')],
    *handler(task, [start = 0, size = 0, vec = 0]) {
      return yield* doMincore(task, start, size, vec);
    },
    supports: [],
    gap: 'Anonymous memory only.',
  },
  {
    nr: 227,
    name: 'msync',
    params: [address('addr'), length('length'), flags('flags', MS_NAMES)],
    *handler(task, [start = 0, size = 0, how = 0]) {
      return yield* doMsync(task.mmOrDie, start, size, how);
    },
    supports: Object.keys(MS_NAMES),
    gap: 'Anonymous memory only, of which there is nothing to write back.',
  },
];

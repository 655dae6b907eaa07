/** mincore(2). */
import { doMincore } from '../mm/mincore.ts';
import { address, length } from './params.ts';
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
    gap: '',
  },
];

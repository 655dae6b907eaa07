/** mlock(2), mlock2(2), munlock(2), mlockall(2), munlockall(2). */
import { MCL_NAMES, MLOCK_NAMES } from '../../uapi/mman.ts';
import { doMlock, doMlockall, doMunlock, doMunlockall } from '../mm/mlock.ts';
import { address, flags, length } from './params.ts';
import type { SyscallRow } from './row.ts';

const range = [address('addr'), length('len')];

export const rows: readonly SyscallRow[] = [
  {
    nr: 228,
    name: 'mlock',
    params: range,
    *handler(task, [start = 0, size = 0]) {
      return yield* doMlock(task.mmOrDie, start, size, 0);
    },
    supports: [],
    gap: '',
  },
  {
    nr: 284,
    name: 'mlock2',
    params: [...range, flags('flags', MLOCK_NAMES)],
    *handler(task, [start = 0, size = 0, how = 0]) {
      return yield* doMlock(task.mmOrDie, start, size, how);
    },
    supports: Object.keys(MLOCK_NAMES),
    gap: '',
  },
  {
    nr: 229,
    name: 'munlock',
    params: range,
    *handler(task, [start = 0, size = 0]) {
      return yield* doMunlock(task.mmOrDie, start, size);
    },
    supports: [],
    gap: '',
  },
  {
    nr: 230,
    name: 'mlockall',
    params: [flags('flags', MCL_NAMES)],
    *handler(task, [how = 0]) {
      return yield* doMlockall(task.mmOrDie, how);
    },
    supports: Object.keys(MCL_NAMES),
    gap: '',
  },
  {
    nr: 231,
    name: 'munlockall',
    params: [],
    *handler(task) {
      return yield* doMunlockall(task.mmOrDie);
    },
    supports: [],
    gap: '',
  },
];

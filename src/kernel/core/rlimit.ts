/** Resource limits of a process, soft and hard. Errnos and defaults measured on 6.18.44. @linux kernel/sys.c do_prlimit; getrlimit(2) */
import { EINVAL, EPERM } from '../../uapi/errno.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';

export const RLIMIT_DATA = 2;
export const RLIMIT_STACK = 3;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_MEMLOCK = 8;
export const RLIMIT_AS = 9;
export const RLIM_NLIMITS = 16;
export const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;
/** @linux fs/file.c sysctl_nr_open */
const NR_OPEN = 1_048_576n;

/** Soft and hard. */
export type Rlimit = readonly [soft: bigint, hard: bigint];

const DEFAULTS: Readonly<Record<number, Rlimit>> = {
  [RLIMIT_STACK]: [8n << 20n, RLIM_INFINITY],
  [RLIMIT_NOFILE]: [1024n, 1024n],
  [RLIMIT_MEMLOCK]: [8n << 20n, 8n << 20n],
};

export function rlimitOf(group: ThreadGroup, resource: number): Rlimit {
  return group.rlimits?.get(resource) ?? DEFAULTS[resource] ?? [RLIM_INFINITY, RLIM_INFINITY];
}

/** @returns 0, -EINVAL for a soft limit above the hard one, or -EPERM: only root raises a hard one */
export function setRlimit(task: Task, group: ThreadGroup, resource: number, to: Rlimit): number {
  const [soft, hard] = to;
  if (soft > hard) return -EINVAL;
  if (resource === RLIMIT_NOFILE && hard > NR_OPEN) return -EPERM;
  if (hard > rlimitOf(group, resource)[1] && task.uid !== 0) return -EPERM;
  group.rlimits ??= new Map();
  group.rlimits.set(resource, to);
  if (resource === RLIMIT_MEMLOCK) group.memlockLimit = Number(soft);
  return 0;
}

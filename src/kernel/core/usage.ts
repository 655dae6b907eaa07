/**
 * What a thread, a process and its children have used. Figures only: nothing in the kernel depends on them, so they are
 * no shared words. @linux kernel/sys.c getrusage, include/linux/sched/signal.h struct signal_struct
 */
import type { Mm } from '../mm/mm-types.ts';
import {
  FAULT_FLAG_TRIED,
  type FaultFlags,
  faultHas,
  flagged,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
  type VmFault,
} from '../mm/vm-fault.ts';
import type { Task } from './task.ts';
import type { ThreadGroup, Usage } from './thread-group.ts';

const NOT_COUNTED = (VM_FAULT_ERROR | VM_FAULT_RETRY) as VmFault;

/** Counts a fault that has come to a good end. @returns `result` @linux mm_account_fault */
export function accountFault(task: Task, flags: FaultFlags, result: VmFault): VmFault {
  if (faultHas(result, NOT_COUNTED)) return result;
  if (flagged(flags, FAULT_FLAG_TRIED)) task.majFlt++;
  else task.minFlt++;
  return result;
}

export function addUsage(a: Usage, b: Usage): Usage {
  return {
    minFlt: a.minFlt + b.minFlt,
    majFlt: a.majFlt + b.majFlt,
    maxRss: Math.max(a.maxRss, b.maxRss),
  };
}

/** A thread's own faults, and the memory of its process. RUSAGE_THREAD */
export function threadUsage({ minFlt, majFlt, mm }: Task): Usage {
  return { minFlt, majFlt, maxRss: mm === null ? 0 : maxRss(mm) };
}

/** All threads of a process, those that have ended too. RUSAGE_SELF */
export function groupUsage(group: ThreadGroup): Usage {
  return group.threads.map(threadUsage).reduce(addUsage, group.endedUsage);
}

function maxRss({ hiwaterRss, rss }: Mm): number {
  return Math.max(hiwaterRss, rss.anon + rss.file + rss.shmem);
}

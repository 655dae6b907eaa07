/** What the threads of a process share besides memory: signal handlers, pending signals, the end. @linux signal_struct, sighand_struct */
import { Waiters } from '../fs/waiters.ts';
import type { Rlimit } from './rlimit.ts';
import type { Task } from './task.ts';

export interface SigAction {
  readonly handler: number;
  readonly flags: number;
  readonly mask: bigint;
}

export interface SigInfo {
  readonly signo: number;
  readonly code: number;
  /** Faulting address for SIGSEGV, SIGBUS and SIGILL. */
  readonly address: number;
  /** Sender for SI_USER and SI_TKILL, child for SIGCHLD. */
  readonly pid: number;
  /** Exit status for SIGCHLD. */
  readonly status: number;
}

/** What getrusage(2) tells of resources used. */
export interface Usage {
  readonly minFlt: number;
  readonly majFlt: number;
  /** The most pages that were resident at once. */
  readonly maxRss: number;
}

export const NO_USAGE: Usage = { minFlt: 0, majFlt: 0, maxRss: 0 };

export class ThreadGroup {
  /** The thread whose id is the process's; execve may make another one that. */
  leader: Task;
  readonly threads: Task[] = [];
  /** By signal number; absent: default. */
  readonly actions: Map<number, SigAction> = new Map();
  /** Signals sent to the process, not yet taken by a thread. */
  readonly pending: SigInfo[] = [];
  /** Set by exit_group or a fatal signal: every thread goes. Status as wait4 gives it. */
  exitStatus: number | null = null;
  /** Ended, not yet waited for. */
  zombie = false;
  /** Waited for and gone. */
  reaped = false;
  /** Bytes it may lock into memory; root may lock any. @linux RLIMIT_MEMLOCK */
  memlockLimit: number = 8 * 1024 * 1024;
  /** Limits that were set, by number; null: none was. */
  rlimits: Map<number, Rlimit> | null = null;
  /** What user space adds to the OOM killer's points, in thousandths of all memory. @linux oom_score_adj */
  oomScoreAdj = 0;
  /** What its ended threads used, and its children that have been waited for with all theirs. */
  endedUsage: Usage = NO_USAGE;
  childrenUsage: Usage = NO_USAGE;
  /** Told when a child ends. */
  readonly childEvents: Waiters = new Waiters();

  constructor(leader: Task) {
    this.leader = leader;
  }
}

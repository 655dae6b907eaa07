import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import type { Vaddr } from './mm-types.ts';
import type { FaultFlags } from './vm-fault.ts';

/** A fault that ends in a signal: what siginfo says. KILL: fatal signal pending, or out of memory. */
export interface FaultSignal {
  readonly signal: 'SEGV' | 'BUS' | 'KILL';
  /** si_code: SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR. */
  readonly code: number;
  readonly address: Vaddr;
}

export function* faultAddress(
  _task: Task,
  _address: Vaddr,
  _flags: FaultFlags,
): Steps<FaultSignal | null> {
  throw new Error('BUG: being written');
}

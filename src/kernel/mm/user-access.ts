import type { Pfn } from '../../machine/pte.ts';
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';
import type { FaultSignal } from './fault.ts';
import type { Vaddr } from './mm-types.ts';

export function* userLoad(_t: Task, _a: Vaddr, _size: number): Steps<number | FaultSignal> {
  throw new Error('BUG: being written');
}
export function* userStore(
  _t: Task,
  _a: Vaddr,
  _size: number,
  _value: number,
): Steps<FaultSignal | null> {
  throw new Error('BUG: being written');
}
export function* copyFromUser(_t: Task, _a: Vaddr, _n: number): Steps<Uint8Array | number> {
  throw new Error('BUG: being written');
}
export function* copyToUser(_t: Task, _a: Vaddr, _bytes: Uint8Array): Steps<number> {
  throw new Error('BUG: being written');
}
export function* copyFromUserNofault(_t: Task, _a: Vaddr, _n: number): Steps<Uint8Array | number> {
  throw new Error('BUG: being written');
}
/** Copies a page's content into a frame. nofault: -EFAULT instead of faulting the source in. */
export function* copyUserPage(_t: Task, _src: Vaddr, _pfn: Pfn, _nofault: boolean): Steps<number> {
  throw new Error('BUG: being written');
}

import type { Steps } from '../../sched/op.ts';
import type { Mm, Vaddr } from './mm-types.ts';

export function* faultInRange(_mm: Mm, _start: Vaddr, _end: Vaddr, _write: boolean): Steps<number> {
  throw new Error('BUG: being written');
}

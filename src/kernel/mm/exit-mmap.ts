import type { Steps } from '../../sched/op.ts';
import type { Mm } from './mm-types.ts';

/** Drops a use of an mm; the last one takes it apart. @linux kernel/fork.c mmput */
export function* mmput(_mm: Mm): Steps<void> {
  throw new Error('BUG: being written');
}
export function* exitMmap(_mm: Mm): Steps<void> {
  throw new Error('BUG: being written');
}

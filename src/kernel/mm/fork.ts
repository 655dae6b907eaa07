import type { Steps } from '../../sched/op.ts';
import type { Mm } from './mm-types.ts';

export function* dupMm(_old: Mm): Steps<Mm | number> {
  throw new Error('BUG: being written');
}

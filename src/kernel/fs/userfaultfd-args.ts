/** What the ioctls of a userfaultfd have in common: structs in, the address space held, a first look at the counter. */
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { decodeStruct, type StructLayout, type StructValues } from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { mmput } from '../mm/exit-mmap.ts';
import type { Mm, Vaddr } from '../mm/mm-types.ts';
import { mmgetNotZero } from '../mm/mm-users.ts';
import { copyFromUser } from '../mm/user-access.ts';
import type { UserfaultfdCtx } from './userfaultfd-ctx.ts';

/** An ioctl: the struct is at `arg`. */
export type IoctlHandler = (task: Task, ctx: UserfaultfdCtx, arg: Vaddr) => Steps<number>;

/** Copies a struct in without its last `tail` bytes, which the kernel only writes; null: EFAULT. */
export function* copyStruct<Name extends string>(
  task: Task,
  arg: Vaddr,
  layout: StructLayout<Name>,
  tail: 0 | 8,
): Steps<StructValues<Name> | null> {
  const bytes = yield* copyFromUser(task, arg, layout.size - tail);
  if (typeof bytes === 'number') return null;
  return decodeStruct(layout, bytes);
}

/**
 * Keeps ctx.mm alive while a foreign process works on it; its own threads keep it alive by being there.
 * @returns false when it has no users any more
 */
export function holdMm(task: Task, mm: Mm): boolean {
  return task.mm === mm || mmgetNotZero(mm);
}
export function* dropMm(task: Task, mm: Mm): Steps<void> {
  if (task.mm !== mm) yield* mmput(mm);
}

/** The step in which an ioctl looks at mmap_changing before anything else. */
export function* lookAtCounter(ctx: UserfaultfdCtx): Steps<void> {
  if (sched.wants()) yield* access('mmap_changing', ctx.changingCell, READ);
}

/** Who waits for what: the report of a hang, and what the trace says of a wait. */
import { cellName } from '../kernel/cells.ts';
import type { Task } from '../kernel/core/task.ts';
import type { World } from '../kernel/world.ts';
import type { Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';
import type { FaultKind } from './death.ts';
import { callText, hex } from './strace.ts';

/** What a task is in the middle of: a system call, or a fault of its program. */
export type Doing =
  | { readonly nr: number; readonly args: readonly number[] }
  | { readonly kind: FaultKind; readonly address: number };

export interface Waiting {
  readonly task: Task;
  /** `read(3, 0x7ff0, 1)`, `a write fault at 0x7000`; empty when it is in neither. */
  readonly doing: string;
  /** `a userfaultfd handler`, `mmap_lock of mm 1, held by hello 2`. */
  readonly awaits: string;
}

/** What a blocked thread waits for, and who has it. */
export function awaitedBy(sched: Sched, thread: Thread): string {
  const { op } = thread;
  if (op.awaits !== null) return op.awaits;
  for (const other of sched.live) {
    const lock = other.held.find((l) => l.cell === op.cell);
    if (lock !== undefined) return `${lock.name}, held by ${other.name}`;
  }
  return op.cell === null ? op.name : cellName(op.cell);
}

/** The tasks that cannot go on. */
export function waitingThreads(world: World, doing: ReadonlyMap<Task, Doing>): Waiting[] {
  return world.sched.waiting().flatMap((thread) => {
    const task = world.taskOfThread.get(thread.id);
    return task === undefined
      ? []
      : [{ task, doing: doingText(task, doing.get(task)), awaits: awaitedBy(world.sched, thread) }];
  });
}

function doingText(task: Task, doing: Doing | undefined): string {
  if (doing === undefined) return '';
  if ('nr' in doing) return callText(task, doing.nr, doing.args);
  return `a ${doing.kind} fault at ${hex(doing.address)}`;
}

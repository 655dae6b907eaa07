/** Gives strands their tasks and threads. */

import { createThread } from '../kernel/core/create.ts';
import type { Task } from '../kernel/core/task.ts';
import type { Steps } from '../sched/op.ts';
import type { Strand } from './scope.ts';
import type { RunState } from './state.ts';
import type { Code } from './statements.ts';

/** The task of a thread of the main process. */
export function createTask(run: RunState, { name, index }: Strand): Task {
  const task = createThread(run.mainTask, { name, hart: index, owner: index });
  task.scratch = new Uint8Array(run.mainTask.scratch?.length ?? 0);
  return task;
}

export function spawnThread(run: RunState, strand: Strand, task: Task, code: Code): void {
  const thread = run.world.sched.spawn(strand.name, body(run, task, code), strand.daemon);
  task.thread = thread;
  run.world.taskOfThread.set(thread.id, task);
  run.tasks[strand.index] = task;
  run.threads[strand.index] = thread;
}

/** The one thread of a child that `fork` made. Its process stays until it says `exit` or the execution ends. */
export function spawnChild(run: RunState, strand: Strand, child: Task, code: Code): void {
  child.scratch = new Uint8Array(run.mainTask.scratch?.length ?? 0);
  spawnThread(run, strand, child, code);
}

function* body(run: RunState, task: Task, code: Code): Steps<void> {
  yield* code(run, task);
}

/** Gives strands their tasks and threads. */

import { createThread } from '../kernel/core/create.ts';
import { doExit } from '../kernel/core/exit.ts';
import type { Task } from '../kernel/core/task.ts';
import { machine } from '../machine/current.ts';
import type { Steps } from '../sched/op.ts';
import type { Strand } from './scope.ts';
import type { RunState } from './state.ts';
import type { Code } from './statements.ts';

/** A thread of the process that the file puts it in. */
export function spawnThread(run: RunState, strand: Strand, code: Code): void {
  const { name, index } = strand;
  const task = createThread(run.taskOf(strand.process), { name, hart: index, owner: index });
  start(run, strand, task, code);
}

/** The one thread of a child that `fork` made. Its process stays until it says `exit` or the execution ends. */
export function spawnChild(run: RunState, strand: Strand, child: Task, code: Code): void {
  start(run, strand, child, code);
}

function start(run: RunState, strand: Strand, task: Task, code: Code): void {
  task.scratch = new Uint8Array(run.mainTask.scratch?.length ?? 0);
  const thread = run.world.sched.spawn(strand.name, () => body(run, task, code), strand.daemon);
  task.thread = thread;
  run.world.taskOfThread.set(thread.id, task);
  run.tasks[strand.index] = task;
  run.threads[strand.index] = thread;
}

/** Plain where nobody can be killed: no generator between a thread and its statements. */
function body(run: RunState, task: Task, code: Code): Steps<unknown> {
  return machine.frames.free.scarce ? killable(run, task, code) : code(run, task);
}

function* killable(run: RunState, task: Task, code: Code): Steps<void> {
  if ((yield* code(run, task)) === 'killed') yield* doExit(task);
}

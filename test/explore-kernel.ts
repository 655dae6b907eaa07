/** Explores kernel code without litmus: threads of one or more tasks, checked after every step. */
import { type Explored, explore } from '../src/explore/explore.ts';
import { runStepChecks } from '../src/kernel/check/table.ts';
import { createThread } from '../src/kernel/core/create.ts';
import type { Task } from '../src/kernel/core/task.ts';
import { enterWorld } from '../src/kernel/current.ts';
import type { Overrides } from '../src/kernel/seam.ts';
import type { Steps } from '../src/sched/op.ts';
import type { Ending } from '../src/sched/sched.ts';
import { KernelWorld } from './kernel-world.ts';

export interface Scene {
  /** What the threads do, in order; each runs as a task of its own. */
  readonly threads: readonly ((task: Task) => Steps<void>)[];
  /** The outcome, in words. */
  outcome(ending: Ending): string;
}

export interface Found extends Explored {
  /** Outcomes and how often each was seen. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** Sentences of executions that broke a check. */
  readonly errors: ReadonlySet<string>;
}

/** @param set builds the scene in a fresh world; thread n runs on hart n as owner n */
export function exploreKernel(
  set: (k: KernelWorld) => Scene,
  options: {
    readonly overrides?: Overrides | null;
    readonly strategy?: 'dpor' | 'dfs';
    /** Tasks for the threads instead of threads of the first process. */
    readonly maxExecutions?: number;
  } = {},
): Found {
  const outcomes = new Map<string, number>();
  const errors = new Set<string>();
  const program = {
    start() {
      const k = new KernelWorld({ exploring: true, overrides: options.overrides ?? null });
      const scene = set(k);
      for (const [i, body] of scene.threads.entries()) {
        const task = i === 0 ? k.task : createThread(k.task, { name: `t${i}`, hart: i, owner: i });
        task.thread = k.world.sched.spawn(`T${i}`, body(task));
        k.world.taskOfThread.set(task.thread.id, task);
      }
      k.world.sched.spawn('rcu', k.world.rcu.actor(), true);
      k.world.sched.afterStep = () => {
        const broken = runStepChecks(k.world);
        if (broken !== null) throw new Error(`${broken.name}: ${broken.wrong}`);
      };
      enterWorld(k.world);
      return {
        sched: k.world.sched,
        finish(ending: Ending): string {
          const wrong = ending === 'done' ? k.wrong() : null;
          if (wrong !== null) throw new Error(wrong);
          return scene.outcome(ending);
        },
      };
    },
  };
  const explored = explore(
    program,
    { strategy: options.strategy ?? 'dpor', maxExecutions: options.maxExecutions ?? 50_000 },
    (seen) => {
      if (seen.error !== null)
        errors.add(seen.error instanceof Error ? seen.error.message : 'thrown');
      if (seen.outcome !== null) outcomes.set(seen.outcome, (outcomes.get(seen.outcome) ?? 0) + 1);
      return undefined;
    },
  );
  return { ...explored, outcomes, errors };
}

/** Scenes of userfaultfd under every schedule: one page registered, some threads, what they wrote down. */
import { explore } from '../../src/explore/explore.ts';
import { runStepChecks } from '../../src/kernel/check/table.ts';
import { SCRATCH_BASE, type Task } from '../../src/kernel/core/task.ts';
import { userLoad } from '../../src/kernel/mm/user-access.ts';
import type { Patch } from '../../src/kernel/seam.ts';
import type { Steps } from '../../src/sched/op.ts';
import type { UffdMsg } from '../../src/uapi/userfaultfd.ts';
import { A, ioctlAs, Kit, P, readMessages } from './kit.ts';

function firstEnabled<T>(_sched: unknown, enabled: readonly T[]): T | null {
  return enabled[0] ?? null;
}
/** An oracle that runs the first thread that can. */
export const FIRST = {
  pick: firstEnabled,
  choose: (): number => 0,
  stepped: (): undefined => undefined,
};

/** What the threads of one execution write down. */
export type Log = Record<string, unknown>;

export interface Scene {
  readonly kit: Kit;
  readonly fd: number;
  readonly log: Log;
}
export type Build = (scene: Scene) => void;

/** Explores every schedule of a scene; the outcome of an execution is its log, plus what the census says. */
export function outcomes(
  features: number,
  mode: number,
  build: Build,
  patches: readonly Patch[] = [],
): { readonly all: ReadonlyMap<string, number>; readonly exhausted: boolean } {
  const all = new Map<string, number>();
  const program = {
    start: () => {
      const kit = new Kit(patches, true);
      kit.map(0, 1);
      const fd = kit.uffd(features, 0);
      kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode });
      const log: Log = {};
      const { sched } = kit.world;
      sched.afterStep = () => {
        const broken = runStepChecks(kit.world);
        if (broken !== null) throw new Error(`${broken.name}: ${broken.wrong}`);
      };
      build({ kit, fd, log });
      return {
        sched,
        finish: (ending: string) => {
          if (ending !== 'done') return ending;
          return [JSON.stringify(log), kit.census()].filter((s) => s !== null).join(' ');
        },
      };
    },
  };
  const result = explore(program, { maxExecutions: 50_000 }, (seen) => {
    const key = seen.outcome ?? String(seen.error);
    all.set(key, (all.get(key) ?? 0) + 1);
    return undefined;
  });
  return { all, exhausted: result.exhausted };
}

export function* load(task: Task, log: Log, name: string): Steps<void> {
  log[name] = yield* userLoad(task, A, 1);
}

/** Reads one message and fills its page with 42s. */
export function* serve(task: Task, fd: number, log: Log): Steps<void> {
  const [message] = (yield* readMessages(task, fd)) as UffdMsg[];
  log['event'] = message?.event;
  task.scratch?.fill(42, 1024);
  const copy = { dst: A, src: SCRATCH_BASE + 1024, len: P };
  log['copy'] = (yield* ioctlAs(task, fd, 'COPY', copy)).result;
}

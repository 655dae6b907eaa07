/** A guest program started as the benches want it: silent, without limits, from seed 0 unless they say otherwise. */
import { type Run, type RunRequest, startRun } from '../src/run/run.ts';

export function startGuest(
  program: Uint8Array,
  args: readonly string[],
  options: Partial<RunRequest> = {},
): Run {
  const run = startRun({
    program,
    name: 'bench',
    args: ['bench', ...args],
    env: [],
    console: { write: () => true, wantInput: () => undefined, read: () => new Uint8Array(0) },
    seed: 0,
    cpus: 1,
    ram: 256 << 20,
    uid: 0,
    engine: 'translator',
    overrides: null,
    release: '6.18.0',
    timeoutNs: Number.MAX_SAFE_INTEGER,
    maxInstructions: Number.MAX_SAFE_INTEGER,
    observers: [],
    pausing: () => false,
    ...options,
  });
  if (typeof run === 'string') throw new Error(run);
  return run;
}

/** Counts for --stats: faults by kind, system calls by name. */
import { syscallByNr } from '../kernel/syscall/dispatch.ts';
import { errnoName, isErr } from '../uapi/errno.ts';
import type { Progress, RunObserver } from './run.ts';

export interface Stats extends RunObserver {
  /** @param wallMs milliseconds of the host's clock */
  lines(progress: Progress, wallMs: number): string[];
}

export function stats(): Stats {
  const faults = new Map<string, number>();
  const calls = new Map<string, number>();
  const errors = new Map<string, number>();
  let waits = 0;
  const add = (counts: Map<string, number>, key: string): void => {
    counts.set(key, (counts.get(key) ?? 0) + 1);
  };
  return {
    fault(_now, _task, kind) {
      add(faults, kind);
    },
    syscallEnd(_now, _task, nr, _args, result) {
      add(calls, syscallByNr(nr)?.name ?? `syscall ${nr}`);
      if (isErr(result)) add(errors, errnoName(-result));
    },
    waits() {
      waits++;
    },
    lines(progress, wallMs) {
      const rate = progress.instructions / 1000 / Math.max(wallMs, 1);
      return [
        `instructions  ${progress.instructions} (${rate.toFixed(1)} million a second)`,
        `faults        ${listed(faults)}`,
        `system calls  ${listed(calls)}`,
        `  failed      ${listed(errors)}`,
        `waits         ${waits}`,
        `virtual time  ${(progress.virtualNs / 1e9).toFixed(6)} s`,
        `wall time     ${(wallMs / 1000).toFixed(3)} s`,
        `peak frames   ${progress.peakFrames} (${progress.peakFrames * 4} KiB)`,
      ];
    },
  };
}

/** `12: read 7, write 5`. */
function listed(counts: ReadonlyMap<string, number>): string {
  const entries = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  const total = entries.reduce((sum, [, n]) => sum + n, 0);
  if (total === 0) return '0';
  return `${total}: ${entries.map(([name, n]) => `${name} ${n}`).join(', ')}`;
}

/** What the main thread and the worker of `faultline check` tell each other. */
import type { StrategyName } from '../../src/explore/explore.ts';
import type { Checks } from '../../src/litmus/run-litmus.ts';

export interface CheckJob {
  readonly version: string;
  readonly files: readonly string[];
  readonly profile: string | null;
  readonly patches: readonly string[];
  readonly strategy: StrategyName;
  readonly bound: number | null;
  readonly max: number;
  readonly seed: number;
  readonly checks: Checks;
  readonly replay: string | null;
  readonly format: 'text' | 'json';
}

export type FromWorker =
  | { readonly kind: 'progress'; readonly text: string; readonly begins: boolean }
  | { readonly kind: 'out' | 'err'; readonly text: string }
  | { readonly kind: 'end'; readonly status: number };

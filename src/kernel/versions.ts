/** Kernel versions, and the ranges of them in which patches count. */
import { assert } from '../base/assert.ts';

/** Architectures a profile may be of; the first is what a version alone means. */
export const ARCHITECTURES = ['x86-64', 'arm64', 'riscv64'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

const RANGE = /^(<|<=|>|>=)(\d+\.\d+)$/;
const NEVER: readonly string[] = ['none', 'proposed', ''];

/** Negative, 0 or positive, as `a` is older, the same or newer. Only `major.minor` count. */
export function compareReleases(a: string, b: string): number {
  return releaseNumber(a) - releaseNumber(b);
}

function releaseNumber(version: string): number {
  const [major = '0', minor = '0'] = version.split('.');
  return Number(major) * 1000 + Number(minor);
}

/** Whether a text is a range: `<6.4`, `>=5.7 <5.12`, or `none` and `proposed`, in which no kernel is. */
export function isRange(range: string): boolean {
  return NEVER.includes(range) || range.split(' ').every((part) => RANGE.test(part));
}

/** Whether a version lies in a range. @param version `6.1` */
export function inRange(version: string, range: string): boolean {
  if (NEVER.includes(range)) return false;
  return range.split(' ').every((part) => {
    const [, op, bound] = RANGE.exec(part) ?? [];
    assert(bound !== undefined, `${range} is no range of versions`);
    const d = compareReleases(version, bound);
    if (op === '<') return d < 0;
    if (op === '<=') return d <= 0;
    return op === '>' ? d > 0 : d >= 0;
  });
}

/** The values of `faultline run`'s options: what they may be, and the sentence for what they may not. */
import { InvalidArgumentError } from 'commander';
import { CONFIGS, patchByName } from '../../src/kernel/patches/table.ts';
import { type Profile, parseProfile } from '../../src/kernel/profiles.ts';
import type { Patch } from '../../src/kernel/seam.ts';

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const PAGE = 4096;
const MIN_RAM = 2 ** 20;
const MAX_RAM = 3 * 2 ** 30;
export const MAX_CPUS = 16;
const MAX_SEED = 2 ** 32 - 1;
const MAX_UID = 2 ** 32 - 2;

/** `1G`, `64M`, `4096K`, bytes: at least 1 MiB, at most 3 GiB, whole pages. */
export function ramOption(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMG]?)(?:i?B)?$/i.exec(text);
  if (match === null) throw new InvalidArgumentError('Give a size such as 512M or 1G.');
  const bytes = Number(match[1]) * (UNITS[(match[2] ?? '').toUpperCase()] ?? 1);
  if (bytes < MIN_RAM) throw new InvalidArgumentError('A machine has at least 1M of RAM.');
  if (bytes > MAX_RAM) throw new InvalidArgumentError('A machine has at most 3G of RAM.');
  if (bytes % PAGE !== 0) throw new InvalidArgumentError('RAM comes in whole pages of 4096 bytes.');
  return bytes;
}

/** The same for a swap device, which may be left out: 0. */
export function swapOption(text: string): number {
  return text === '0' ? 0 : ramOption(text);
}

export function wholeNumber(what: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    const upTo = max >= Number.MAX_SAFE_INTEGER ? `${min} or more` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`${what} is a whole number, ${upTo}.`);
  };
}

export const seedOption: (text: string) => number = wholeNumber('A seed', 0, MAX_SEED);
export const hugepagesOption: (text: string) => number = wholeNumber('HUGEPAGES', 0, 1536);
export const cpusOption: (text: string) => number = wholeNumber('CPUS', 1, MAX_CPUS);
export const uidOption: (text: string) => number = wholeNumber('A user id', 0, MAX_UID);
export const instructionsOption: (text: string) => number = wholeNumber(
  'A number of instructions',
  1,
  Number.MAX_SAFE_INTEGER,
);

/** Virtual seconds, as ns. */
export function timeoutOption(text: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds > 0 && seconds <= 1e6) return Math.round(seconds * 1e9);
  throw new InvalidArgumentError('Give virtual seconds, more than 0, such as 10 or 0.5.');
}

export function envOption(text: string, before: readonly string[]): readonly string[] {
  if (!/^[^=]+=/.test(text)) throw new InvalidArgumentError('Give NAME=VALUE.');
  const name = text.slice(0, text.indexOf('=') + 1);
  return [...before.filter((e) => !e.startsWith(name)), text];
}

/** What the kernel is built with besides. */
export function configOption(text: string, before: readonly Patch[]): readonly Patch[] {
  const patch = CONFIGS.includes(text) ? patchByName(text) : null;
  if (patch === null) throw new InvalidArgumentError(`There is: ${CONFIGS.join(', ')}.`);
  return before.includes(patch) ? before : [...before, patch];
}

export function profileOption(text: string): Profile {
  const profile = parseProfile(text);
  if (typeof profile === 'string') throw new InvalidArgumentError(`${profile}.`);
  return profile;
}

export function engineOption(text: string): 'translator' | 'interpreter' {
  if (text === 'translator' || text === 'interpreter') return text;
  throw new InvalidArgumentError('There are translator and interpreter.');
}

/**
 * Profiles: a kernel version on an architecture, as the stack of the patches that count for it (design, decisions 16
 * and 17). A profile stands for the last release of its line: what a stable release fixed is fixed in it.
 */
import { assert } from '../base/assert.ts';
import { PATCHES } from './patches/table.ts';
import { UNLIKE, type Unlike } from './profile-facts.ts';
import { orderPatches, type Patch } from './seam.ts';
import { ARCHITECTURES, type Architecture, inRange } from './versions.ts';

export interface Profile {
  /** As given on the command line: `6.1`, `6.1/riscv64`; x86-64 is not said. */
  readonly name: string;
  /** `6.1`. */
  readonly version: string;
  readonly architecture: Architecture;
  /** As printed: `6.1 (partial)` while not everything that differs is modelled. */
  readonly title: string;
  /** In stacking order. */
  readonly patches: readonly Patch[];
  /** Known differences in what is modelled that no patch makes yet. */
  readonly missing: readonly Unlike[];
}

/** Newest first. */
export const VERSIONS: readonly string[] = [
  '6.18',
  '6.15',
  '6.12',
  '6.8',
  '6.6',
  '6.1',
  '5.15',
  '5.10',
  '5.7',
];

/** Every version on x86-64, newest first, then on the other architectures. */
export const PROFILES: readonly Profile[] = ARCHITECTURES.flatMap((architecture) =>
  VERSIONS.map((version) => profileOf(version, architecture)),
);

export const DEFAULT_PROFILE: Profile = PROFILES[0] as Profile;

function profileOf(version: string, architecture: Architecture): Profile {
  const name = architecture === 'x86-64' ? version : `${version}/${architecture}`;
  const patches = stackOf(version, architecture);
  const missing = UNLIKE.filter(
    (u) => inRange(version, u.versions) && (u.architectures?.includes(architecture) ?? true),
  );
  const title = missing.length === 0 ? name : `${name} (partial)`;
  return { name, version, architecture, title, patches, missing };
}

/** The patches that make a version of the core, in order. */
export function stackOf(
  version: string,
  architecture: Architecture,
  among: readonly Patch[] = PATCHES,
): Patch[] {
  const stack = orderPatches(
    among.filter(
      (p) =>
        inRange(version, p.versions) &&
        (p.architectures?.includes(architecture) ?? true) &&
        !(p.fixedIn ?? []).some((release) => release.startsWith(`${version}.`)),
    ),
  );
  assert(typeof stack !== 'string', String(stack));
  return stack;
}

/**
 * What `--profile` says: `6.1`, `6.18/x86-64`.
 * @returns the profile, or one line that says what is wrong and what there is
 */
export function parseProfile(text: string): Profile | string {
  const [version = '', architecture = 'x86-64', ...rest] = text.split('/');
  if (!VERSIONS.includes(version) || rest.length > 0) {
    return `unknown profile ${text}: there are ${VERSIONS.join(', ')}`;
  }
  const profile = PROFILES.find((p) => p.version === version && p.architecture === architecture);
  if (profile !== undefined) return profile;
  return `unknown architecture ${architecture} in profile ${text}: there are ${ARCHITECTURES.join(', ')}`;
}

/** What `--profile a,b` asks for, in the order given; `all`: every one; `all/arm64`: every version there. */
export function parseProfiles(text: string): Profile[] | string {
  const profiles: Profile[] = [];
  for (const part of text.split(',')) {
    const parsed = parsePart(part.trim());
    if (typeof parsed === 'string') return parsed;
    for (const profile of parsed) if (!profiles.includes(profile)) profiles.push(profile);
  }
  return profiles;
}

function parsePart(text: string): readonly Profile[] | string {
  if (text === 'all') return PROFILES;
  if (!text.startsWith('all/')) {
    const parsed = parseProfile(text);
    return typeof parsed === 'string' ? parsed : [parsed];
  }
  const profiles = PROFILES.filter((p) => `all/${p.architecture}` === text);
  if (profiles.length > 0) return profiles;
  return `unknown architecture in ${text}: there are ${ARCHITECTURES.join(', ')}`;
}

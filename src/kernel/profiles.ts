/** Kernel versions as stacks of patches (design, decisions 16 and 17). */

import { noMove, noMseal, noPoison, noWpAsync, noWpUnpopulated } from './patches/features.ts';
import { noGuardRegions } from './patches/guard-regions.ts';
import { mmapChangingUnlocked } from './patches/mmap-changing-unlocked.ts';
import { mremapOneVma } from './patches/mremap.ts';
import { noPtReclaim } from './patches/no-pt-reclaim.ts';
import { noPagemapScan } from './patches/pagemap-scan.ts';
import { unregisterAnyCtx } from './patches/unregister-any-ctx.ts';
import { noFillVmaLocks, noMadviseVmaLocks, noVmaLocks } from './patches/vma-locks.ts';
import { wpOneVma } from './patches/wp-one-vma.ts';
import type { Patch } from './seam.ts';

export interface Profile {
  /** As given on the command line: `6.1`. */
  readonly version: string;
  /** As printed: `6.1 (partial)` while not everything that differs is modelled. */
  readonly title: string;
  /** Newest difference first, in stacking order. */
  readonly patches: readonly Patch[];
  /** What it can do, for `faultline profiles`. */
  readonly says: string;
}

/** Newest first. */
export const PROFILES: readonly Profile[] = [
  {
    version: '6.18',
    title: '6.18',
    patches: [],
    says: 'what the core reads as; figures and errors measured on 6.18.44',
  },
  {
    version: '6.1',
    title: '6.1 (partial)',
    patches: [
      unregisterAnyCtx,
      mremapOneVma,
      noMadviseVmaLocks,
      noPtReclaim,
      noGuardRegions,
      noMseal,
      noFillVmaLocks,
      mmapChangingUnlocked,
      noMove,
      noPagemapScan,
      noWpAsync,
      noPoison,
      wpOneVma,
      noWpUnpopulated,
      noVmaLocks,
    ],
    says: 'userfaultfd as before 6.4: one mapping a WRITEPROTECT, no markers on empty anonymous slots, no VMA locks',
  },
];

export const DEFAULT_PROFILE: Profile = PROFILES[0] as Profile;

/** Architectures a profile may name after a slash; x86-64 behaviour is what is modelled. */
const ARCHITECTURES: readonly string[] = ['x86-64', 'riscv64'];

/**
 * What `--profile` says: `6.1`, `6.18/x86-64`.
 * @returns the profile, or one line that says what is wrong and what there is
 */
export function parseProfile(text: string): Profile | string {
  const [version = '', architecture, ...rest] = text.split('/');
  const profile = PROFILES.find((p) => p.version === version);
  const known = PROFILES.map((p) => p.version).join(', ');
  if (profile === undefined || rest.length > 0) {
    return `unknown profile ${text}: there are ${known}`;
  }
  if (architecture === undefined || architecture === 'x86-64') return profile;
  if (!ARCHITECTURES.includes(architecture)) {
    return `unknown architecture ${architecture} in profile ${text}: there is x86-64`;
  }
  return `not yet: profile ${text}; x86-64 behaviour is what is modelled so far`;
}

/** What `--profile a,b` or `--profile all` asks for, in the order given. */
export function parseProfiles(text: string): Profile[] | string {
  if (text === 'all') return [...PROFILES];
  const profiles: Profile[] = [];
  for (const part of text.split(',')) {
    const parsed = parseProfile(part.trim());
    if (typeof parsed === 'string') return parsed;
    if (!profiles.includes(parsed)) profiles.push(parsed);
  }
  return profiles;
}

/** The text of `faultline profiles`. */
export function listProfiles(): string {
  const lines = PROFILES.flatMap((p) => [
    `${p.title.padEnd(15)}${p.says}`,
    ...p.patches.map(
      (patch) => `${' '.repeat(15)}${patch.name} (${patch.versions}): ${patch.title}`,
    ),
  ]);
  return `${lines.join('\n')}\n`;
}

/** Kernel versions as litmus files compare them, and which rules and expectations count for a variant. */
import { compareReleases } from '../kernel/versions.ts';
import type { Comparison, LitmusTest, When } from './ast.ts';

/** What a file is run as: a profile with patches on top. */
export interface Variant {
  /** `6.18`, `6.1`, `6.18/riscv64`. */
  readonly profile: string;
  /** Names, in the order in which they are stacked. */
  readonly patches: readonly string[];
}

/** `6.18 + wp-no-flush`. */
export function showVariant(variant: Variant): string {
  return [variant.profile, ...variant.patches].join(' + ');
}

/** Whether a rule or expectation counts for a variant. A version without an architecture means every one. */
export function holdsFor(when: When | null, variant: Variant): boolean {
  if (when === null) return true;
  return matchesVersions(when, variant.profile) && patchesMatch(when, variant.patches);
}

/** Whether an expectation is about a variant: exactly its patches, none when it names none. */
export function isAbout(when: When, variant: Variant): boolean {
  return matchesVersions(when, variant.profile) && samePatches(when.patches, variant.patches);
}

export function matchesVersions(when: When, profile: string): boolean {
  return when.versions.every(({ op, version }) => compareVersions(op, profile, version));
}

function patchesMatch(when: When, patches: readonly string[]): boolean {
  return when.patches.length === 0 || samePatches(when.patches, patches);
}

function samePatches(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}

/** What a profile without an architecture is of. */
const DEFAULT_ARCHITECTURE = 'x86-64';

/** `6.18/riscv64 >= 6.4`. */
export function compareVersions(op: Comparison, profile: string, version: string): boolean {
  const [have = '', haveArch = DEFAULT_ARCHITECTURE] = profile.split('/');
  const [want = '', wantArch] = version.split('/');
  if (wantArch !== undefined && wantArch !== haveArch) return false;
  const d = compareReleases(have, want);
  switch (op) {
    case '==':
      return d === 0;
    case '!=':
      return d !== 0;
    case '<':
      return d < 0;
    case '<=':
      return d <= 0;
    case '>':
      return d > 0;
    case '>=':
      return d >= 0;
  }
}

/**
 * What a file expects things of: the newest profile, for every condition on versions the newest and the oldest profile
 * that it singles out, and the newest under each set of patches that it names.
 * @param profiles all names, newest first; those of the default architecture stand before the others
 */
export function variantsOf(test: LitmusTest, profiles: readonly string[]): Variant[] {
  const [newest = ''] = profiles;
  const variants: Variant[] = [{ profile: newest, patches: [] }];
  const whens = [...test.rules.map((r) => r.when), ...test.expectations.map((e) => e.when)];
  for (const when of whens) {
    if (when === null) continue;
    for (const profile of endsOf(when, profiles)) {
      const variant: Variant = { profile, patches: when.patches };
      if (!variants.some((v) => showVariant(v) === showVariant(variant))) variants.push(variant);
    }
  }
  return variants;
}

/** The newest and the oldest profile that a condition is about; only the newest where it names no version. */
function endsOf(when: When, profiles: readonly string[]): string[] {
  const named = when.versions.map((v) => v.version.split('/')[1] ?? DEFAULT_ARCHITECTURE);
  const wanted = named.length === 0 ? [DEFAULT_ARCHITECTURE] : named;
  const fitting = profiles.filter(
    (p) => wanted.includes(p.split('/')[1] ?? DEFAULT_ARCHITECTURE) && matchesVersions(when, p),
  );
  const [first, last] = [fitting[0], fitting.at(-1)];
  if (first === undefined || last === undefined) return [];
  return when.versions.length === 0 || first === last ? [first] : [first, last];
}

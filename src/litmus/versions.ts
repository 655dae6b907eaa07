/** Kernel versions as litmus files compare them, and which rules and expectations count for a variant. */
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

/** `6.18/riscv64 >= 6.4`. */
export function compareVersions(op: Comparison, profile: string, version: string): boolean {
  const [have = '', haveArch = ''] = profile.split('/');
  const [want = '', wantArch] = version.split('/');
  if (wantArch !== undefined && wantArch !== haveArch) return false;
  const d = order(have) - order(want);
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

function order(version: string): number {
  const [major = '0', minor = '0'] = version.split('.');
  return Number(major) * 1000 + Number(minor);
}

/**
 * What a file expects things of: the newest profile, every profile that one of its conditions singles out, and the
 * newest under each set of patches that it names.
 * @param profiles all names, newest first, without architectures
 */
export function variantsOf(test: LitmusTest, profiles: readonly string[]): Variant[] {
  const [newest = ''] = profiles;
  const variants: Variant[] = [{ profile: newest, patches: [] }];
  const whens = [...test.rules.map((r) => r.when), ...test.expectations.map((e) => e.when)];
  for (const when of whens) {
    if (when === null) continue;
    const fitting = profiles.filter((p) => matchesVersions(when, p));
    const wanted = when.versions.length === 0 ? fitting.slice(0, 1) : fitting;
    for (const profile of wanted) {
      const variant: Variant = { profile, patches: when.patches };
      if (!variants.some((v) => showVariant(v) === showVariant(variant))) variants.push(variant);
    }
  }
  return variants;
}

/** A file's variants in order: which there are, which patches each stands for, and judging all of them. */
import { mutationPatches, PATCHES, patchByName } from '../kernel/patches/table.ts';
import { DEFAULT_PROFILE, PROFILES } from '../kernel/profiles.ts';
import type { Patch } from '../kernel/seam.ts';
import type { LitmusTest, Pos } from './ast.ts';
import { type CheckOptions, checkVariant, overridesOf, type VariantReport } from './check.ts';
import { type CompiledTest, compileTest } from './compile.ts';
import { didYouMean, LitmusError } from './error.ts';
import { showVariant, type Variant, variantsOf } from './versions.ts';

/** What the command line asks for; null leaves it to the file. */
export interface Asked {
  readonly profiles: readonly string[] | null;
  readonly patches: readonly string[] | null;
}

export const FILE_DECIDES: Asked = { profiles: null, patches: null };

/** The variants to run. @throws LitmusError when the file names a patch that there is not */
export function variantsToRun(test: LitmusTest, asked: Asked): Variant[] {
  for (const rule of test.rules) checkPatchNames(rule.when?.patches ?? [], rule.pos);
  for (const expectation of test.expectations) {
    checkPatchNames(expectation.when.patches, expectation.pos);
  }
  if (asked.profiles === null && asked.patches === null) {
    return variantsOf(
      test,
      PROFILES.map((p) => p.version),
    );
  }
  const profiles = asked.profiles ?? [DEFAULT_PROFILE.version];
  return profiles.map((profile) => ({ profile, patches: asked.patches ?? [] }));
}

function checkPatchNames(names: readonly string[], pos: Pos): void {
  for (const name of names) {
    if (patchByName(name) !== null) continue;
    const known = [...PATCHES, ...mutationPatches()].map((p) => p.name);
    throw new LitmusError(
      `no patch is called ${name}`,
      pos,
      didYouMean(name, known, 'faultline patches lists them'),
    );
  }
}

/** The profile's patches, then those put back; one that the profile already has is not stacked twice. */
export function patchesOf(variant: Variant): Patch[] {
  const version = variant.profile.split('/')[0];
  const profile = PROFILES.find((p) => p.version === version) ?? DEFAULT_PROFILE;
  const stack = [...profile.patches];
  for (const name of variant.patches) {
    const patch = patchByName(name);
    if (patch === null) throw new LitmusError(`no patch is called ${name}`, { line: 0, column: 0 });
    if (!stack.some((p) => p.name === patch.name)) stack.push(patch);
  }
  return stack;
}

/** Judges one variant. @param only it is the only one asked for: then a set-up that fails is bad input */
export function runVariant(
  test: LitmusTest,
  variant: Variant,
  options: CheckOptions,
): VariantReport {
  const optional = variant.profile !== DEFAULT_PROFILE.version;
  return checkVariant(test, variant, patchesOf(variant), options, optional);
}

export function compiledFor(test: LitmusTest, variant: Variant): CompiledTest {
  return compileTest(test, variant, overridesOf(patchesOf(variant)));
}

/** Everything a test says, checked: what a build of the corpus wants to know. */
export function checkTest(
  test: LitmusTest,
  options: CheckOptions,
  asked: Asked = FILE_DECIDES,
): VariantReport[] {
  return variantsToRun(test, asked).map((variant) => runVariant(test, variant, options));
}

/** Whether reports are what the file expects: the exit status of `check`. */
export function statusOf(reports: readonly VariantReport[]): 0 | 1 | 3 {
  if (reports.some((r) => r.verdict === 'broken')) return 1;
  return reports.some((r) => r.verdict === 'bound') ? 3 : 0;
}

/** For progress lines. */
export function labelOf(test: LitmusTest, variant: Variant): string {
  return `${test.name} under ${showVariant(variant)}`;
}

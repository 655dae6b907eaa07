/** A file's variants in order: which there are, which patches each stands for, and judging all of them. */
import { mutationPatches, PATCHES, patchByName } from '../kernel/patches/table.ts';
import { DEFAULT_PROFILE, PROFILES, parseProfile } from '../kernel/profiles.ts';
import { chainOf, type Patch } from '../kernel/seam.ts';
import type { LitmusTest, Pos } from './ast.ts';
import { type CheckOptions, checkVariant, overridesOf, type VariantReport } from './check.ts';
import { type CompiledTest, compileTest } from './compile.ts';
import { configPatches } from './config.ts';
import { didYouMean, LitmusError } from './error.ts';
import { hashOf, parseReplayId, replayId } from './replay-id.ts';
import { holdsFor, isAbout, showVariant, type Variant, variantsOf } from './versions.ts';

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
      PROFILES.map((p) => p.name),
    );
  }
  const profiles = asked.profiles ?? [DEFAULT_PROFILE.name];
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

/** The profile's patches, what the file says its kernel is built with, then those put back; one that the profile already has is not stacked twice. */
export function patchesOf(variant: Variant, test: LitmusTest): Patch[] {
  const profile = parseProfile(variant.profile);
  if (typeof profile === 'string') throw new LitmusError(profile, { line: 0, column: 0 });
  const stack = [...profile.patches, ...configPatches(test, profile)];
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
  return checkVariant(test, variant, patchesOf(variant, test), options, isOptional(variant));
}

interface Run {
  readonly test: LitmusTest;
  readonly patches: readonly Patch[];
  readonly seams: ReadonlySet<string>;
  readonly asks: string;
  readonly report: VariantReport;
}

/**
 * Judges variants and remembers: a variant whose patches change nothing that an earlier one's executions came across
 * has the same executions, and is not explored again.
 */
export class Variants {
  readonly #runs: Run[] = [];
  readonly #several: boolean;

  /** @param several false: only one will be asked for, so there is nothing to remember */
  constructor(several: boolean) {
    this.#several = several;
  }

  judge(test: LitmusTest, variant: Variant, options: CheckOptions): VariantReport {
    if (!this.#several) return runVariant(test, variant, options);
    const patches = patchesOf(variant, test);
    const asks = asksOf(test, variant);
    const same = this.#runs.find(
      (run) =>
        run.test === test &&
        run.asks === asks &&
        [...run.seams].every((name) => chainOf(run.patches, name) === chainOf(patches, name)),
    );
    if (same !== undefined) return relabelled(same.report, variant);
    const seams = new Set<string>();
    const report = checkVariant(test, variant, patches, options, isOptional(variant), (name) =>
      seams.add(name),
    );
    this.#runs.push({ test, patches, seams, asks, report });
    return report;
  }
}

function isOptional(variant: Variant): boolean {
  return variant.profile !== DEFAULT_PROFILE.name;
}

/** What a test wants of a variant: the rules that count, the breaks it expects, and what was put back by hand. */
function asksOf(test: LitmusTest, variant: Variant): string {
  const rules = test.rules.flatMap((r, i) => (holdsFor(r.when, variant) ? [i] : []));
  const expected = test.expectations.flatMap((e, i) => (isAbout(e.when, variant) ? [i] : []));
  return JSON.stringify([rules, expected, variant.patches, isOptional(variant)]);
}

/** The same report under another name: its replay ids are those of the other variant. */
function relabelled(report: VariantReport, variant: Variant): VariantReport {
  const hash = hashOf(report.test, variant);
  const renamed = (id: string): string => {
    const parsed = parseReplayId(id);
    return typeof parsed === 'string' ? id : replayId(hash, parsed.schedule);
  };
  return {
    ...report,
    variant,
    hash,
    outcomes: report.outcomes.map((row) => ({ ...row, replay: renamed(row.replay) })),
    broken: report.broken.map((row) => ({ ...row, replay: renamed(row.replay) })),
    sharedWith: report.sharedWith ?? report.variant,
  };
}

export function compiledFor(test: LitmusTest, variant: Variant): CompiledTest {
  return compileTest(test, variant, overridesOf(patchesOf(variant, test)));
}

/** Everything a test says, checked: what a build of the corpus wants to know. */
export function checkTest(
  test: LitmusTest,
  options: CheckOptions,
  asked: Asked = FILE_DECIDES,
): VariantReport[] {
  const variants = variantsToRun(test, asked);
  const judge = new Variants(variants.length > 1);
  return variants.map((variant) => judge.judge(test, variant, options));
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

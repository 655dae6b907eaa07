/**
 * Seams: the named places where an older kernel, a historical bug or a proposed change differs from 6.18.
 * A seam is a function that can be called as it is; a World may carry an override for it (decision 16).
 *
 *   export const mustWait = seam('userfaultfd.mustWait', function* (ctx, vmf) { … });
 *
 * They stand only where semantics.md section 22 says "chk" or where versions differ. The registry below is filled as
 * modules load and never changes afterwards: it is the list that `faultline patches` and the mutation run read.
 */
import { assert } from '../base/assert.ts';
import { world } from './current.ts';
import type { Architecture } from './versions.ts';

/** The widest function type; each seam keeps its own. */
export type AnyFunction = (...args: never[]) => unknown;
export type Seam<F extends AnyFunction> = F & { readonly seamName: string };

/** What a World holds for a patched seam. */
export type Overrides = ReadonlyMap<string, AnyFunction>;

const registry = new Map<string, { readonly base: AnyFunction; readonly check: string | null }>();

/**
 * Declares a seam.
 * @param name `file.function`
 * @param base today's behaviour
 * @param check for a re-validation ("chk" in semantics.md section 22): what it protects against, in a sentence
 */
export function seam<F extends AnyFunction>(
  name: string,
  base: F,
  check: string | null = null,
): Seam<F> {
  assert(!registry.has(name), `seam ${name} declared twice`);
  registry.set(name, { base, check });
  const call = (...args: never[]): unknown => {
    const { overrides } = world;
    return overrides === null ? base(...args) : (overrides.get(name) ?? base)(...args);
  };
  return Object.assign(call as F, { seamName: name });
}

/** Every seam: its name and, for re-validations, what it protects against. */
export function seams(): readonly { readonly name: string; readonly check: string | null }[] {
  return [...registry].map(([name, { check }]) => ({ name, check }));
}

/** One seam's replacement, given what it replaces (today's, or the previous patch's). */
export interface Override {
  readonly seam: string;
  readonly make: (previous: AnyFunction) => AnyFunction;
  /** True where it only takes something away from the previous answer: then the order of such overrides is no matter. */
  readonly commutes?: boolean;
}

/** A typed override for a patch file. */
export function override<F extends AnyFunction>(
  target: Seam<F>,
  make: (previous: F) => F,
): Override {
  return { seam: target.seamName, make: (previous) => make(previous as F) };
}

/** An override that takes something away from the previous answer, whichever patches came before it. */
export function narrow<F extends AnyFunction>(target: Seam<F>, make: (previous: F) => F): Override {
  return { ...override(target, make), commutes: true };
}

/** A historical bug, an old version's behaviour or a proposed change: one file under patches/. */
export interface Patch {
  readonly name: string;
  /** One sentence: what it puts back or proposes. */
  readonly title: string;
  /** Commit, CVE or mail. */
  readonly reference: string;
  /**
   * Kernel versions that behaved so, like `<6.4` or `>=5.14 <6.4`; `proposed` for a change no kernel has, `none` for
   * what none did. Profiles are derived from it: a patch needs no other entry to count for its versions.
   */
  readonly versions: string;
  /** Stable releases that have the fix although their line lies in `versions`: the profile of the line goes without. */
  readonly fixedIn?: readonly string[];
  /** Where not all architectures behaved so. */
  readonly architectures?: readonly Architecture[];
  readonly overrides: readonly Override[];
  /** Patches on the same seam must say which of them goes first: names that this one goes after. */
  readonly after?: readonly string[];
}

/** A table that tells which seams are called: only those can make two stacks of patches behave differently. */
export class HeardOverrides extends Map<string, AnyFunction> {
  private readonly heard: (seam: string) => void;

  constructor(table: Overrides | null, heard: (seam: string) => void) {
    super();
    // Not through super(entries): that would fill the Map before this field is there.
    this.heard = heard;
    for (const [name, call] of table ?? []) this.set(name, call);
  }

  override get(name: string): AnyFunction | undefined {
    this.heard(name);
    return super.get(name);
  }
}

/**
 * Stacks patches into the table a World holds; null when there is nothing to patch.
 * @returns the table, or a sentence that says why the stack is impossible
 */
export function stackPatches(patches: readonly Patch[]): Overrides | null | string {
  if (patches.length === 0) return null;
  const table = new Map<string, AnyFunction>();
  const by = new Map<string, { readonly patch: string; readonly commutes: boolean }>();
  for (const patch of patches) {
    for (const { seam: name, make, commutes = false } of patch.overrides) {
      const known = registry.get(name);
      if (known === undefined) return `patch ${patch.name} overrides ${name}, which is no seam`;
      const before = by.get(name);
      const ordered = before !== undefined && patch.after?.includes(before.patch) === true;
      if (before !== undefined && !ordered && !(commutes && before.commutes)) {
        return `patches ${before.patch} and ${patch.name} both override ${name}; one must say \`after\``;
      }
      by.set(name, { patch: patch.name, commutes });
      table.set(name, make(table.get(name) ?? known.base));
    }
  }
  return table;
}

/**
 * Brings patches into an order in which each comes after those it names; otherwise the order given stays.
 * @returns the patches, or a sentence that says which of them wait for each other
 */
export function orderPatches(patches: readonly Patch[]): Patch[] | string {
  const names = new Set(patches.map((p) => p.name));
  const waiting = [...patches];
  const done: Patch[] = [];
  const placed = new Set<string>();
  while (waiting.length > 0) {
    const next = waiting.findIndex((p) =>
      (p.after ?? []).every((name) => placed.has(name) || !names.has(name)),
    );
    const [patch] = next < 0 ? [] : waiting.splice(next, 1);
    if (patch === undefined) {
      return `patches ${waiting.map((p) => p.name).join(', ')} each say that they go after another of them`;
    }
    done.push(patch);
    placed.add(patch.name);
  }
  return done;
}

/** Which of the patches decide what a seam does, in order: two stacks that agree on it have the same seam. */
export function chainOf(patches: readonly Patch[], name: string): string {
  const chain = patches.filter((p) => p.overrides.some((o) => o.seam === name));
  return chain.map((p) => p.name).join(' ');
}

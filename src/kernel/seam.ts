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
}

/** A typed override for a patch file. */
export function override<F extends AnyFunction>(
  target: Seam<F>,
  make: (previous: F) => F,
): Override {
  return { seam: target.seamName, make: (previous) => make(previous as F) };
}

/** A historical bug, an old version's behaviour or a proposed change: one file under patches/. */
export interface Patch {
  readonly name: string;
  /** One sentence: what it puts back or proposes. */
  readonly title: string;
  /** Commit, CVE or mail. */
  readonly reference: string;
  /** Kernel versions that behaved so, like `<6.4`; `proposed` for a change no kernel has. */
  readonly versions: string;
  readonly overrides: readonly Override[];
  /** Patches on the same seam must say which of them goes first: names that this one goes after. */
  readonly after?: readonly string[];
}

/**
 * Stacks patches into the table a World holds; null when there is nothing to patch.
 * @returns the table, or a sentence that says why the stack is impossible
 */
export function stackPatches(patches: readonly Patch[]): Overrides | null | string {
  if (patches.length === 0) return null;
  const table = new Map<string, AnyFunction>();
  const by = new Map<string, string>();
  for (const patch of patches) {
    for (const { seam: name, make } of patch.overrides) {
      const known = registry.get(name);
      if (known === undefined) return `patch ${patch.name} overrides ${name}, which is no seam`;
      const before = by.get(name);
      if (before !== undefined && patch.after?.includes(before) !== true) {
        return `patches ${before} and ${patch.name} both override ${name}; one must say \`after\``;
      }
      by.set(name, patch.name);
      table.set(name, make(table.get(name) ?? known.base));
    }
  }
  return table;
}

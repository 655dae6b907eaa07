/** `config soft-dirty`: the kernel of a file is built with something that not every kernel is built with. */
import { CONFIGS, patchByName } from '../kernel/patches/table.ts';
import { type Profile, parseProfile } from '../kernel/profiles.ts';
import type { Patch } from '../kernel/seam.ts';
import type { LitmusTest, SetupStatement, Statement } from './ast.ts';
import { didYouMean, LitmusError } from './error.ts';
import type { Code } from './statements.ts';
import type { Variant } from './versions.ts';

export function isConfig(s: Statement): boolean {
  return s.kind === 'call' && s.verb === 'config';
}

/** As a step of set-up: fails on an architecture whose kernels are never built so, which makes the file one it cannot run. */
export function configCode(s: SetupStatement, variant: Variant): Code {
  const profile = parseProfile(variant.profile);
  const names =
    s.kind === 'call' ? s.operands.flatMap((o) => (o.kind === 'word' ? o.name : [])) : [];
  const lacking = names.find((name) => {
    const only = patchByName(name)?.architectures;
    return typeof profile !== 'string' && only?.includes(profile.architecture) === false;
  });
  return function* () {
    if (lacking !== undefined) {
      throw new LitmusError(`no kernel of ${variant.profile} is built with ${lacking}`, s.pos);
    }
    return 'on';
  };
}

/**
 * The options a file asks for, as patches; an architecture that does not have one goes without.
 * @throws LitmusError
 */
export function configPatches(test: LitmusTest, profile: Profile): Patch[] {
  const patches: Patch[] = [];
  for (const s of test.setup) {
    if (s.kind !== 'call' || s.verb !== 'config') continue;
    for (const operand of s.operands) {
      const name = operand.kind === 'word' ? operand.name : '';
      const patch = CONFIGS.includes(name) ? patchByName(name) : null;
      if (patch === null) {
        const hint = didYouMean(name, CONFIGS, `there is: ${CONFIGS.join(', ')}`);
        throw new LitmusError(`no kernel is built with ${name}`, operand.pos, hint);
      }
      if (patch.architectures?.includes(profile.architecture) ?? true) patches.push(patch);
    }
  }
  return patches;
}

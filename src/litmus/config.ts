/** `config soft-dirty`: the kernel of a file is built with something that not every kernel is built with. */
import { CONFIGS, patchByName } from '../kernel/patches/table.ts';
import type { Profile } from '../kernel/profiles.ts';
import type { Patch } from '../kernel/seam.ts';
import type { LitmusTest, Statement } from './ast.ts';
import { didYouMean, LitmusError } from './error.ts';

export function isConfig(s: Statement): boolean {
  return s.kind === 'call' && s.verb === 'config';
}

/**
 * The options a file asks for, as patches; an architecture that does not have one is built without it.
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

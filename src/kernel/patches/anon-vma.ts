/** anon_vma: what once decided whether one may be used again. */
import { reusable } from '../mm/anon-vma.ts';
import { override, type Patch } from '../seam.ts';

/** Children and VMAs were counted in one number, so that one VMA alone looked like one child alone. */
export const anonVmaDegree: Patch = {
  name: 'anon-vma-degree',
  title: 'fork takes an inherited anon_vma for the child’s own although another mapping has it',
  reference: '2555283eb40d, CVE-2022-42703',
  versions: '<6.0',
  fixedIn: ['5.10.141', '5.15.65'],
  overrides: [
    override(
      reusable,
      () => (anonVma, src) =>
        anonVma !== src.anonVma && anonVma.numChildren + anonVma.numActiveVmas < 2,
    ),
  ],
};

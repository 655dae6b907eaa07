import { mergeKeepsUffdWp } from '../mm/ksm.ts';
import { override, type Patch } from '../seam.ts';

/** What would keep a promise that 6.18 breaks (docs/findings.md). */
export const ksmKeepsUffdWp: Patch = {
  name: 'ksm-keeps-uffd-wp',
  title: 'an entry that comes to lead to a merged page stays write-protected for userfaultfd',
  reference: 'docs/findings.md',
  versions: 'proposed',
  overrides: [override(mergeKeepsUffdWp, () => () => true)],
};

import { unregisterOwnsVma } from '../fs/userfaultfd-register.ts';
import { override, type Patch } from '../seam.ts';

export const unregisterAnyCtx: Patch = {
  name: 'unregister-any-ctx',
  title: 'UFFDIO_UNREGISTER takes mappings away from any userfaultfd, not only from its own',
  reference: 'semantics.md section 9.5',
  versions: '<6.18',
  overrides: [override(unregisterOwnsVma, () => () => true)],
};

/** Write protection and stale TLB entries: the flush itself, and the copy that must not overtake it. */
import { noFlushPending } from '../mm/memory.ts';
import { flushProtection } from '../mm/mprotect.ts';
import { override, type Patch } from '../seam.ts';

export const wpNoFlush: Patch = {
  name: 'wp-no-flush',
  title: 'write protection changes page tables and leaves the TLBs as they are',
  reference: 'instructive: no kernel did this',
  versions: 'none',
  overrides: [override(flushProtection, () => function* () {})],
};

export const cowNoFlushPending: Patch = {
  name: 'cow-no-flush-pending',
  title:
    'a write fault copies a page while another hart can still write it through a stale TLB entry',
  reference: '6ce64428d620',
  versions: '<5.12',
  fixedIn: ['5.10.24'],
  overrides: [override(noFlushPending, () => () => true)],
};

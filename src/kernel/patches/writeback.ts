/** Writeback that loses track of stores through shared mappings. */

import { contentCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { clearDirtyForIo, flushCleaned, folioMkclean } from '../mm/page-writeback.ts';
import { override, type Patch } from '../seam.ts';

/** What goes to the disk is copied first, and what is stored between the copy and the cleaning is forgotten. */
export const copiedBeforeClean: Patch = {
  name: 'copied-before-clean',
  title:
    'a page is copied for the disk while mappings may still write it, and called clean afterwards',
  reference: '7658cc289288',
  versions: 'none',
  overrides: [
    override(
      clearDirtyForIo,
      (previous) =>
        function* (mapping, pfn) {
          const { disk } = mapping;
          yield* access('write to disk', contentCell(pfn), READ);
          disk?.write(machine.frames.indexOf(pfn), pfn);
          yield* previous(mapping, pfn);
          return false;
        },
    ),
  ],
};

/** Shared mappings stay writable while their page is written out, as before 2.6.19: later stores tell nobody. */
export const noMkclean: Patch = {
  name: 'no-mkclean',
  title: 'writing a page back leaves the entries that map it writable and dirty',
  reference: 'd08b3851da41',
  versions: 'none',
  overrides: [
    override(
      folioMkclean,
      () =>
        function* () {
          return false;
        },
    ),
  ],
};

export const mkcleanNoFlush: Patch = {
  name: 'mkclean-no-flush',
  title:
    'entries are cleaned for writeback, and TLBs go on writing through the right they remember',
  reference: 'semantics.md section 4',
  versions: 'none',
  overrides: [override(flushCleaned, () => () => undefined)],
};

export const WRITEBACK_PATCHES: readonly Patch[] = [copiedBeforeClean, noMkclean, mkcleanNoFlush];

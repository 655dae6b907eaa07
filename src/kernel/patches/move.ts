/** UFFDIO_MOVE: historical bugs, a proposed fix, and what the UFFDIO_REMAP of September 2023 did differently. */

import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { access } from '../../sched/access.ts';
import { READ } from '../../sched/cell.ts';
import { lockRead } from '../../sched/lock.ts';
import { MOVE_ERRNOS } from '../fs/userfaultfd-errnos.ts';
import { sourceMm } from '../fs/userfaultfd-move.ts';
import { vmaEndRead } from '../mm/mmap-lock.ts';
import {
  mmuNotifierInvalidateRangeStart,
  mmuNotifierInvalidateRangeStartNonblock,
} from '../mm/mmu-notifier.ts';
import { looksForSwapFolio, noNewSwapFolio, swapFolioSame } from '../mm/move-swap.ts';
import {
  dropsPinEarly,
  movable,
  notPinned,
  srcSameAfterLock,
  stillMovable,
  tableGone,
  unmapsBeforeBlocking,
} from '../mm/userfaultfd-move.ts';
import {
  lockSrc,
  locksAnonVma,
  notifyBeforeMove,
  notifyInsideMove,
} from '../mm/userfaultfd-move-lock.ts';
import { keepsUffdWp, marksMovedDirty } from '../mm/userfaultfd-moved-pte.ts';
import { override, type Patch } from '../seam.ts';

const REMAP = '[PATCH 2/3] userfaultfd: UFFDIO_REMAP uABI, 2023-09-14';

export const moveBlocksOnSrc: Patch = {
  name: 'move-blocks-on-src',
  title: 'UFFDIO_MOVE waits for the lock of the source VMA while it holds that of the destination',
  reference: 'review of the VMA locks for userfaultfd, 6.9-rc',
  versions: 'none',
  overrides: [
    override(
      lockSrc,
      () =>
        function* (mm, address) {
          yield* access('find vma', mm.treeCell, READ);
          const vma = mm.vmas.find(address);
          if (vma === null) return null;
          yield* lockRead(vma.lock);
          if (!vma.detached && vma.contains(address)) return vma;
          vmaEndRead(vma);
          return null;
        },
    ),
  ],
};

export const moveKeepsUffdWp: Patch = {
  name: 'move-keeps-uffd-wp',
  title: 'UFFDIO_MOVE carries write protection along with the page',
  reference: '20260409152822.1073083-1-gourry',
  versions: 'proposed',
  overrides: [override(keepsUffdWp, () => () => true)],
};

export const moveUnmapsCopies: Patch = {
  name: 'move-unmaps-copies',
  title: 'UFFDIO_MOVE unmaps copies of its page-table pointers and sleeps inside the RCU section',
  reference: '927e926d72d9',
  versions: '>=6.8 <6.14',
  overrides: [override(unmapsBeforeBlocking, () => () => false)],
};

export const remapNoRecheck: Patch = {
  name: 'remap-no-recheck',
  title: 'after waiting for the page lock the source may hold another page, and nobody compares',
  reference: REMAP,
  versions: 'proposed',
  overrides: [override(srcSameAfterLock, () => () => true)],
};

export const remapEarlyPut: Patch = {
  name: 'remap-early-put',
  title: 'the reference is dropped under the page-table locks and the page is unlocked after them',
  reference: REMAP,
  versions: 'proposed',
  overrides: [override(dropsPinEarly, () => () => true)],
};

export const remapEstimatedSharers: Patch = {
  name: 'remap-estimated-sharers',
  title: 'a page moves when it seems to be mapped once, whether or not it is exclusive',
  reference: REMAP,
  versions: 'proposed',
  overrides: [
    override(movable, () => (pfn) => machine.frames.mapcount(pfn) === 1),
    override(stillMovable, () => (pfn) => machine.frames.mapcount(pfn) === 1),
  ],
};

export const moveTellsWithoutWaiting: Patch = {
  name: 'move-tells-without-waiting',
  title: 'UFFDIO_MOVE tells MMU notifiers with page tables mapped, and waits for nobody',
  reference: REMAP,
  versions: 'proposed',
  overrides: [
    override(
      notifyBeforeMove,
      () =>
        function* () {
          return null;
        },
    ),
    override(
      notifyInsideMove,
      () =>
        function* (mm, src) {
          const end = src + PAGE_SIZE;
          const range = yield* mmuNotifierInvalidateRangeStartNonblock(mm, 'clear', src, end);
          assert(typeof range !== 'number', 'a listener would have to wait');
          return range;
        },
    ),
  ],
};

export const moveTellsInAtomic: Patch = {
  name: 'move-tells-in-atomic',
  title: 'UFFDIO_MOVE tells MMU notifiers, and waits for them, with page tables mapped under RCU',
  reference: REMAP,
  versions: 'proposed',
  overrides: [
    override(
      notifyBeforeMove,
      () =>
        function* () {
          return null;
        },
    ),
    override(
      notifyInsideMove,
      () => (mm, src) => mmuNotifierInvalidateRangeStart(mm, 'clear', src, src + PAGE_SIZE),
    ),
  ],
};

export const remapIgnoresPins: Patch = {
  name: 'remap-ignores-pins',
  title: 'a page moves although a device has it',
  reference: REMAP,
  versions: 'proposed',
  overrides: [override(notPinned, () => () => true)],
};

export const remapAcrossProcesses: Patch = {
  name: 'remap-across-processes',
  title: 'the source of UFFDIO_MOVE is in the address space of whoever calls',
  reference: REMAP,
  versions: 'proposed',
  overrides: [override(sourceMm, () => (task) => task.mm)],
};

export const remapMarksDirty: Patch = {
  name: 'remap-marks-dirty',
  title: 'a page that moves counts as written, whether or not it was',
  reference: `${REMAP}; >=6.8 as merged`,
  versions: 'proposed',
  overrides: [override(marksMovedDirty, () => () => true)],
};

export const remapHugePageIsFault: Patch = {
  name: 'remap-huge-page-is-fault',
  title: 'a huge page that appears where a page is about to move is a bad address to user space',
  reference: REMAP,
  versions: 'proposed',
  overrides: [override(tableGone, () => () => MOVE_ERRNOS.hugeAppeared)],
};

export const moveNoAnonVmaLock: Patch = {
  name: 'move-no-anon-vma-lock',
  title: 'UFFDIO_MOVE leaves walkers in that hold neither the page lock nor that of the anon_vma',
  reference: `${REMAP}: the comment on folio_referenced`,
  versions: 'proposed',
  overrides: [override(locksAnonVma, () => () => false)],
};

/** All of it at once; each part has a patch of its own that shows what the review said of it. */
export const uffdioRemap: Patch = {
  name: 'uffdio-remap',
  title: 'UFFDIO_REMAP as it was posted in September 2023, in the place of UFFDIO_MOVE',
  reference: REMAP,
  versions: 'proposed',
  overrides: [
    remapNoRecheck,
    remapEarlyPut,
    remapEstimatedSharers,
    remapAcrossProcesses,
    remapMarksDirty,
    moveTellsWithoutWaiting,
    remapIgnoresPins,
    remapHugePageIsFault,
  ].flatMap((part) => part.overrides),
};

export const moveIgnoresSwapCache: Patch = {
  name: 'move-ignores-swap-cache',
  title:
    'UFFDIO_MOVE moves the entry of a swapped page and leaves the folio that the swap cache has of it in its old place',
  reference: 'c50f8e6053b0',
  versions: '>=6.8 <6.14',
  overrides: [
    override(looksForSwapFolio, () => () => false),
    override(noNewSwapFolio, () => () => true),
  ],
};

export const moveTrustsSwapFolio: Patch = {
  name: 'move-trusts-swap-folio',
  title:
    'UFFDIO_MOVE does not look again whether what it found in the swap cache, or did not find, is still so',
  reference: '0ea148a79919, CVE-2025-38242',
  versions: '>=6.14 <6.16',
  overrides: [
    override(swapFolioSame, () => () => true),
    override(noNewSwapFolio, () => () => true),
  ],
};

/** All of them, for the table. */
export const MOVE_PATCHES: readonly Patch[] = [
  moveBlocksOnSrc,
  moveKeepsUffdWp,
  moveIgnoresSwapCache,
  moveTrustsSwapFolio,
  moveUnmapsCopies,
  remapNoRecheck,
  remapEarlyPut,
  remapEstimatedSharers,
  remapAcrossProcesses,
  remapMarksDirty,
  moveTellsWithoutWaiting,
  moveTellsInAtomic,
  remapIgnoresPins,
  remapHugePageIsFault,
  uffdioRemap,
  moveNoAnonVmaLock,
];

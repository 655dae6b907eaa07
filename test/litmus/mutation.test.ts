/**
 * Goal: every re-validation that the kernel makes is needed. Each is removed in turn, and the litmus file named here
 * must notice; the ones that no file can notice are argued in docs/mutations.md.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { mutationPatches } from '../../src/kernel/patches/table.ts';
import { DEFAULT_OPTIONS } from '../../src/litmus/check.ts';
import { parseLitmus } from '../../src/litmus/parse.ts';
import { runVariant } from '../../src/litmus/suite.ts';

const FINDERS: Readonly<Record<string, string>> = {
  'without-swap.deviceStillOn': 'swapoff-vs-fault',
  'without-swapoff.slotSame': 'swapoff-vs-fault',
  'without-mmap-lock.vmaStillThere': 'munmap-vs-fault',
  'without-userfaultfd.mustWait': 'fill-wakes',
  'without-memory.slotSameOnInstall': 'two-writers',
  'without-memory.mayFillMissing': 'fill-wakes',
  'without-memory.slotSameBeforeWp': 'fork-two-writers',
  'without-memory.slotSameAfterCopy': 'protect-vs-cow',
  'without-mprotect.flushProtection': 'stale-tlb',
  'without-mfill.dstValid': 'copy-not-registered',
  'without-mfill.dstStillValid': 'copy-vs-remap',
  'without-mfill.notChanging': 'copy-vs-unmap-event',
  'without-mfill.stillNotChanging': 'slow-copy-vs-unmap-event',
  'without-mfill.slotFree': 'first-touch-vs-copy',
  'without-mwriteprotect.notChanging': 'wp-vs-unmap-event',
  'without-userfaultfd.fillNotChanging': 'changing-comes-first',
  'without-userfaultfd.wpNotChanging': 'changing-comes-first',
  'without-madvise.vmaAfterRemove': 'copy-vs-dontneed',
  'without-zap.tableStillThere': 'table-reclaim-twice',
  'without-zap.tableStillEmpty': 'table-reclaim',
  'without-guard.slotFree': 'guard-vs-fault',
  'without-pagemap-scan.flush': 'write-tracking',
  'without-mremap.flushMoved': 'h26-mremap-flush',
  'without-filemap.folioStillCached': 'punch-vs-fault',
  'without-shmem.stillWithinSize': 'truncate-vs-fault',
  'without-mfill.withinFile': 'copy-vs-truncate',
  'without-userfaultfd.moveNotChanging': 'move-changing-comes-first',
  'without-move.notChanging': 'move-vs-unmap-event',
  'without-move.areasValid': 'move-vs-events',
  'without-move.srcSameOnPin': 'move-vs-dontneed',
  'without-move.srcSameAfterLock': 's2-3-remap-moves-another-page',
  'without-move.slotsSame': 'move-vs-copy',
  'without-move.tablesSame': 'move-vs-table-reclaim',
  'without-swap.folioStillSwapped': 'swap-in-vs-reuse',
  'without-swap.slotSameOnSwapIn': 'swap-in-twice',
  'without-swap.slotStillCounted': 'swap-in-vs-reuse',
  'without-move.noNewSwapFolio': 'h2-move-vs-slot-reuse',
  'without-memory.slotSameAfterMkwrite': 'truncate-vs-mkwrite',
  'without-ksm.entrySame': 'ksm-vs-write',
  'without-ksm.nobodyElse': 'poke-vs-ksm',
  'without-hugetlb.split': 'h12-hugetlb-split-vs-fault',
  'without-hugetlb.slotSameOnInstall': 'hugetlb-first-touch-vs-wp',
  'without-hugetlb.slotSameBeforeWp': 'hugetlb-dontneed-vs-cow',
  'without-hugetlb.slotSameAfterCopy': 'hugetlb-dontneed-vs-cow',
  'without-hugetlb.withinFile': 'hugetlb-truncate-then-touch',
  'without-mfill.hugeSlotFree': 'hugetlb-continue-twice',
  'without-oom.stableAddressSpace': 'oom-reaper-vs-write',
  'without-hugetlb.restoreReserveOnError': 'hugetlb-copy-fails',
  'without-shmem.slotStillThere': 'shmem-swap-in-vs-punch',
  'without-shmem.folioStillSwapped': 'shmem-swap-in-vs-reuse',
  'without-vmscan.nobodyElse': 'poke-vs-pageout',
  'without-migrate.nobodyElse': 'poke-vs-migrate',
  'without-move.notPinned': 's2-5-remap-moves-pinned-page',
  'without-gup-fast.pteSameAfterRef': 'gup-fast-vs-dontneed',
  'without-kvm.mmuStillValid': 'kvm-fault-vs-dontneed',
  'without-kvm.cacheStillValid': 'kvm-cache-vs-dontneed',
  'without-kvm.cacheValid': 'kvm-cache-use-vs-dontneed',
  'without-khugepaged.aloneInMappings': 'pinned-vs-collapse',
  'without-khugepaged.cacheAlone': 'poke-vs-collapse-shmem',
  'without-khugepaged.stillRetractable': 'h24-retract-vs-cow',
  'without-huge-memory.pmdSameOnInstall': 'huge-fault-vs-fault',
  'without-huge-memory.pmdSameBeforeWp': 'huge-zero-two-writers',
};

const ARGUED = argued();

/** Headings of docs/mutations.md are the names of what it argues. */
function argued(): Set<string> {
  const text = readFileSync('docs/mutations.md', 'utf8');
  return new Set([...text.matchAll(/^### (without-\S+)$/gm)].map(([, name]) => name ?? ''));
}

const patches = mutationPatches();

test('every re-validation has a file that needs it, or an argument why none can', () => {
  const uncovered = patches.map((p) => p.name).filter((n) => !(n in FINDERS) && !ARGUED.has(n));
  expect(uncovered).toEqual([]);
});

test('nothing is listed that is no re-validation', () => {
  const names = new Set(patches.map((p) => p.name));
  expect([...Object.keys(FINDERS), ...ARGUED].filter((n) => !names.has(n))).toEqual([]);
});

test.each(Object.entries(FINDERS).filter(([patch]) => patches.some((p) => p.name === patch)))(
  '%s is noticed by %s',
  (patch, file) => {
    const text = readFileSync(`litmus/${file}.flt`, 'utf8');
    const variant = { profile: '6.18', patches: [patch] };
    // Most are noticed among the first schedules; only what is not costs a long search.
    const verdicts = [2000, 20_000].map(
      (max) => () => runVariant(parseLitmus(text), variant, { ...DEFAULT_OPTIONS, max }).verdict,
    );
    const noticed = verdicts.some((verdict) => ['broken', 'expected'].includes(verdict()));
    expect(noticed).toBe(true);
  },
);

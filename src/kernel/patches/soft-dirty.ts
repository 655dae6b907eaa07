/** Soft-dirty: kernels that are built with it, and what it once missed. */
import { PTE_SOFT_DIRTY, pteSoftDirty } from '../../machine/pte.ts';
import { flushCleared } from '../fs/proc/clear-refs.ts';
import { writeMarksSoftDirty } from '../mm/mprotect.ts';
import { softDirtyBit } from '../mm/soft-dirty.ts';
import { has, VM_MAYBE_GUARD, VM_SHARED, VM_SOFTDIRTY } from '../mm/vm-flags.ts';
import { stickyOnMerge } from '../mm/vma.ts';
import { override, type Patch } from '../seam.ts';

export const softDirty: Patch = {
  name: 'soft-dirty',
  title: 'the kernel is built with CONFIG_MEM_SOFT_DIRTY: `config soft-dirty` of a litmus file',
  reference: 'Documentation/admin-guide/mm/soft-dirty.rst',
  versions: 'none',
  architectures: ['x86-64'],
  overrides: [override(softDirtyBit, () => () => PTE_SOFT_DIRTY)],
};

/** Where first writes were to be noticed it gave the right to write back, and where not it kept it. */
export const mprotectSkipsSoftDirty: Patch = {
  name: 'mprotect-skips-soft-dirty',
  title:
    'mprotect gives dirty shared pages the right to write back although soft-dirty waits for it',
  reference: '76aefad628aa',
  versions: '<6.0',
  overrides: [
    override(
      writeMarksSoftDirty,
      () => (flags, pte) =>
        softDirtyBit() !== 0 &&
        has(flags, VM_SHARED) &&
        has(flags, VM_SOFTDIRTY) &&
        !pteSoftDirty(pte),
    ),
  ],
};

export const clearRefsNoFlush: Patch = {
  name: 'clear-refs-no-flush',
  title: 'clear_refs takes the right to write from page tables and leaves it in TLBs',
  reference: '912efa17e512',
  versions: '>=5.6 <5.11',
  overrides: [override(flushCleared, () => function* () {})],
};

export const mergeForgetsSoftDirty: Patch = {
  name: 'merge-forgets-soft-dirty',
  title: 'a new mapping that joins an older one by mprotect or madvise no longer counts as written',
  reference: 'mm: propagate VM_SOFTDIRTY on merge, 2025-11',
  versions: '<6.18',
  overrides: [override(stickyOnMerge, () => () => VM_MAYBE_GUARD)],
};

/** All of them, for the table. */
export const SOFT_DIRTY_PATCHES: readonly Patch[] = [
  softDirty,
  mprotectSkipsSoftDirty,
  clearRefsNoFlush,
  mergeForgetsSoftDirty,
];

/** Splitting, merging and changing VMAs. @linux mm/vma.c */

import type { Steps } from '../../sched/op.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import type { UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import type { VmFlags } from './vm-flags.ts';

/** What is to become of a range: fields that are absent stay. */
export interface VmaChange {
  readonly flags?: VmFlags;
  /** A context, or null to unregister. */
  readonly uffd?: UserfaultfdCtx | null;
}

/**
 * Gives [start, end) of a VMA new attributes: merges it with neighbours that then are alike, or splits it off.
 * @returns the VMA that covers the range now, write-locked, or a negative errno
 * Requires: mmap_lock for writing. @linux mm/vma.c vma_modify
 */
export function* vmaModify(
  _vma: Vma,
  _start: Vaddr,
  _end: Vaddr,
  _change: VmaChange,
): Steps<Vma | number> {
  return -ENOMEM;
}

/** Changing what page-table entries allow: mprotect, and userfaultfd's write protection. @linux mm/mprotect.c */
import type { Steps } from '../../sched/op.ts';
import type { Vaddr, Vma } from './mm-types.ts';
import type { VmFlags } from './vm-flags.ts';

/** What changeProtection is to do. */
export interface ProtectionChange {
  /** mprotect: the VMA's new flags. */
  readonly newFlags?: VmFlags;
  /** Set the uffd-wp bit. @linux MM_CP_UFFD_WP */
  readonly uffdWp?: boolean;
  /** Clear the uffd-wp bit. @linux MM_CP_UFFD_WP_RESOLVE */
  readonly uffdWpResolve?: boolean;
  /** With uffdWp on anonymous memory: whether empty slots get a marker (WP_UNPOPULATED). */
  readonly markers?: boolean;
}

/** @returns pages changed, or a negative errno */
export function* changeProtection(
  _vma: Vma,
  _start: Vaddr,
  _end: Vaddr,
  _change: ProtectionChange,
): Steps<number> {
  return 0;
}

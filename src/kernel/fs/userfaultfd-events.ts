/**
 * Events: changes of an address space that its monitor hears about before it may fill pages again.
 * @linux fs/userfaultfd.c userfaultfd_event_wait_completion and its callers; semantics.md section 9.12
 */
import type { Steps } from '../../sched/op.ts';
import type { Mm, Vaddr, Vma } from '../mm/mm-types.ts';
import type { UserfaultfdCtx } from './userfaultfd-ctx.ts';

/** Contexts that a fork duplicates, one entry per context of the parent. */
export interface UserfaultfdForkCtx {
  readonly orig: UserfaultfdCtx;
  readonly fresh: UserfaultfdCtx;
}
/** Contexts that hear of an unmapped range once the mmap lock is dropped. */
export interface UserfaultfdUnmapCtx {
  readonly ctx: UserfaultfdCtx;
  readonly start: Vaddr;
  readonly end: Vaddr;
}

/**
 * Announces that [start, end) of a VMA is about to lose its pages.
 * @returns true when nobody listens and mmap_lock is still held; false when mmap_lock was dropped to wait: the caller
 *   takes it again and looks the VMA up again
 * Requires: mmap_lock for reading. @linux fs/userfaultfd.c userfaultfd_remove
 */
export function* userfaultfdRemove(_vma: Vma, _start: Vaddr, _end: Vaddr): Steps<boolean> {
  return true;
}

/**
 * Notes that a VMA's context will hear of the unmapping of [start, end), once per context and range.
 * @returns 0 or -ENOMEM
 * Requires: mmap_lock for writing. @linux fs/userfaultfd.c userfaultfd_unmap_prep
 */
export function* userfaultfdUnmapPrep(
  _vma: Vma,
  _start: Vaddr,
  _end: Vaddr,
  _list: UserfaultfdUnmapCtx[],
): Steps<number> {
  return 0;
}

/**
 * Delivers the UNMAP events of `list` one after another, each waiting until it is read.
 * Requires: no lock. @linux fs/userfaultfd.c userfaultfd_unmap_complete
 */
export function* userfaultfdUnmapComplete(_mm: Mm, _list: UserfaultfdUnmapCtx[]): Steps<void> {}

/**
 * Gives a VMA that fork has just copied (uffd and VM_UFFD_* still as the parent's) its own context, or takes it away
 * when the parent's context did not ask for EVENT_FORK.
 * @returns 0 or -ENOMEM
 * Requires: mmap_lock of both, for writing. @linux fs/userfaultfd.c dup_userfaultfd
 */
export function* dupUserfaultfd(
  _oldVma: Vma,
  _newVma: Vma,
  _list: UserfaultfdForkCtx[],
): Steps<number> {
  return 0;
}

/** Delivers the FORK events. Requires: no lock. @linux fs/userfaultfd.c dup_userfaultfd_complete */
export function* dupUserfaultfdComplete(_list: UserfaultfdForkCtx[]): Steps<void> {}

/** Takes back what dupUserfaultfd did, for a fork that failed. @linux fs/userfaultfd.c dup_userfaultfd_fail */
export function dupUserfaultfdFail(_list: UserfaultfdForkCtx[]): void {}

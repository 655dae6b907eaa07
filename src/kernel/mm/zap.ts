/** Taking pages out of page tables. @linux mm/memory.c zap_pte_range, mm/mmu_gather.c */
import type { Steps } from '../../sched/op.ts';
import type { Vaddr, Vma } from './mm-types.ts';

export interface ZapDetails {
  /** Forget write-protection too (munmap, exit). @linux ZAP_FLAG_DROP_MARKER */
  readonly dropMarker: boolean;
  /** Also private copies of file pages; false only for hole punching. Default true. */
  readonly evenCows?: boolean;
}

/** Requires: mmap_lock or the VMA lock, for reading. */
export function* zapPageRange(
  _vma: Vma,
  _start: Vaddr,
  _end: Vaddr,
  _details: ZapDetails,
): Steps<void> {}

/**
 * What a VM does when entries of its address space change (semantics.md section 22, NOTIFIER):
 *
 *   start: count it | caches of single pages: not valid, and vCPUs that use one leave guest mode | mmu_lock: in progress,
 *          SPTEs of the range gone, TLBs of vCPUs flushed
 *   end:   mmu_lock: one more invalidation has been, one less is in progress | count it
 *
 * @linux virt/kvm/kvm_main.c kvm_mmu_notifier_invalidate_range_start, virt/kvm/pfncache.c gfn_to_pfn_cache_invalidate_start
 */
import { PAGE_SIZE } from '../../../machine/geometry.ts';
import { TLB_W, tlbPfn } from '../../../machine/tlb.ts';
import { access, until } from '../../../sched/access.ts';
import { ADD, READ, WRITE } from '../../../sched/cell.ts';
import { sched } from '../../../sched/current.ts';
import { lock, unlock } from '../../../sched/lock.ts';
import type { Steps } from '../../../sched/op.ts';
import type { Vaddr } from '../../mm/mm-types.ts';
import type { MmuNotifier, MmuNotifierRange, SecondaryTranslation } from '../../mm/mmu-notifier.ts';
import type { Kvm, Vcpu } from './kvm.ts';

export class KvmMmuNotifier implements MmuNotifier {
  readonly kvm: Kvm;

  constructor(kvm: Kvm) {
    this.kvm = kvm;
  }

  *invalidateRangeStart(range: MmuNotifierRange): Steps<number> {
    const { kvm } = this;
    if (sched.wants()) yield* access('invalidate start', kvm.activeCell, ADD);
    sched.touch(kvm.activeCell, ADD);
    kvm.activeInvalidates++;
    yield* invalidateCaches(kvm, range);
    yield* lock(kvm.mmuLock);
    mmuInvalidateBegin(kvm, range.start, range.end);
    unmapRange(kvm, range.start, range.end);
    unlock(kvm.mmuLock);
    return 0;
  }

  *invalidateRangeEnd(): Steps<void> {
    const { kvm } = this;
    yield* lock(kvm.mmuLock);
    sched.touch(kvm.seqCell, WRITE);
    kvm.invalidateSeq++;
    kvm.invalidateInProgress--;
    unlock(kvm.mmuLock);
    if (sched.wants()) yield* access('invalidate end', kvm.activeCell, ADD);
    sched.touch(kvm.activeCell, ADD);
    kvm.activeInvalidates--;
  }

  /** @linux kvm_mmu_notifier_release, kvm_arch_flush_shadow_all */
  *release(): Steps<void> {
    const { kvm } = this;
    yield* lock(kvm.mmuLock);
    unmapRange(kvm, 0, Number.POSITIVE_INFINITY);
    unlock(kvm.mmuLock);
    for (const gpc of kvm.gpcs) gpc.valid = false;
  }

  *translations(): Generator<SecondaryTranslation> {
    const { kvm } = this;
    for (const [gfn, { pfn, write }] of kvm.sptes) {
      yield { holder: `a shadow entry of ${kvm.name}`, address: kvm.hvaOf(gfn), pfn, write };
    }
    for (const vcpu of kvm.vcpus) {
      for (const [gfn, word] of vcpu.tlb.entries()) {
        const holder = `the TLB of vCPU ${vcpu.id} of ${kvm.name}`;
        const write = (word & TLB_W) !== 0;
        yield { holder, address: kvm.hvaOf(gfn), pfn: tlbPfn(word), write };
      }
      const { using } = vcpu;
      if (using === null) continue;
      const holder = `the guest on vCPU ${vcpu.id} of ${kvm.name}, through ${using.name}`;
      yield { holder, address: using.hva, pfn: vcpu.usingPfn, write: true };
    }
    for (const gpc of kvm.gpcs) {
      if (gpc.valid) yield { holder: gpc.name, address: gpc.hva, pfn: gpc.pfn, write: true };
    }
  }
}

/** Requires: mmu_lock. @linux kvm_mmu_invalidate_begin, kvm_mmu_invalidate_range_add */
function mmuInvalidateBegin(kvm: Kvm, start: Vaddr, end: Vaddr): void {
  sched.touch(kvm.seqCell, WRITE);
  kvm.invalidateInProgress++;
  if (kvm.invalidateInProgress === 1) {
    kvm.rangeStart = start;
    kvm.rangeEnd = end;
    return;
  }
  // Several at once: one range that covers all of them, until none is left.
  kvm.rangeStart = Math.min(kvm.rangeStart, start);
  kvm.rangeEnd = Math.max(kvm.rangeEnd, end);
}

/** Shadow entries go, and no vCPU remembers them. Requires: mmu_lock. @linux kvm_unmap_gfn_range, kvm_flush_remote_tlbs */
function unmapRange(kvm: Kvm, start: Vaddr, end: Vaddr): void {
  for (const slot of kvm.slots) {
    for (let page = 0; page < slot.pages; page++) {
      const hva = slot.hva + page * PAGE_SIZE;
      if (hva + PAGE_SIZE <= start || hva >= end) continue;
      const gfn = slot.gfn + page;
      sched.touch(kvm.spteCell(gfn), WRITE);
      kvm.sptes.delete(gfn);
      for (const vcpu of kvm.vcpus) {
        sched.touch(vcpu.tlbCell(gfn), WRITE);
        vcpu.tlb.flush(gfn, gfn + 1);
      }
    }
  }
}

/**
 * Caches of single pages in the range stop being valid. A vCPU whose guest uses such a page directly is told to leave guest
 * mode; only where the caller may sleep does anybody wait until it has.
 */
function* invalidateCaches(kvm: Kvm, range: MmuNotifierRange): Steps<void> {
  for (const gpc of kvm.gpcs) {
    if (gpc.hva < range.start || gpc.hva >= range.end) continue;
    yield* lock(gpc.lock);
    sched.touch(gpc.cell, WRITE);
    gpc.valid = false;
    unlock(gpc.lock);
    if (!range.blockable) continue;
    for (const vcpu of kvm.vcpus) yield* untilOutsideGuest(vcpu, () => vcpu.using === gpc);
  }
}

/** Linux sends an interrupt and waits for the answer. @linux kvm_make_vcpus_request_mask, KVM_REQUEST_WAIT */
function* untilOutsideGuest(vcpu: Vcpu, inside: () => boolean): Steps<void> {
  yield* until(
    'kick vcpu',
    vcpu.modeCell,
    READ,
    () => !inside(),
    `vCPU ${vcpu.id} to leave guest mode`,
  );
}

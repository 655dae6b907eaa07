/**
 * Guest memory accesses: the vCPU's TLB, then the shadow entries, then a fault that finds the page in user memory
 * (semantics.md section 22, KVM fault):
 *
 *   read the sequence | find the page: may wait, userfaultfd included | mmu_lock: nothing invalidated since? install
 *
 * The page is not held: what keeps it is that whoever takes it away says so first.
 *
 * Differs from Linux: a read fault maps the page for reading only; Linux also looks whether it could be written.
 *
 * @linux virt/kvm/kvm_main.c hva_to_pfn, arch/x86/kvm/mmu/mmu.c kvm_mmu_faultin_pfn
 */
import { contentCell } from '../../../machine/cells.ts';
import { machine } from '../../../machine/current.ts';
import type { Pfn } from '../../../machine/pte.ts';
import { TLB_R, TLB_W, tlbPfn } from '../../../machine/tlb.ts';
import { access, until } from '../../../sched/access.ts';
import { READ, WRITE } from '../../../sched/cell.ts';
import { sched } from '../../../sched/current.ts';
import { lock, unlock } from '../../../sched/lock.ts';
import type { Steps } from '../../../sched/op.ts';
import { EFAULT } from '../../../uapi/errno.ts';
import { world } from '../../current.ts';
import { getUserPagesUnlocked } from '../../mm/gup.ts';
import { getUserPageFastOnly } from '../../mm/gup-fast.ts';
import { FOLL_GET, FOLL_HWPOISON, FOLL_WRITE, withFoll } from '../../mm/gup-flags.ts';
import type { Mm, Vaddr } from '../../mm/mm-types.ts';
import { folioMarkDirty } from '../../mm/rmap.ts';
import { seam } from '../../seam.ts';
import type { Kvm, Vcpu } from './kvm.ts';

/** A load of the guest: the 32-bit word at an offset into a guest frame. @returns it, or a negative errno of KVM_RUN */
export function* guestLoad(vcpu: Vcpu, gfn: number, offset: number): Steps<number> {
  const pfn = yield* touchGuestPage(vcpu, gfn, false);
  if (typeof pfn !== 'number') return pfn.error;
  sched.touch(contentCell(pfn), READ);
  const { frames } = machine;
  return frames.view.getUint32(frames.address(pfn as Pfn, offset), true);
}

/** A store of the guest. @returns 0 or a negative errno of KVM_RUN */
export function* guestStore(vcpu: Vcpu, gfn: number, offset: number, value: number): Steps<number> {
  const pfn = yield* touchGuestPage(vcpu, gfn, true);
  if (typeof pfn !== 'number') return pfn.error;
  const { frames } = machine;
  sched.touch(contentCell(pfn), WRITE);
  frames.markUsed(pfn as Pfn);
  frames.view.setInt32(frames.address(pfn as Pfn, offset), value, true);
  return 0;
}

/** Ends in the step that may use the page: the caller touches the content before it yields. */
function* touchGuestPage(
  vcpu: Vcpu,
  gfn: number,
  write: boolean,
): Steps<Pfn | { readonly error: number }> {
  const right = write ? TLB_W : TLB_R;
  for (;;) {
    const name = write ? 'guest store' : 'guest load';
    if (sched.wants()) yield* access(name, vcpu.tlbCell(gfn), READ);
    const word = vcpu.tlb.lookup(gfn);
    if ((word & right) !== 0) return tlbPfn(word);
    if (walkSptes(vcpu, gfn, write)) continue;
    const error = yield* kvmMmuPageFault(vcpu.kvm, gfn, write);
    if (error < 0) return { error };
  }
}

/** The hardware's walk, inside the running step. @returns whether the TLB knows the page now */
function walkSptes(vcpu: Vcpu, gfn: number, write: boolean): boolean {
  sched.touch(vcpu.kvm.spteCell(gfn), READ);
  const spte = vcpu.kvm.sptes.get(gfn);
  if (spte === undefined || (write && !spte.write)) return false;
  sched.touch(vcpu.tlbCell(gfn), WRITE);
  vcpu.tlb.fill(gfn, spte.pfn, TLB_R | (write ? TLB_W : 0));
  return true;
}

/** Under mmu_lock: may the page that was found be mapped, or has it been taken away meanwhile? */
export const mmuStillValid = seam(
  'kvm.mmuStillValid',
  (kvm: Kvm, hva: Vaddr, seq: number): boolean => {
    sched.touch(kvm.seqCell, READ);
    return !inProgress(kvm, hva) && kvm.invalidateSeq === seq;
  },
  'KVM fault: chk !in_progress(gfn) and seq same: the page may have been unmapped, and freed, since it was found',
);

/** Whether an invalidation in flight may cover the address. @linux mmu_invalidate_retry_gfn */
function inProgress(kvm: Kvm, hva: Vaddr): boolean {
  return kvm.invalidateInProgress > 0 && hva >= kvm.rangeStart && hva < kvm.rangeEnd;
}

/** @returns 0: try again; -EFAULT: user space has to look. Requires: no lock. @linux kvm_tdp_page_fault */
function* kvmMmuPageFault(kvm: Kvm, gfn: number, write: boolean): Steps<number> {
  const hva = kvm.hvaOf(gfn);
  if (hva < 0) return -EFAULT;
  if (sched.wants()) yield* access('read mmu seq', kvm.seqCell, READ);
  sched.touch(kvm.seqCell, READ);
  const seq = kvm.invalidateSeq;
  const pfn = yield* hvaToPfn(kvm.mm, hva, write);
  if (pfn < 0) return pfn;
  yield* lock(kvm.mmuLock);
  const valid = mmuStillValid(kvm, hva, seq);
  if (valid) {
    sched.touch(kvm.spteCell(gfn), WRITE);
    kvm.sptes.set(gfn, { pfn: pfn as Pfn, write });
    if (write) folioMarkDirty(pfn as Pfn);
  }
  unlock(kvm.mmuLock);
  machine.frames.put(pfn as Pfn, world.owner());
  // Linux lets the vCPU run into the same fault until the invalidation has ended; this waits for that.
  if (!valid) {
    const over = (): boolean => !inProgress(kvm, hva);
    yield* until('retry fault', kvm.seqCell, READ, over, 'the end of an invalidation');
  }
  return 0;
}

/** The frame behind a user address with a reference, faulting it in. @returns it or a negative errno. @linux hva_to_pfn */
export function* hvaToPfn(mm: Mm, hva: Vaddr, write: boolean): Steps<number> {
  const flags = write ? withFoll(FOLL_GET, FOLL_WRITE) : FOLL_GET;
  if (write) {
    const fast = yield* getUserPageFastOnly(mm, hva, flags);
    if (fast !== 0) return fast;
  }
  const pages = yield* getUserPagesUnlocked(mm, hva, 1, withFoll(flags, FOLL_HWPOISON));
  return typeof pages === 'number' ? pages : (pages[0] ?? -EFAULT);
}

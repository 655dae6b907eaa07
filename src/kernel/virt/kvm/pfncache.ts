/**
 * A guest page that the host itself, or the hardware on behalf of the guest, uses by its frame: found once, used while it
 * is valid, found again after an invalidation (semantics.md section 22, GPC).
 * @linux virt/kvm/pfncache.c
 */
import { assert } from '../../../base/assert.ts';
import { contentCell } from '../../../machine/cells.ts';
import { machine } from '../../../machine/current.ts';
import type { Pfn } from '../../../machine/pte.ts';
import { access, until } from '../../../sched/access.ts';
import { type Cell, READ, WRITE } from '../../../sched/cell.ts';
import { sched } from '../../../sched/current.ts';
import { Lock, lock, lockRead, unlock, unlockRead } from '../../../sched/lock.ts';
import type { Steps } from '../../../sched/op.ts';
import { EAGAIN, EFAULT } from '../../../uapi/errno.ts';
import { world } from '../../current.ts';
import { KVM_GPC_LOCK, KVM_REFRESH_LOCK } from '../../lock-classes.ts';
import type { Vaddr } from '../../mm/mm-types.ts';
import { seam } from '../../seam.ts';
import type { Kvm, Vcpu } from './kvm.ts';
import { hvaToPfn } from './mmu.ts';

/** @linux struct gfn_to_pfn_cache */
export class GfnToPfnCache {
  readonly kvm: Kvm;
  readonly name: string;
  readonly hva: Vaddr;
  readonly cell: Cell;
  /** Readers use the page; the invalidation and the refresh write. */
  readonly lock: Lock;
  /** One refresh at a time. */
  readonly refreshLock: Lock;
  /** Both protected by `lock`. */
  valid = false;
  pfn = 0 as Pfn;

  /** @param gfn a guest frame that the VM has memory for */
  constructor(kvm: Kvm, name: string, gfn: number) {
    this.kvm = kvm;
    this.name = name;
    this.hva = kvm.hvaOf(gfn);
    assert(this.hva >= 0, 'a cache of a guest frame that the VM does not have');
    const index = kvm.gpcs.length * 3;
    this.cell = kvm.gpcCell(index);
    this.lock = new Lock(KVM_GPC_LOCK, `lock of ${name}`, kvm.gpcCell(index + 1));
    this.refreshLock = new Lock(
      KVM_REFRESH_LOCK,
      `refresh lock of ${name}`,
      kvm.gpcCell(index + 2),
    );
    kvm.gpcs.push(this);
  }
}

/** Under the cache's lock: has nothing been invalidated since the page was looked up? */
export const cacheStillValid = seam(
  'kvm.cacheStillValid',
  (kvm: Kvm, seq: number): boolean => {
    sched.touch(kvm.activeCell, READ);
    sched.touch(kvm.seqCell, READ);
    return kvm.activeInvalidates === 0 && kvm.invalidateSeq === seq;
  },
  'GPC refresh: chk no invalidate since: the page may have been unmapped between finding it and calling the cache valid',
);

/** Finds the page anew. @returns 0 or a negative errno. Requires: no lock. @linux kvm_gpc_refresh, hva_to_pfn_retry */
export function* kvmGpcRefresh(gpc: GfnToPfnCache): Steps<number> {
  const { kvm } = gpc;
  yield* lock(gpc.refreshLock);
  yield* lock(gpc.lock);
  let done = setCache(gpc, false, 0 as Pfn);
  unlock(gpc.lock);
  let result = 0;
  while (!done) {
    if (sched.wants()) yield* access('read mmu seq', kvm.seqCell, READ);
    sched.touch(kvm.seqCell, READ);
    const seq = kvm.invalidateSeq;
    const pfn = yield* hvaToPfn(kvm.mm, gpc.hva, true);
    if (pfn < 0) {
      result = pfn === -EAGAIN ? pfn : -EFAULT;
      break;
    }
    yield* lock(gpc.lock);
    if (cacheStillValid(kvm, seq)) done = setCache(gpc, true, pfn as Pfn);
    unlock(gpc.lock);
    // The frame is not held: the invalidation that takes it away comes here first.
    machine.frames.put(pfn as Pfn, world.owner());
    if (done) break;
    const over = (): boolean => kvm.activeInvalidates === 0;
    yield* until('retry refresh', kvm.activeCell, READ, over, 'the end of an invalidation');
  }
  unlock(gpc.refreshLock);
  return result;
}

/** Requires: the cache's lock for writing. @returns `valid` */
function setCache(gpc: GfnToPfnCache, valid: boolean, pfn: Pfn): boolean {
  sched.touch(gpc.cell, WRITE);
  gpc.valid = valid;
  gpc.pfn = pfn;
  return valid;
}

/** Under the cache's lock: is it valid? */
export const cacheValid = seam(
  'kvm.cacheValid',
  (gpc: GfnToPfnCache): boolean => {
    sched.touch(gpc.cell, READ);
    return gpc.valid;
  },
  'GPC use: chk valid under the lock: the page may have been taken away since the cache was refreshed',
);

/** The host writes a word to the page. @returns 0, or -EAGAIN: refresh first. Requires: no lock. @linux kvm_gpc_check */
export function* gpcWrite(gpc: GfnToPfnCache, value: number): Steps<number> {
  yield* lockRead(gpc.lock);
  const valid = cacheValid(gpc);
  if (valid) {
    if (sched.wants()) yield* access('write guest page', contentCell(gpc.pfn), WRITE);
    writeWord(gpc.pfn, value);
  }
  unlockRead(gpc.lock);
  return valid ? 0 : -EAGAIN;
}

/**
 * The guest writes to the page by its frame, as hardware does that was given a physical address (a vAPIC page, a nested
 * guest's control block): enter guest mode with a valid cache | write | leave guest mode.
 * @returns 0, or -EAGAIN: refresh first. Requires: no lock. @linux KVM_GUEST_USES_PFN, vcpu_enter_guest
 */
export function* gpcEnterGuest(vcpu: Vcpu, gpc: GfnToPfnCache, value: number): Steps<number> {
  if (sched.wants()) yield* access('enter guest', vcpu.modeCell, WRITE);
  if (!cacheValid(gpc)) return -EAGAIN;
  sched.touch(vcpu.modeCell, WRITE);
  vcpu.using = gpc;
  vcpu.usingPfn = gpc.pfn;
  if (sched.wants()) yield* access('guest store', contentCell(vcpu.usingPfn), WRITE);
  writeWord(vcpu.usingPfn, value);
  if (sched.wants()) yield* access('leave guest', vcpu.modeCell, WRITE);
  sched.touch(vcpu.modeCell, WRITE);
  vcpu.using = null;
  return 0;
}

function writeWord(pfn: Pfn, value: number): void {
  const { frames } = machine;
  sched.touch(contentCell(pfn), WRITE);
  frames.markUsed(pfn);
  frames.view.setInt32(frames.address(pfn, 0), value, true);
}

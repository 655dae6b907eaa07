/**
 * Faults that wait for user space: how one is announced, what lets it sleep, and what wakes it.
 * The file it is read from is userfaultfd-file.ts. @linux fs/userfaultfd.c; semantics.md section 9.11
 */
import { type Pte, pteIsMarker, pteIsTable, pteNone, pteWrite } from '../../machine/pte.ts';
import { loadPte } from '../../machine/tables.ts';
import { until } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { type SleepClass, sleep } from '../../sched/wait.ts';
import {
  UFFD_FEATURE_EXACT_ADDRESS,
  UFFD_FEATURE_SIGBUS,
  UFFD_FEATURE_THREAD_ID,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_PAGEFAULT_FLAG_MINOR,
  UFFD_PAGEFAULT_FLAG_WP,
  UFFD_PAGEFAULT_FLAG_WRITE,
  UFFD_USER_MODE_ONLY,
  type UffdMsg,
} from '../../uapi/userfaultfd.ts';
import { world } from '../current.ts';
import type { Vaddr, Vma } from '../mm/mm-types.ts';
import { pmdSlot, pteSlot } from '../mm/pgtable.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_INTERRUPTIBLE,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_USER,
  FAULT_FLAG_WRITE,
  type FaultFlags,
  flagged,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type VmFault,
} from '../mm/vm-fault.ts';
import { type Fault, releaseFaultLock } from '../mm/vmf.ts';
import { type Seam, seam } from '../seam.ts';
import { UffdWait, type UserfaultfdCtx } from './userfaultfd-ctx.ts';

/** Why a fault waits: no page, a write-protected page, a page only in the page cache. */
export type UffdReason = 'missing' | 'wp' | 'minor';

/**
 * Delivers a fault to user space and sleeps until it is woken. Releases the fault's VMA lock or mmap_lock whenever it
 * returns VM_FAULT_RETRY, except for callers that may not wait.
 * @returns VM_FAULT_RETRY when the access has to start again; VM_FAULT_SIGBUS with the lock still held
 * Requires: the VMA lock or mmap_lock, as vmf.flags says; no page-table lock. @linux fs/userfaultfd.c handle_userfault
 */
export function* handleUserfault(vmf: Fault, reason: UffdReason): Steps<VmFault> {
  const ctx = vmf.vma.uffd;
  if (ctx === null || refusesToWait(vmf, ctx)) return VM_FAULT_SIGBUS;
  if (flagged(vmf.flags, FAULT_FLAG_RETRY_NOWAIT)) return VM_FAULT_RETRY;
  if (ctx.isReleased()) return yield* afterRelease(vmf, ctx);
  const wait = new UffdWait(faultMessage(vmf, reason, ctx));
  yield* lock(ctx.queueLock);
  sched.touch(ctx.queueCell, WRITE);
  ctx.pendingFaults.push(wait);
  unlock(ctx.queueLock);

  const mustSleep = yield* mustWait(vmf, reason);
  const released = ctx.isReleased();
  releaseFaultLock(vmf);
  if (mustSleep && !released) {
    ctx.notifyPollers();
    yield* sleepAside(vmf, wait);
  }
  sched.touch(wait.sleeper.cell, READ);
  // Whoever wakes a waiter takes it off its list; one that leaves by itself does so here.
  if (!wait.sleeper.woken) {
    yield* lock(ctx.queueLock);
    remove(ctx.pendingFaults, wait);
    remove(ctx.faults, wait);
    sched.touch(ctx.queueCell, WRITE);
    unlock(ctx.queueLock);
  }
  return VM_FAULT_RETRY;
}

/** An access that waits for user space keeps nobody from starting over (accessesDue); those of GUP never do. */
function* sleepAside(vmf: Fault, wait: UffdWait): Steps<void> {
  const { mm } = vmf.vma;
  const counted = flagged(vmf.flags, FAULT_FLAG_INTERRUPTIBLE);
  if (counted) mm.addAccessesDue(-1);
  yield* sleep(wait.sleeper, sleepClass(vmf.flags), 'a userfaultfd handler');
  if (counted) mm.addAccessesDue(1);
}

/**
 * The descriptor is being closed, and close needs mmap_lock: ours is dropped while it clears the VMAs. Before 6.15 it was
 * the caller's to drop.
 */
export const afterRelease = seam(
  'userfaultfd.afterRelease',
  function* (vmf: Fault, ctx: UserfaultfdCtx): Steps<VmFault> {
    releaseFaultLock(vmf);
    yield* untilUnregistered(vmf.vma, ctx);
    return VM_FAULT_RETRY;
  },
);

/**
 * Linux starts such a fault again and again until close has cleared the VMA; waiting for that change is the same under
 * every fair schedule, and finite.
 */
export function* untilUnregistered(vma: Vma, ctx: UserfaultfdCtx): Steps<void> {
  const gone = (): boolean => vma.detached || vma.uffd !== ctx;
  yield* until('retry', vma.cell, READ, gone, 'close of the userfaultfd');
}

/** The cases in which a fault must not wait for user space, in the kernel's order. */
function refusesToWait(vmf: Fault, ctx: UserfaultfdCtx): boolean {
  const { task, flags } = vmf;
  if (task.exiting || task.dumping) return true;
  if (ctx.has(UFFD_FEATURE_SIGBUS)) return true;
  if (!flagged(flags, FAULT_FLAG_USER) && (ctx.flags & UFFD_USER_MODE_ONLY) !== 0) return true;
  return !flagged(flags, FAULT_FLAG_ALLOW_RETRY);
}

/** User faults and copy_*_user wake for any signal, GUP only for a fatal one. @linux userfaultfd_get_blocking_state */
function sleepClass(flags: FaultFlags): SleepClass {
  if (flagged(flags, FAULT_FLAG_INTERRUPTIBLE)) return 'interruptible';
  return flagged(flags, FAULT_FLAG_KILLABLE) ? 'killable' : 'uninterruptible';
}

/** @linux fs/userfaultfd.c userfault_msg */
function faultMessage(vmf: Fault, reason: UffdReason, ctx: UserfaultfdCtx): UffdMsg {
  let flags = flagged(vmf.flags, FAULT_FLAG_WRITE) ? UFFD_PAGEFAULT_FLAG_WRITE : 0;
  if (reason === 'wp') flags |= UFFD_PAGEFAULT_FLAG_WP;
  if (reason === 'minor') flags |= UFFD_PAGEFAULT_FLAG_MINOR;
  return {
    event: 'pagefault',
    flags,
    address: ctx.has(UFFD_FEATURE_EXACT_ADDRESS) ? vmf.realAddress : vmf.address,
    ptid: ctx.has(UFFD_FEATURE_THREAD_ID) ? vmf.task.tid : 0,
  };
}

/**
 * Whether the slot still is as the fault found it: looked at without its lock, after the waiter is on its list, so that
 * whoever fills the slot later finds the waiter and whoever filled it before is seen here.
 * @linux fs/userfaultfd.c userfaultfd_must_wait
 */
export const mustWait: Seam<(vmf: Fault, reason: UffdReason) => Steps<boolean>> = seam(
  'userfaultfd.mustWait',
  function* (vmf: Fault, reason: UffdReason): Steps<boolean> {
    const { mm } = vmf.vma;
    for (;;) {
      const pte = pteSlot(mm, vmf.address);
      const slot = pte >= 0 ? pte : pmdSlot(mm, vmf.address);
      if (slot < 0) return true;
      // RCU: the table may be freed as soon as nobody reads in it.
      world.rcu.readLock();
      const word = yield* loadPte(slot);
      world.rcu.readUnlock();
      // A table that appeared since: its entry decides.
      if (!pteIsTable(word)) return slotMustWait(word, reason);
    }
  },
  'F: a fill between the page-table lock and the enqueueing woke nobody, so the waiter must look before it sleeps',
);

function slotMustWait(pte: Pte, reason: UffdReason): boolean {
  if (pteNone(pte) || pteIsMarker(pte)) return true;
  // A page that was swapped out since is waited for as well: nothing says here that it may be written.
  return reason === 'wp' && !pteWrite(pte);
}

/** Takes a waiter off a list, if it is there. Requires: queueLock. */
export function remove(list: UffdWait[], wait: UffdWait): void {
  const index = list.indexOf(wait);
  if (index >= 0) list.splice(index, 1);
}

/**
 * Wakes faults that wait for a page in [start, start + len), read or not; len 0 means all.
 * @linux fs/userfaultfd.c wake_userfault
 */
export function* wakeUserfault(ctx: UserfaultfdCtx, start: Vaddr, len: number): Steps<void> {
  yield* lock(ctx.queueLock);
  sched.touch(ctx.queueCell, READ);
  wakeIn(ctx, ctx.pendingFaults, start, len);
  wakeIn(ctx, ctx.faults, start, len);
  unlock(ctx.queueLock);
}

function wakeIn(ctx: UserfaultfdCtx, list: UffdWait[], start: Vaddr, len: number): void {
  const woken = list.filter((w) => len === 0 || (w.address >= start && w.address < start + len));
  if (woken.length === 0) return;
  sched.touch(ctx.queueCell, WRITE);
  for (const wait of woken) {
    remove(list, wait);
    wait.sleeper.wake();
  }
}

/** Whether the kernel itself resolves write-protect faults of the VMA. @linux userfaultfd_wp_async */
export function userfaultfdWpAsync(vma: Vma): boolean {
  return vma.uffd?.has(UFFD_FEATURE_WP_ASYNC) === true;
}

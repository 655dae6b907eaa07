/**
 * What the hart's page-fault trap does: find the VMA under the cheapest lock that will do, check its permission, let
 * handleMmFault work, and start again or make a signal of what it says. x86-64's order. @linux arch/x86/mm/fault.c
 */
import type { Steps } from '../../sched/op.ts';
import { interrupts } from '../../sched/wait.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { lockMmAndFindVma } from './expand-stack.ts';
import { handleMmFault } from './memory.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { lockVmaUnderRcu, mmapReadUnlock, vmaEndRead } from './mmap-lock.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_INSTRUCTION,
  FAULT_FLAG_INTERRUPTIBLE,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_USER,
  FAULT_FLAG_VMA_LOCK,
  FAULT_FLAG_WRITE,
  type FaultFlags,
  faultHas,
  flagged,
  VM_FAULT_ERROR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGSEGV,
  type VmFault,
} from './vm-fault.ts';
import { has, VM_ACCESS_FLAGS, VM_EXEC, VM_WRITE } from './vm-flags.ts';

/** si_code values. @linux include/uapi/asm-generic/siginfo.h */
export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
export const BUS_ADRERR = 2;

/** What every fault of a user access may do. @linux include/linux/mm.h FAULT_FLAG_DEFAULT */
export const FAULT_FLAG_DEFAULT: FaultFlags = (FAULT_FLAG_ALLOW_RETRY |
  FAULT_FLAG_KILLABLE |
  FAULT_FLAG_INTERRUPTIBLE) as FaultFlags;
/** A load or store of the program itself. */
export const USER_READ: FaultFlags = (FAULT_FLAG_DEFAULT | FAULT_FLAG_USER) as FaultFlags;
export const USER_WRITE: FaultFlags = (USER_READ | FAULT_FLAG_WRITE) as FaultFlags;
/** An instruction fetch. */
export const USER_EXEC: FaultFlags = (USER_READ | FAULT_FLAG_INSTRUCTION) as FaultFlags;
/** copy_from_user and copy_to_user. */
export const KERNEL_READ: FaultFlags = FAULT_FLAG_DEFAULT;
export const KERNEL_WRITE: FaultFlags = (FAULT_FLAG_DEFAULT | FAULT_FLAG_WRITE) as FaultFlags;

/** A fault that ends in a signal: what siginfo says. KILL: a fatal signal is pending, or memory is exhausted. */
export interface FaultSignal {
  readonly signal: 'SEGV' | 'BUS' | 'KILL';
  /** si_code: SEGV_MAPERR, SEGV_ACCERR or BUS_ADRERR; 0 for KILL. */
  readonly code: number;
  readonly address: Vaddr;
}

/**
 * Handles a page fault.
 * @param address as the hart reported it
 * @param flags one of USER_* and KERNEL_*
 * @returns null: try the access again (or, in user mode, handle a pending signal first). Otherwise the signal; a kernel
 *   access makes EFAULT of it
 * Requires: no lock of the mm. @linux do_user_addr_fault
 */
export function* faultAddress(
  task: Task,
  address: Vaddr,
  flags: FaultFlags,
): Steps<FaultSignal | null> {
  const mm = task.mmOrDie;
  let now = flags;
  // Accesses from kernel mode go straight to mmap_lock.
  if (flagged(flags, FAULT_FLAG_USER)) {
    const vma = yield* lockVmaUnderRcu(mm, address);
    if (vma !== null) {
      if (accessError(vma, flags)) {
        vmaEndRead(vma);
        return segv(SEGV_ACCERR, address);
      }
      const under = (flags | FAULT_FLAG_VMA_LOCK) as FaultFlags;
      const result = yield* handleMmFault(vma, task, address, under);
      if (!faultHas(result, VM_FAULT_RETRY)) {
        vmaEndRead(vma);
        return signalOf(task, result, address, flags);
      }
      if (faultSignalPending(task, flags)) return signalPending(task, address);
      now = (flags | FAULT_FLAG_TRIED) as FaultFlags;
    }
  }
  return yield* faultUnderMmapLock(task, mm, address, now);
}

function* faultUnderMmapLock(
  task: Task,
  mm: Mm,
  address: Vaddr,
  flags: FaultFlags,
): Steps<FaultSignal | null> {
  let now = flags;
  for (;;) {
    const vma = yield* lockMmAndFindVma(mm, address);
    if (vma === null) return segv(SEGV_MAPERR, address);
    if (accessError(vma, now)) {
      mmapReadUnlock(mm);
      return segv(SEGV_ACCERR, address);
    }
    const result = yield* handleMmFault(vma, task, address, now);
    if (!faultHas(result, VM_FAULT_RETRY)) {
      mmapReadUnlock(mm);
      return signalOf(task, result, address, now);
    }
    if (faultSignalPending(task, now)) return signalPending(task, address);
    now = (now | FAULT_FLAG_TRIED) as FaultFlags;
  }
}

/** Whether the VMA forbids the access, whatever its pages say. @linux access_error */
export function accessError(vma: Vma, flags: FaultFlags): boolean {
  if (flagged(flags, FAULT_FLAG_WRITE)) return !has(vma.flags, VM_WRITE);
  if (flagged(flags, FAULT_FLAG_INSTRUCTION)) return !has(vma.flags, VM_EXEC);
  return !has(vma.flags, VM_ACCESS_FLAGS);
}

/** Whether to leave the fault for a signal instead of starting it again. @linux fault_signal_pending */
function faultSignalPending(task: Task, flags: FaultFlags): boolean {
  const cls = flagged(flags, FAULT_FLAG_USER) ? 'interruptible' : 'killable';
  return task.thread !== null && interrupts(task.thread, cls);
}

function signalPending(task: Task, address: Vaddr): FaultSignal | null {
  return task.thread?.signal === 'fatal' ? { signal: 'KILL', code: 0, address } : null;
}

/**
 * Poisoned pages give BUS_ADRERR: BUS_MCEERR_AR needs a kernel built with MEMORY_FAILURE.
 * Out of memory: the OOM killer has been at work, and the access is tried again unless it has chosen the one who asked.
 * A kernel access fails.
 */
function signalOf(
  task: Task,
  result: VmFault,
  address: Vaddr,
  flags: FaultFlags,
): FaultSignal | null {
  // On its way back to user mode a task that is being killed ends, whatever the fault came to.
  const killed = world.oom !== null && flagged(flags, FAULT_FLAG_USER);
  if (killed && task.thread?.signal === 'fatal') return signalPending(task, address);
  if (!faultHas(result, VM_FAULT_ERROR)) return null;
  if (faultHas(result, VM_FAULT_OOM)) {
    const again = flagged(flags, FAULT_FLAG_USER) && task.thread !== null;
    return again ? signalPending(task, address) : { signal: 'KILL', code: 0, address };
  }
  if (faultHas(result, VM_FAULT_SIGSEGV)) return segv(SEGV_MAPERR, address);
  return { signal: 'BUS', code: BUS_ADRERR, address };
}

function segv(code: number, address: Vaddr): FaultSignal {
  return { signal: 'SEGV', code, address };
}

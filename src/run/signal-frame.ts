/**
 * Handler frames on riscv64: what signal delivery pushes on the user stack and rt_sigreturn pops.
 *
 *   sp ->  siginfo_t        128 bytes
 *          ucontext: flags, link, stack_t  40 bytes; sigmask 8; reserved to 168; padding to 176
 *          sigcontext: pc, x1..x31 (256 bytes), then f0..f31 and fcsr (264 bytes, in a 528-byte union)
 *
 * riscv64 has no sa_restorer: `ra` points at a trampoline in the vdso page. @linux arch/riscv/include/uapi/asm/ucontext.h
 */

import { killedStatus } from '../kernel/core/exit.ts';
import { REG_A0, REG_A1, REG_A2, REG_RA, REG_SP } from '../kernel/core/regs.ts';
import {
  actionOf,
  dequeueSignal,
  disposition,
  groupExit,
  recalcSigPending,
  sigBit,
} from '../kernel/core/signal.ts';
import type { Task } from '../kernel/core/task.ts';
import type { SigAction, SigInfo } from '../kernel/core/thread-group.ts';
import { copyFromUser, copyToUser } from '../kernel/mm/user-access.ts';
import { encodeAltStack, encodeSigInfo, onAltStack } from '../kernel/syscall/signal.ts';
import type { Steps } from '../sched/op.ts';
import { EINTR, ERESTARTNOINTR } from '../uapi/errno.ts';
import {
  SA_NODEFER,
  SA_ONSTACK,
  SA_RESETHAND,
  SA_RESTART,
  SIG_DFL,
  SIGSEGV,
} from '../uapi/signal.ts';
import type { GuestContext } from './guest-context.ts';

const INFO_BYTES = 128;
const UCONTEXT = INFO_BYTES;
const UC_STACK = UCONTEXT + 16;
const UC_MASK = UCONTEXT + 40;
const SIGCONTEXT = UCONTEXT + 176;
const FP = SIGCONTEXT + 256;
const FRAME_BYTES: number = FP + 528;
const FP_FCSR = 256;

/** Calls that SA_RESTART starts again: read, write, their vectors, ioctl, wait4, futex. signal(7) */
const RESTARTABLE: readonly number[] = [63, 64, 65, 66, 67, 68, 29, 260, 98];
const ECALL_BYTES = 4n;

/**
 * Takes what signals are deliverable: sets up a frame for one that has a handler, ends the process for one that kills.
 * @returns false when the task must end
 */
export function* deliverSignals(
  task: Task,
  context: GuestContext,
  trampoline: number,
  onKill: (info: SigInfo) => void,
): Steps<boolean> {
  for (;;) {
    if (task.group.exitStatus !== null) return false;
    const info = dequeueSignal(task);
    if (info === null) break;
    const fate = disposition(task.group, info.signo);
    if (fate === 'ignore') continue;
    if (fate === 'kill') {
      onKill(info);
      groupExit(task.group, killedStatus(info.signo));
      return false;
    }
    const action = actionOf(task.group, info.signo);
    restartIfAsked(context, (action.flags & SA_RESTART) !== 0);
    if (yield* pushFrame(task, context, action, info, trampoline)) return true;
    // The stack cannot hold the frame. sigaction(2): the process gets SIGSEGV.
    task.group.actions.set(SIGSEGV, { handler: SIG_DFL, flags: 0, mask: 0n });
    const segv: SigInfo = { ...info, signo: SIGSEGV };
    onKill(segv);
    groupExit(task.group, killedStatus(SIGSEGV));
    return false;
  }
  restartIfAsked(context, true);
  if (task.savedMask !== null) {
    task.blocked = task.savedMask;
    task.savedMask = null;
  }
  recalcSigPending(task);
  return task.group.exitStatus === null;
}

/** Winds the pc back to the ecall when a call was interrupted and may start again. */
function restartIfAsked(context: GuestContext, restart: boolean): void {
  const call = context.syscall;
  context.syscall = null;
  if (call === null) return;
  const result = context.number(REG_A0);
  const always = result === -ERESTARTNOINTR;
  if (!always && (!restart || !RESTARTABLE.includes(call.nr) || result !== -EINTR)) return;
  context.set(REG_A0, call.a0);
  context.pc -= ECALL_BYTES;
}

function* pushFrame(
  task: Task,
  context: GuestContext,
  action: SigAction,
  info: SigInfo,
  trampoline: number,
): Steps<boolean> {
  const current = context.number(REG_SP);
  const alt = task.altStack;
  const nested = onAltStack(task, current);
  const switches = (action.flags & SA_ONSTACK) !== 0 && alt !== null && alt.size > 0 && !nested;
  const top = switches ? alt.sp + alt.size : current;
  const sp = Math.floor((top - FRAME_BYTES) / 16) * 16;
  if ((nested || switches) && !onAltStack(task, sp)) return false;
  const frame = new Uint8Array(FRAME_BYTES);
  const view = new DataView(frame.buffer);
  frame.set(encodeSigInfo(info));
  frame.set(encodeAltStack(task, current), UC_STACK);
  view.setBigUint64(UC_MASK, task.savedMask ?? task.blocked, true);
  view.setBigInt64(SIGCONTEXT, context.pc, true);
  for (let r = 1; r < 32; r++) view.setBigInt64(SIGCONTEXT + r * 8, context.get(r), true);
  for (let r = 0; r < 32; r++) view.setBigUint64(FP + r * 8, context.getF(r), true);
  view.setInt32(FP + FP_FCSR, context.fcsr, true);
  if ((yield* copyToUser(task, sp, frame)) < 0) return false;
  task.savedMask = null;
  task.blocked |= action.mask;
  if ((action.flags & SA_NODEFER) === 0) task.blocked |= sigBit(info.signo);
  if ((action.flags & SA_RESETHAND) !== 0) task.group.actions.delete(info.signo);
  recalcSigPending(task);
  context.setNumber(REG_SP, sp);
  context.setNumber(REG_RA, trampoline);
  context.setNumber(REG_A0, info.signo);
  context.setNumber(REG_A1, sp);
  context.setNumber(REG_A2, sp + UCONTEXT);
  context.pc = BigInt(action.handler);
  return true;
}

/** rt_sigreturn(2): takes registers and mask back from the frame. @returns false when the frame is unreadable */
export function* popFrame(task: Task, context: GuestContext): Steps<boolean> {
  const frame = yield* copyFromUser(task, context.number(REG_SP), FRAME_BYTES);
  if (typeof frame === 'number') return false;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  task.blocked = view.getBigUint64(UC_MASK, true);
  context.pc = view.getBigInt64(SIGCONTEXT, true);
  for (let r = 1; r < 32; r++) context.set(r, view.getBigInt64(SIGCONTEXT + r * 8, true));
  for (let r = 0; r < 32; r++) context.setF(r, view.getBigUint64(FP + r * 8, true));
  context.fcsr = view.getInt32(FP + FP_FCSR, true);
  context.syscall = null;
  recalcSigPending(task);
  return true;
}

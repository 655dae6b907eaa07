/**
 * The body of a guest thread: user code until it traps, then the kernel. Generators begin at the trap (decision 15).
 */

import { doExit } from '../kernel/core/exit.ts';
import { REG_A0, REG_A7 } from '../kernel/core/regs.ts';
import { forceSignal } from '../kernel/core/signal.ts';
import type { Task } from '../kernel/core/task.ts';
import type { SigInfo } from '../kernel/core/thread-group.ts';
import { world } from '../kernel/current.ts';
import {
  type FaultSignal,
  faultAddress,
  USER_EXEC,
  USER_READ,
  USER_WRITE,
} from '../kernel/mm/fault.ts';
import { copyToUser } from '../kernel/mm/user-access.ts';
import { hartWalk } from '../kernel/mm/walk.ts';
import { dispatch } from '../kernel/syscall/dispatch.ts';
import {
  TRAP_BUDGET,
  TRAP_EBREAK,
  TRAP_ECALL,
  TRAP_FETCH,
  TRAP_ILLEGAL,
  TRAP_LOAD,
  TRAP_MISALIGNED,
  TRAP_STORE,
  type TrapCause,
} from '../machine/riscv/trap.ts';
import { TLB_R, TLB_W, TLB_X } from '../machine/tlb.ts';
import { giveWay } from '../sched/access.ts';
import type { Steps } from '../sched/op.ts';
import {
  BUS_ADRALN,
  ILL_ILLOPC,
  SIGBUS,
  SIGILL,
  SIGKILL,
  SIGSEGV,
  SIGTRAP,
  TRAP_BRKPT,
} from '../uapi/signal.ts';
import type { FaultKind, LastFault } from './death.ts';
import type { GuestContext } from './guest-context.ts';
import type { GuestMachine } from './guest-machine.ts';
import { deliverSignals, popFrame } from './signal-frame.ts';

const SYS_RT_SIGRETURN = 139;
const ECALL_BYTES = 4n;
const ARGS = 6;
/** What a trap costs on the virtual clock, in ns; an instruction costs 1. Round figures: only their order matters. */
const TRAP_NS = 200;

/** What the run loop wants to know and to decide. */
export interface GuestHooks {
  /** Instructions until the next forced switch, at least 1. */
  slice(): number;
  onSyscall(task: Task, nr: number, args: readonly number[]): void;
  onSyscallEnd(task: Task, nr: number, args: readonly number[], result: number): void;
  onFault(task: Task, kind: FaultKind, address: number): void;
  onFaultEnd(task: Task, signal: FaultSignal | null): void;
  onRetired(instructions: number): void;
  /** A signal whose action is to kill; `pc` is where the thread was, `fault` the last one it had. */
  onKill(task: Task, info: SigInfo, pc: number, fault: LastFault | null): void;
}

/** What is left of a thread's turn, in instructions; a trap counts for as many as it takes on the clock. */
interface Slice {
  left: number;
}

export function* guestThread(
  guest: GuestMachine,
  task: Task,
  context: GuestContext,
  trampoline: number,
  hooks: GuestHooks,
): Steps<void> {
  const onKill = (info: SigInfo): void =>
    hooks.onKill(task, info, Number(context.pc), context.lastFault);
  if (task.setChildTid !== 0) {
    const tid = new Uint8Array(4);
    new DataView(tid.buffer).setInt32(0, task.tid, true);
    yield* copyToUser(task, task.setChildTid, tid);
  }
  const slice: Slice = { left: 0 };
  while (!task.exiting && !task.zapped && task.group.exitStatus === null) {
    if (task.thread?.signal !== 'none' || context.syscall !== null) {
      if (!(yield* deliverSignals(task, context, trampoline, onKill))) break;
    }
    yield* userMode(guest, task, context, hooks, slice);
    if (slice.left <= 0 && !task.exiting) yield* giveWay('end of slice');
  }
  yield* doExit(task);
}

/** Runs user code to its next trap and handles that. */
function* userMode(
  guest: GuestMachine,
  task: Task,
  context: GuestContext,
  hooks: GuestHooks,
  slice: Slice,
): Steps<void> {
  const cause = execute(guest, task, context, hooks, slice);
  if (cause === TRAP_BUDGET) return;
  slice.left -= TRAP_NS;
  switch (cause) {
    case TRAP_ECALL:
      world.machine.clock.advance(TRAP_NS);
      yield* systemCall(task, context, hooks);
      return;
    case TRAP_LOAD:
    case TRAP_STORE:
    case TRAP_FETCH:
      yield* pageFault(task, context, cause, hooks);
      return;
    default:
      forceSignal(task, synchronousSignal(cause, context));
  }
}

function execute(
  guest: GuestMachine,
  task: Task,
  context: GuestContext,
  hooks: GuestHooks,
  slice: Slice,
): TrapCause {
  if (slice.left <= 0) slice.left = hooks.slice();
  guest.enterTask(task, context);
  const before = context.instret();
  const cause = guest.execute(task, slice.left);
  const retired = context.instret() - before;
  slice.left -= retired;
  hooks.onRetired(retired);
  world.machine.clock.advance(retired);
  return cause;
}

function* systemCall(task: Task, context: GuestContext, hooks: GuestHooks): Steps<void> {
  const nr = context.number(REG_A7);
  if (nr === SYS_RT_SIGRETURN) {
    if (yield* popFrame(task, context)) return;
    forceSignal(task, plain(SIGSEGV, 0, 0));
    return;
  }
  const args: number[] = [];
  for (let i = 0; i < ARGS; i++) args.push(context.number(REG_A0 + i));
  const a0 = context.get(REG_A0);
  hooks.onSyscall(task, nr, args);
  context.pc += ECALL_BYTES;
  const result = yield* dispatch(task, nr, args);
  context.setNumber(REG_A0, result);
  hooks.onSyscallEnd(task, nr, args, result);
  context.syscall = task.thread?.signal === 'none' ? null : { nr, a0 };
}

const FAULTS = {
  [TRAP_LOAD]: { kind: 'read', right: TLB_R, flags: USER_READ },
  [TRAP_STORE]: { kind: 'write', right: TLB_W, flags: USER_WRITE },
  [TRAP_FETCH]: { kind: 'exec', right: TLB_X, flags: USER_EXEC },
} as const;

/** A TLB miss: the walk may find the page; otherwise the kernel has a fault to handle. */
function* pageFault(
  task: Task,
  context: GuestContext,
  cause: typeof TRAP_LOAD | typeof TRAP_STORE | typeof TRAP_FETCH,
  hooks: GuestHooks,
): Steps<void> {
  const { kind, right, flags } = FAULTS[cause];
  const address = context.trapAddress();
  if (hartWalk(task.mmOrDie, task.hart, address, right)) return;
  world.machine.clock.advance(TRAP_NS);
  hooks.onFault(task, kind, address);
  context.lastFault = { kind, address };
  const signal = yield* faultAddress(task, address, flags);
  hooks.onFaultEnd(task, signal);
  if (signal === null) return;
  const signo = { SEGV: SIGSEGV, BUS: SIGBUS, KILL: SIGKILL }[signal.signal];
  forceSignal(task, plain(signo, signal.code, signal.address));
}

function synchronousSignal(cause: TrapCause, context: GuestContext): SigInfo {
  const pc = Number(context.pc);
  switch (cause) {
    case TRAP_EBREAK:
      return plain(SIGTRAP, TRAP_BRKPT, pc);
    case TRAP_MISALIGNED:
      return plain(SIGBUS, BUS_ADRALN, context.trapAddress());
    case TRAP_ILLEGAL:
      return plain(SIGILL, ILL_ILLOPC, pc);
    default:
      return plain(SIGILL, ILL_ILLOPC, pc);
  }
}

function plain(signo: number, code: number, address: number): SigInfo {
  return { signo, code, address, pid: 0, status: 0 };
}

/** sigaction(2), sigprocmask(2), kill(2), tgkill(2), sigsuspend(2), sigtimedwait(2) and relatives. */
import { machine } from '../../machine/current.ts';
import type { Steps } from '../../sched/op.ts';
import { Sleeper, sleep } from '../../sched/wait.ts';
import { EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM, EPERM, ESRCH } from '../../uapi/errno.ts';
import {
  NSIG,
  SI_TKILL,
  SI_USER,
  SIG_BLOCK,
  SIG_IGN,
  SIG_SETMASK,
  SIG_UNBLOCK,
  SIGKILL,
  SIGSTOP,
} from '../../uapi/signal.ts';
import { CELL_WOKEN } from '../cells.ts';
import { REG_SP } from '../core/regs.ts';
import {
  actionOf,
  dequeueSignal,
  recalcSigPending,
  retargetSharedPending,
  sendGroupSignal,
  sendSignal,
  sigBit,
} from '../core/signal.ts';
import type { Task } from '../core/task.ts';
import type { SigInfo } from '../core/thread-group.ts';
import { world } from '../current.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';
import { number, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';
import { readTimespec } from './timespec.ts';

/** struct sigaction of riscv64: handler, flags, mask; there is no restorer. */
const SIGACTION_BYTES = 24;
const UNBLOCKABLE: bigint = sigBit(SIGKILL) | sigBit(SIGSTOP);
const SIGINFO_BYTES = 128;

function* readMask(task: Task, pointer: number): Steps<bigint | null> {
  const bytes = yield* copyFromUser(task, pointer, 8);
  if (typeof bytes === 'number') return null;
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

function* writeMask(task: Task, pointer: number, mask: bigint): Steps<number> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, mask, true);
  return yield* copyToUser(task, pointer, bytes);
}

function* sysRtSigaction(task: Task, args: SysArgs): Steps<number> {
  const [signo = 0, pointer = 0, old = 0, size = 0] = args;
  if (size !== 8 || signo < 1 || signo > NSIG) return -EINVAL;
  if (pointer !== 0 && (UNBLOCKABLE & sigBit(signo)) !== 0n) return -EINVAL;
  const before = actionOf(task.group, signo);
  if (pointer !== 0) {
    const bytes = yield* copyFromUser(task, pointer, SIGACTION_BYTES);
    if (typeof bytes === 'number') return -EFAULT;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const handler = Number(view.getBigInt64(0, true));
    const mask = view.getBigUint64(16, true) & ~UNBLOCKABLE;
    task.group.actions.set(signo, { handler, flags: view.getUint32(8, true), mask });
    if (handler === SIG_IGN) dropPending(task, signo);
    recalcSigPending(task);
  }
  if (old === 0) return 0;
  const bytes = new Uint8Array(SIGACTION_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(before.handler), true);
  view.setBigUint64(8, BigInt(before.flags), true);
  view.setBigUint64(16, before.mask, true);
  return yield* copyToUser(task, old, bytes);
}

/** Setting a signal to "ignore" discards pending ones. sigaction(2) */
function dropPending(task: Task, signo: number): void {
  for (const queue of [task.pending, task.group.pending]) {
    const index = queue.findIndex((p) => p.signo === signo);
    if (index >= 0) queue.splice(index, 1);
  }
}

function* sysRtSigprocmask(task: Task, args: SysArgs): Steps<number> {
  const [how = 0, pointer = 0, old = 0, size = 0] = args;
  if (size !== 8) return -EINVAL;
  const before = task.blocked;
  if (pointer !== 0) {
    const mask = yield* readMask(task, pointer);
    if (mask === null) return -EFAULT;
    if (how === SIG_BLOCK) task.blocked |= mask;
    else if (how === SIG_UNBLOCK) task.blocked &= ~mask;
    else if (how === SIG_SETMASK) task.blocked = mask;
    else return -EINVAL;
    task.blocked &= ~UNBLOCKABLE;
    recalcSigPending(task);
    retargetSharedPending(task.group);
  }
  return old === 0 ? 0 : yield* writeMask(task, old, before);
}

function* sysRtSigpending(task: Task, args: SysArgs): Steps<number> {
  const [pointer = 0, size = 0] = args;
  if (size > 8) return -EINVAL;
  let mask = 0n;
  for (const info of [...task.pending, ...task.group.pending]) mask |= sigBit(info.signo);
  return yield* writeMask(task, pointer, mask & task.blocked);
}

function* sysRtSigsuspend(task: Task, args: SysArgs): Steps<number> {
  const [pointer = 0, size = 0] = args;
  if (size !== 8) return -EINVAL;
  const mask = yield* readMask(task, pointer);
  if (mask === null) return -EFAULT;
  task.savedMask = task.blocked;
  task.blocked = mask & ~UNBLOCKABLE;
  recalcSigPending(task);
  yield* sleep(new Sleeper(CELL_WOKEN), 'interruptible', 'a signal');
  return -EINTR;
}

function* sysRtSigtimedwait(task: Task, args: SysArgs): Steps<number> {
  const [setPointer = 0, infoPointer = 0, timeout = 0, size = 0] = args;
  if (size !== 8) return -EINVAL;
  const wanted = yield* readMask(task, setPointer);
  if (wanted === null) return -EFAULT;
  let deadline: number | null = null;
  if (timeout !== 0) {
    const ns = yield* readTimespec(task, timeout);
    if (ns < 0) return ns;
    deadline = machine.clock.now + ns;
  }
  const blocked = task.blocked;
  task.blocked &= ~wanted;
  recalcSigPending(task);
  const cancel = deadline === null ? null : machine.clock.at(deadline, () => undefined);
  const expired = deadline === null ? null : (): boolean => machine.clock.now >= deadline;
  yield* sleep(new Sleeper(CELL_WOKEN), 'interruptible', 'a signal', expired);
  cancel?.();
  task.blocked |= ~wanted & ((1n << 64n) - 1n);
  const info = dequeueSignal(task);
  task.blocked = blocked;
  recalcSigPending(task);
  if (info === null) return expired?.() === true ? -EAGAIN : -EINTR;
  if (infoPointer !== 0 && (yield* copyToUser(task, infoPointer, encodeSigInfo(info))) < 0) {
    return -EFAULT;
  }
  return info.signo;
}

/** siginfo_t in memory: signo, errno, code, then the union at byte 16. sigaction(2) */
export function encodeSigInfo(info: SigInfo): Uint8Array {
  const bytes = new Uint8Array(SIGINFO_BYTES);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, info.signo, true);
  view.setInt32(8, info.code, true);
  if (info.pid !== 0 || info.code <= 0) {
    view.setInt32(16, info.pid, true);
    view.setInt32(24, info.status, true);
  } else {
    view.setBigUint64(16, BigInt(info.address), true);
  }
  return bytes;
}

function* sysKill(task: Task, args: SysArgs): Steps<number> {
  const [pid = 0, signo = 0] = args;
  if (signo < 0 || signo > NSIG) return -EINVAL;
  const target = pid === 0 ? task.tgid : Math.abs(pid);
  const found = world.tasks.find((t) => t.tgid === target && !t.group.reaped);
  if (found === undefined) return -ESRCH;
  if (signo > 0) {
    sendGroupSignal(found.group, {
      signo,
      code: SI_USER,
      address: 0,
      pid: task.tgid,
      status: 0,
    });
  }
  return 0;
}

function tkill(task: Task, tgid: number | null, tid: number, signo: number): number {
  if (signo < 0 || signo > NSIG || tid <= 0) return -EINVAL;
  const target = world.tasks.find((t) => t.tid === tid && !t.exiting);
  if (target === undefined || (tgid !== null && target.tgid !== tgid)) return -ESRCH;
  if (signo > 0) {
    sendSignal(target, { signo, code: SI_TKILL, address: 0, pid: task.tgid, status: 0 });
  }
  return 0;
}

function* sysTkill(task: Task, args: SysArgs): Steps<number> {
  return tkill(task, null, args[0] ?? 0, args[1] ?? 0);
}
function* sysTgkill(task: Task, args: SysArgs): Steps<number> {
  return tkill(task, args[0] ?? 0, args[1] ?? 0, args[2] ?? 0);
}

const SS_ONSTACK = 1;
const SS_DISABLE = 2;
const STACK_BYTES = 24;
const MINSIGSTKSZ = 2048;

/** Whether a stack pointer is on the task's alternative stack. @linux include/linux/sched/signal.h on_sig_stack */
export function onAltStack(task: Task, sp: number): boolean {
  const alt = task.altStack;
  return alt !== null && sp > alt.sp && sp <= alt.sp + alt.size;
}

/** stack_t of the task as user space sees it. @param sp its stack pointer, which tells SS_ONSTACK */
export function encodeAltStack(task: Task, sp: number): Uint8Array {
  const alt = task.altStack;
  const bytes = new Uint8Array(STACK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(alt?.sp ?? 0), true);
  view.setInt32(8, alt === null ? SS_DISABLE : onAltStack(task, sp) ? SS_ONSTACK : 0, true);
  view.setBigUint64(16, BigInt(alt?.size ?? 0), true);
  return bytes;
}

/** @linux kernel/signal.c do_sigaltstack */
function* sysSigaltstack(task: Task, args: SysArgs): Steps<number> {
  const [pointer = 0, old = 0] = args;
  const sp = Number(task.regs?.get(REG_SP) ?? 0n);
  const before = encodeAltStack(task, sp);
  if (pointer !== 0) {
    const bytes = yield* copyFromUser(task, pointer, STACK_BYTES);
    if (typeof bytes === 'number') return -EFAULT;
    if (onAltStack(task, sp)) return -EPERM;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const flags = view.getInt32(8, true);
    if (flags !== 0 && flags !== SS_ONSTACK && flags !== SS_DISABLE) return -EINVAL;
    const stack = {
      sp: Number(view.getBigUint64(0, true)),
      size: Number(view.getBigUint64(16, true)),
    };
    if (flags !== SS_DISABLE && stack.size < MINSIGSTKSZ) return -ENOMEM;
    task.altStack = flags === SS_DISABLE ? null : stack;
  }
  return old === 0 ? 0 : yield* copyToUser(task, old, before);
}

const mask = struct('set');
const size = number('sigsetsize');

export const rows: readonly SyscallRow[] = [
  {
    nr: 134,
    name: 'rt_sigaction',
    params: [number('signum'), struct('act'), struct('oldact'), size],
    handler: sysRtSigaction,
    supports: ['SA_SIGINFO', 'SA_RESTART', 'SA_NODEFER', 'SA_RESETHAND', 'SA_ONSTACK'],
    gap: 'Signals of one kind do not queue, real-time ones neither; stopping is ignored.',
  },
  {
    nr: 135,
    name: 'rt_sigprocmask',
    params: [number('how'), mask, struct('oldset'), size],
    handler: sysRtSigprocmask,
    supports: ['SIG_BLOCK', 'SIG_UNBLOCK', 'SIG_SETMASK'],
    gap: '',
  },
  {
    nr: 136,
    name: 'rt_sigpending',
    params: [mask, size],
    handler: sysRtSigpending,
    supports: [],
    gap: '',
  },
  {
    nr: 133,
    name: 'rt_sigsuspend',
    params: [mask, size],
    handler: sysRtSigsuspend,
    supports: [],
    gap: '',
  },
  {
    nr: 137,
    name: 'rt_sigtimedwait',
    params: [mask, struct('info'), struct('timeout'), size],
    handler: sysRtSigtimedwait,
    supports: [],
    gap: '',
  },
  {
    nr: 129,
    name: 'kill',
    params: [number('pid'), number('sig')],
    handler: sysKill,
    supports: [],
    gap: 'Process groups are not modelled: a negative pid names the process.',
  },
  {
    nr: 130,
    name: 'tkill',
    params: [number('tid'), number('sig')],
    handler: sysTkill,
    supports: [],
    gap: '',
  },
  {
    nr: 131,
    name: 'tgkill',
    params: [number('tgid'), number('tid'), number('sig')],
    handler: sysTgkill,
    supports: [],
    gap: '',
  },
  {
    nr: 132,
    name: 'sigaltstack',
    params: [struct('ss'), struct('old_ss')],
    handler: sysSigaltstack,
    supports: [],
    gap: 'SS_AUTODISARM is EINVAL.',
  },
];

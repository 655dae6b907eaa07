/** clone(2), exit(2), wait4(2), set_tid_address(2), getpid(2) and what else a process asks about itself. */
import type { Steps } from '../../sched/op.ts';
import { Sleeper, sleep } from '../../sched/wait.ts';
import {
  CLONE_CHILD_CLEARTID,
  CLONE_CHILD_SETTID,
  CLONE_FILES,
  CLONE_FS,
  CLONE_PARENT_SETTID,
  CLONE_SETTLS,
  CLONE_SIGHAND,
  CLONE_THREAD,
  CLONE_VFORK,
  CLONE_VM,
} from '../../uapi/clone.ts';
import { ECHILD, EFAULT, EINTR, EINVAL } from '../../uapi/errno.ts';
import { CELL_WOKEN } from '../cells.ts';
import { createSharer, createThread, forkTask } from '../core/create.ts';
import { childrenOf, exitedStatus } from '../core/exit.ts';
import { REG_A0, REG_SP, REG_TP } from '../core/regs.ts';
import { groupExit } from '../core/signal.ts';
import type { Task } from '../core/task.ts';
import { addUsage, groupUsage } from '../core/usage.ts';
import { world } from '../current.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';
import { putRusage } from './getrusage.ts';
import { address, flags, number, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const WNOHANG = 1;

interface CloneArgs {
  readonly flags: number;
  readonly stack: number;
  readonly parentTid: number;
  readonly childTid: number;
  readonly tls: number;
}

function tidBytes(tid: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, tid, true);
  return bytes;
}

function* doClone(task: Task, args: CloneArgs): Steps<number> {
  const has = (flag: number): boolean => (args.flags & flag) !== 0;
  // clone(2) ERRORS: CLONE_THREAD needs CLONE_SIGHAND, which needs CLONE_VM.
  if (has(CLONE_THREAD) && !has(CLONE_SIGHAND)) return -EINVAL;
  if (has(CLONE_SIGHAND) && !has(CLONE_VM)) return -EINVAL;
  const options = { name: task.name, hart: world.nextHart(), owner: 0 };
  let child: Task | number;
  if (has(CLONE_THREAD)) child = createThread(task.group.leader, options);
  else if (has(CLONE_VM)) child = createSharer(task, options);
  else child = yield* forkTask(task, options);
  if (typeof child === 'number') return child;
  const { regs } = task;
  if (regs !== null) {
    const copy = regs.clone();
    copy.set(REG_A0, 0n);
    if (args.stack !== 0) copy.set(REG_SP, BigInt(args.stack));
    if (has(CLONE_SETTLS)) copy.set(REG_TP, BigInt(args.tls));
    child.regs = copy;
  }
  child.blocked = task.blocked;
  if (has(CLONE_CHILD_CLEARTID)) child.clearChildTid = args.childTid;
  if (has(CLONE_PARENT_SETTID)) yield* copyToUser(task, args.parentTid, tidBytes(child.tid));
  if (has(CLONE_CHILD_SETTID)) child.setChildTid = args.childTid;
  world.startTask(child);
  if (has(CLONE_VFORK)) yield* waitVfork(child);
  return child.tid;
}

/** vfork(2): the parent goes on when the child has ended or runs another program. */
function* waitVfork(child: Task): Steps<void> {
  const over = (): boolean => child.exiting || child.vforkDone;
  while (!over()) {
    const sleeper = new Sleeper(CELL_WOKEN);
    const cancel = child.parent?.group.childEvents.subscribe(() => sleeper.wake());
    if (!over()) yield* sleep(sleeper, 'killable', 'the vfork child to end');
    cancel?.();
  }
}

function* sysClone(task: Task, args: SysArgs): Steps<number> {
  // riscv64 order: flags, stack, parent_tid, tls, child_tid. clone(2)
  const [how = 0, stack = 0, parentTid = 0, tls = 0, childTid = 0] = args;
  return yield* doClone(task, { flags: how, stack, parentTid, childTid, tls });
}

/** clone3(2): struct clone_args of 64 bytes or more. */
function* sysClone3(task: Task, args: SysArgs): Steps<number> {
  const [pointer = 0, size = 0] = args;
  if (size < 64) return -EINVAL;
  const bytes = yield* copyFromUser(task, pointer, 64);
  if (typeof bytes === 'number') return -EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const field = (index: number): number => Number(view.getBigUint64(index * 8, true));
  const stack = field(5);
  return yield* doClone(task, {
    flags: field(0),
    childTid: field(2),
    parentTid: field(3),
    stack: stack === 0 ? 0 : stack + field(6),
    tls: field(7),
  });
}

function* sysExit(task: Task, args: SysArgs): Steps<number> {
  task.exiting = true;
  if (task.group.threads.length === 1) task.group.exitStatus ??= exitedStatus(args[0] ?? 0);
  return 0;
}

function* sysExitGroup(task: Task, args: SysArgs): Steps<number> {
  groupExit(task.group, exitedStatus(args[0] ?? 0));
  task.exiting = true;
  return 0;
}

function* sysWait4(task: Task, args: SysArgs): Steps<number> {
  const [pid = 0, statusPointer = 0, options = 0, rusage = 0] = args;
  for (;;) {
    const children = childrenOf(task.group).filter((c) => pid <= 0 || c.leader.tgid === pid);
    if (children.length === 0) return -ECHILD;
    const ended = children.find((c) => c.zombie);
    if (ended !== undefined) {
      ended.reaped = true;
      const used = addUsage(groupUsage(ended), ended.childrenUsage);
      task.group.childrenUsage = addUsage(task.group.childrenUsage, used);
      if (statusPointer !== 0) {
        const stored = yield* copyToUser(task, statusPointer, tidBytes(ended.exitStatus ?? 0));
        if (stored < 0) return -EFAULT;
      }
      if (rusage !== 0 && (yield* putRusage(task, rusage, used)) < 0) return -EFAULT;
      return ended.leader.tgid;
    }
    if ((options & WNOHANG) !== 0) return 0;
    const sleeper = new Sleeper(CELL_WOKEN);
    const cancel = task.group.childEvents.subscribe(() => sleeper.wake());
    const why = yield* sleep(sleeper, 'interruptible', 'a child to end');
    cancel();
    if (why === 'signal' && !childrenOf(task.group).some((c) => c.zombie)) return -EINTR;
  }
}

function* sysSetTidAddress(task: Task, args: SysArgs): Steps<number> {
  task.clearChildTid = args[0] ?? 0;
  return task.tid;
}

function answer(nr: number, name: string, value: (task: Task) => number): SyscallRow {
  return {
    nr,
    name,
    params: [],
    handler: function* (task) {
      return value(task);
    },
    supports: [],
    gap: '',
  };
}

const cloneFlags = flags('flags', {
  CLONE_VM,
  CLONE_FS,
  CLONE_FILES,
  CLONE_SIGHAND,
  CLONE_VFORK,
  CLONE_THREAD,
  CLONE_SETTLS,
  CLONE_PARENT_SETTID,
  CLONE_CHILD_CLEARTID,
  CLONE_CHILD_SETTID,
});

export const rows: readonly SyscallRow[] = [
  {
    nr: 220,
    name: 'clone',
    params: [
      cloneFlags,
      address('stack'),
      address('parent_tid'),
      address('tls'),
      address('child_tid'),
    ],
    handler: sysClone,
    supports: [
      'CLONE_VM',
      'CLONE_FILES',
      'CLONE_SIGHAND',
      'CLONE_THREAD',
      'CLONE_SETTLS',
      'CLONE_VFORK',
    ],
    gap: 'Namespaces, pidfds and CLONE_UNTRACED do nothing.',
  },
  {
    nr: 435,
    name: 'clone3',
    params: [struct('cl_args'), number('size')],
    handler: sysClone3,
    supports: [],
    gap: 'As clone.',
  },
  { nr: 93, name: 'exit', params: [number('status')], handler: sysExit, supports: [], gap: '' },
  {
    nr: 94,
    name: 'exit_group',
    params: [number('status')],
    handler: sysExitGroup,
    supports: [],
    gap: '',
  },
  {
    nr: 260,
    name: 'wait4',
    params: [number('pid'), address('wstatus'), number('options'), struct('rusage')],
    handler: sysWait4,
    supports: ['WNOHANG'],
    gap: 'rusage as getrusage.',
  },
  {
    nr: 96,
    name: 'set_tid_address',
    params: [address('tidptr')],
    handler: sysSetTidAddress,
    supports: [],
    gap: '',
  },
  answer(172, 'getpid', (task) => task.tgid),
  answer(173, 'getppid', (task) => task.group.leader.parent?.tgid ?? 0),
  answer(178, 'gettid', (task) => task.tid),
  answer(174, 'getuid', (task) => task.uid),
  answer(175, 'geteuid', (task) => task.uid),
  answer(176, 'getgid', (task) => task.uid),
  answer(177, 'getegid', (task) => task.uid),
  answer(99, 'set_robust_list', () => 0),
];

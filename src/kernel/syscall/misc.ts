/** What a C library asks for on the way up: uname(2), getrandom(2), prlimit(2), sysinfo(2), sched_getaffinity(2) … */
import { Prng } from '../../base/prng.ts';
import { machine } from '../../machine/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT, EINVAL, ENOSYS, EPERM, ESRCH } from '../../uapi/errno.ts';
import { RLIM_NLIMITS, type Rlimit, rlimitOf, setRlimit } from '../core/rlimit.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { asciiBytes } from '../fs/bytes-file.ts';
import { totalSwapPages } from '../mm/swapfile.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';
import { address, length, number, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const UTS_FIELD = 65;
function* sysUname(task: Task, args: SysArgs): Steps<number> {
  const fields = [
    'Linux',
    'faultline',
    `${world.release}`,
    '#1 SMP PREEMPT_DYNAMIC',
    'riscv64',
    '',
  ];
  const bytes = new Uint8Array(UTS_FIELD * fields.length);
  for (const [i, field] of fields.entries()) bytes.set(asciiBytes(field), i * UTS_FIELD);
  return yield* copyToUser(task, args[0] ?? 0, bytes);
}

/** Bytes from the World's own generator: the same seed gives the same bytes. */
function* sysGetrandom(task: Task, args: SysArgs): Steps<number> {
  const [buffer = 0, count = 0, how = 0] = args;
  if ((how & ~7) !== 0) return -EINVAL;
  const bytes = new Uint8Array(Math.min(count, 256));
  world.random ??= new Prng(1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = world.random.below(256);
  return (yield* copyToUser(task, buffer, bytes)) < 0 ? -EFAULT : bytes.length;
}

function* sysPrlimit64(task: Task, args: SysArgs): Steps<number> {
  const [pid = 0, resource = 0, wanted = 0, old = 0] = args;
  if (resource < 0 || resource >= RLIM_NLIMITS) return -EINVAL;
  const given = wanted === 0 ? null : yield* copyFromUser(task, wanted, 16);
  if (typeof given === 'number') return given;
  const target = pid === 0 ? task : world.tasks.find((t) => t.tid === pid && !t.group.reaped);
  if (target === undefined) return -ESRCH;
  if (task.uid !== 0 && task.uid !== target.uid) return -EPERM;
  const before = rlimitOf(target.group, resource);
  if (given !== null) {
    const view = new DataView(given.buffer, given.byteOffset);
    const to: Rlimit = [view.getBigUint64(0, true), view.getBigUint64(8, true)];
    const error = setRlimit(task, target.group, resource, to);
    if (error !== 0) return error;
  }
  if (old === 0) return 0;
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, before[0], true);
  view.setBigUint64(8, before[1], true);
  return yield* copyToUser(task, old, bytes);
}

function* sysSysinfo(task: Task, args: SysArgs): Steps<number> {
  const { frames, clock } = machine;
  const bytes = new Uint8Array(112);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(Math.floor(clock.now / 1e9)), true);
  view.setBigUint64(32, BigInt(frames.count) * 4096n, true);
  view.setBigUint64(40, BigInt(frames.count - frames.inUse) * 4096n, true);
  const { swap } = world;
  view.setBigUint64(64, BigInt(totalSwapPages()) * 4096n, true);
  view.setBigUint64(72, BigInt(Math.max(0, totalSwapPages() - (swap?.used ?? 0))) * 4096n, true);
  view.setUint16(80, world.tasks.length, true);
  view.setUint32(104, 1, true);
  return yield* copyToUser(task, args[0] ?? 0, bytes);
}

function* sysSchedGetaffinity(task: Task, args: SysArgs): Steps<number> {
  const [, size = 0, pointer = 0] = args;
  if (size < 8 || size % 8 !== 0) return -EINVAL;
  const bytes = new Uint8Array(8);
  for (let hart = 0; hart < machine.tlbs.length; hart++) {
    bytes[hart >> 3] = (bytes[hart >> 3] ?? 0) | (1 << (hart & 7));
  }
  return (yield* copyToUser(task, pointer, bytes)) < 0 ? -EFAULT : 8;
}

function* sysGetcpu(task: Task, args: SysArgs): Steps<number> {
  const [cpu = 0, node = 0] = args;
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, task.hart, true);
  if (cpu !== 0 && (yield* copyToUser(task, cpu, bytes)) < 0) return -EFAULT;
  return node === 0 ? 0 : yield* copyToUser(task, node, new Uint8Array(4));
}

function* absent(): Steps<number> {
  return -ENOSYS;
}
function* accepted(): Steps<number> {
  return 0;
}

export const rows: readonly SyscallRow[] = [
  { nr: 160, name: 'uname', params: [struct('buf')], handler: sysUname, supports: [], gap: '' },
  {
    nr: 278,
    name: 'getrandom',
    params: [address('buf'), length('buflen'), number('flags')],
    handler: sysGetrandom,
    supports: [],
    gap: 'Deterministic by design: the bytes come from the seed.',
  },
  {
    nr: 261,
    name: 'prlimit64',
    params: [number('pid'), number('resource'), struct('new_limit'), struct('old_limit')],
    handler: sysPrlimit64,
    supports: [],
    gap: 'Enforced: RLIMIT_AS, RLIMIT_DATA and RLIMIT_MEMLOCK; the others can be set and have no effect.',
  },
  {
    nr: 179,
    name: 'sysinfo',
    params: [struct('info')],
    handler: sysSysinfo,
    supports: [],
    gap: '',
  },
  {
    nr: 123,
    name: 'sched_getaffinity',
    params: [number('pid'), length('cpusetsize'), address('mask')],
    handler: sysSchedGetaffinity,
    supports: [],
    gap: '',
  },
  {
    nr: 122,
    name: 'sched_setaffinity',
    params: [number('pid'), length('cpusetsize'), address('mask')],
    handler: accepted,
    supports: [],
    gap: 'Accepted and ignored: a thread keeps its hart.',
  },
  {
    nr: 168,
    name: 'getcpu',
    params: [address('cpu'), address('node')],
    handler: sysGetcpu,
    supports: [],
    gap: '',
  },
  {
    nr: 293,
    name: 'rseq',
    params: [struct('rseq'), length('len'), number('flags'), number('sig')],
    handler: absent,
    supports: [],
    gap: 'ENOSYS, as a kernel built without CONFIG_RSEQ.',
  },
  {
    nr: 258,
    name: 'riscv_hwprobe',
    params: [struct('pairs'), number('count')],
    handler: absent,
    supports: [],
    gap: 'ENOSYS, as before 6.4.',
  },
];

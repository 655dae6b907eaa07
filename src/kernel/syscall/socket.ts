/** socketpair(2), sendmsg(2), recvmsg(2), sendto(2), recvfrom(2), shutdown(2): connected AF_UNIX sockets. */
import type { Steps } from '../../sched/op.ts';
import {
  EAFNOSUPPORT,
  EBADF,
  EFAULT,
  EINVAL,
  EISCONN,
  EMFILE,
  EMSGSIZE,
  ENOTSOCK,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
} from '../../uapi/errno.ts';
import { O_NONBLOCK } from '../../uapi/fcntl.ts';
import {
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  SCM_MAX_FD,
  SCM_RIGHTS,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOCK_TYPE_MASK,
  SOL_SOCKET,
} from '../../uapi/socket.ts';
import type { Task } from '../core/task.ts';
import { closeFd, type File, fput } from '../fs/file.ts';
import {
  createSocketPair,
  type How,
  type Received,
  socketOf,
  type UnixSocket,
  unixReceive,
  unixSend,
  unixShutdown,
} from '../fs/unix-socket.ts';
import { copyFromUser, copyToUser } from '../mm/user-access.ts';
import { type IoVec, readIoVecs } from './iovec.ts';
import { address, fd, flags, length, number, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const TYPES: readonly number[] = [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET];
/** struct msghdr of 64 bit, and struct cmsghdr before its data. */
const MSGHDR_BYTES = 56;
const CMSGHDR_BYTES = 16;
const MSG_FLAGS_AT = 48;

function* sysSocketpair(task: Task, args: SysArgs): Steps<number> {
  const [domain = 0, kind = 0, protocol = 0, pointer = 0] = args;
  if ((kind & ~(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC)) !== 0) return -EINVAL;
  if (domain !== AF_UNIX) return -EAFNOSUPPORT;
  if (protocol !== 0 && protocol !== AF_UNIX) return -EPROTONOSUPPORT;
  // SOCK_RAW has always meant datagrams here. unix(7)
  const asked = kind & SOCK_TYPE_MASK;
  const type = asked === SOCK_RAW ? SOCK_DGRAM : asked;
  if (!TYPES.includes(type)) return -ESOCKTNOSUPPORT;
  const ends = createSocketPair(type, (kind & SOCK_NONBLOCK) === 0 ? 0 : O_NONBLOCK);
  const got: number[] = [];
  for (const end of ends) {
    const number_ = task.files.install(end, (kind & SOCK_CLOEXEC) !== 0);
    if (number_ >= 0) got.push(number_);
    else yield* fput(task, end);
  }
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  for (const [i, number_] of got.entries()) view.setInt32(i * 4, number_, true);
  const stored = got.length < 2 ? -EMFILE : yield* copyToUser(task, pointer, bytes);
  if (stored >= 0) return 0;
  for (const number_ of got) yield* closeFd(task, number_);
  return stored;
}

function socketAt(task: Task, descriptor: number): { file: File; socket: UnixSocket } | number {
  const file = task.files.get(descriptor);
  if (file === null) return -EBADF;
  const socket = socketOf(file);
  return socket === null ? -ENOTSOCK : { file, socket };
}

function howOf(file: File, how: number): How {
  const nonblock = (how & MSG_DONTWAIT) !== 0 || (file.flags & O_NONBLOCK) !== 0;
  return { nonblock, signals: (how & MSG_NOSIGNAL) === 0 };
}

interface MsgHdr {
  readonly name: number;
  readonly vecs: readonly IoVec[];
  readonly control: number;
  readonly controlLength: number;
}

function* readMsgHdr(task: Task, pointer: number): Steps<MsgHdr | number> {
  const bytes = yield* copyFromUser(task, pointer, MSGHDR_BYTES);
  if (typeof bytes === 'number') return -EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const word = (at: number): number => Number(view.getBigUint64(at, true));
  const vecs = yield* readIoVecs(task, word(16), word(24));
  if (typeof vecs === 'number') return vecs === -EINVAL ? -EMSGSIZE : vecs;
  return { name: word(0), vecs, control: word(32), controlLength: word(40) };
}

/** The files that SCM_RIGHTS names, a reference to each; or a negative errno. @linux scm_fp_copy */
function* readRights(task: Task, header: MsgHdr): Steps<File[] | number> {
  const { control, controlLength } = header;
  if (control === 0 || controlLength < CMSGHDR_BYTES) return [];
  const bytes = yield* copyFromUser(task, control, controlLength);
  if (typeof bytes === 'number') return -EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const files: File[] = [];
  for (let at = 0; at + CMSGHDR_BYTES <= controlLength; ) {
    const size = Number(view.getBigUint64(at, true));
    if (size < CMSGHDR_BYTES || at + size > controlLength) return -EINVAL;
    const [level, type] = [view.getInt32(at + 8, true), view.getInt32(at + 12, true)];
    if (level === SOL_SOCKET && type !== SCM_RIGHTS) return -EINVAL;
    for (let i = CMSGHDR_BYTES; level === SOL_SOCKET && i + 4 <= size; i += 4) {
      const file = task.files.get(view.getInt32(at + i, true));
      if (file === null) return -EBADF;
      files.push(file);
    }
    at += Math.ceil(size / 8) * 8;
  }
  if (files.length > SCM_MAX_FD) return -EINVAL;
  for (const file of files) file.refs++;
  return files;
}

function* sysSendmsg(task: Task, args: SysArgs): Steps<number> {
  const [descriptor = -1, pointer = 0, how = 0] = args;
  const at = socketAt(task, descriptor);
  if (typeof at === 'number') return at;
  const header = yield* readMsgHdr(task, pointer);
  if (typeof header === 'number') return header;
  if (header.name !== 0) return -EISCONN;
  const data: number[] = [];
  for (const { base, length: size } of header.vecs) {
    const part = size === 0 ? new Uint8Array(0) : yield* copyFromUser(task, base, size);
    if (typeof part === 'number') return part;
    data.push(...part);
  }
  const files = yield* readRights(task, header);
  if (typeof files === 'number') return files;
  const bytes = Uint8Array.from(data);
  const sent = yield* unixSend(task, at.socket, bytes, files, howOf(at.file, how));
  if (sent < 0) for (const file of files) yield* fput(task, file);
  return sent;
}

function* sysSendto(task: Task, args: SysArgs): Steps<number> {
  const [descriptor = -1, buffer = 0, size = 0, how = 0, name = 0] = args;
  const at = socketAt(task, descriptor);
  if (typeof at === 'number') return at;
  if (name !== 0) return -EISCONN;
  const bytes = size === 0 ? new Uint8Array(0) : yield* copyFromUser(task, buffer, size);
  if (typeof bytes === 'number') return bytes;
  return yield* unixSend(task, at.socket, bytes, [], howOf(at.file, how));
}

/** Copies what came into the buffers. @returns bytes, or -EFAULT */
function* scatter(task: Task, bytes: Uint8Array, vecs: readonly IoVec[]): Steps<number> {
  let done = 0;
  for (const { base, length: size } of vecs) {
    const part = bytes.subarray(done, done + size);
    if (part.length === 0) continue;
    if ((yield* copyToUser(task, base, part)) < 0) return -EFAULT;
    done += part.length;
  }
  return done;
}

/** Gives the caller descriptors for the files that came, as many as fit. @returns flags for msg_flags */
function* installRights(
  task: Task,
  header: MsgHdr,
  { files }: Received,
  how: number,
): Steps<{ readonly length: number; readonly flags: number }> {
  if (files.length === 0) return { length: 0, flags: 0 };
  const room = Math.floor((header.controlLength - CMSGHDR_BYTES) / 4);
  const numbers: number[] = [];
  for (const file of files) {
    const cloexec = (how & MSG_CMSG_CLOEXEC) !== 0;
    const got = numbers.length < room ? task.files.install(file, cloexec) : -EMFILE;
    if (got < 0) yield* fput(task, file);
    else numbers.push(got);
  }
  const cut = numbers.length < files.length ? MSG_CTRUNC : 0;
  if (numbers.length === 0) return { length: 0, flags: cut };
  const size = CMSGHDR_BYTES + numbers.length * 4;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(size), true);
  view.setInt32(8, SOL_SOCKET, true);
  view.setInt32(12, SCM_RIGHTS, true);
  for (const [i, number_] of numbers.entries()) view.setInt32(16 + i * 4, number_, true);
  yield* copyToUser(task, header.control, bytes);
  const padded = Math.ceil(size / 8) * 8;
  return { length: Math.min(padded, header.controlLength), flags: cut };
}

function* sysRecvmsg(task: Task, args: SysArgs): Steps<number> {
  const [descriptor = -1, pointer = 0, how = 0] = args;
  const at = socketAt(task, descriptor);
  if (typeof at === 'number') return at;
  const header = yield* readMsgHdr(task, pointer);
  if (typeof header === 'number') return header;
  const room = header.vecs.reduce((sum, vec) => sum + vec.length, 0);
  const peek = (how & MSG_PEEK) !== 0;
  const got = yield* unixReceive(at.socket, room, howOf(at.file, how), peek);
  if (typeof got === 'number') return got;
  const copied = yield* scatter(task, got.bytes, header.vecs);
  const rights = yield* installRights(task, header, got, how);
  // msg_namelen, then msg_controllen and msg_flags.
  const words = new Uint8Array(12);
  const view = new DataView(words.buffer);
  view.setBigUint64(0, BigInt(rights.length), true);
  view.setInt32(8, rights.flags | (got.cut ? MSG_TRUNC : 0), true);
  yield* copyToUser(task, pointer + 8, new Uint8Array(4));
  yield* copyToUser(task, pointer + MSG_FLAGS_AT - 8, words);
  return copied;
}

function* sysRecvfrom(task: Task, args: SysArgs): Steps<number> {
  const [descriptor = -1, buffer = 0, size = 0, how = 0] = args;
  const at = socketAt(task, descriptor);
  if (typeof at === 'number') return at;
  const peek = (how & MSG_PEEK) !== 0;
  const got = yield* unixReceive(at.socket, size, howOf(at.file, how), peek);
  if (typeof got === 'number') return got;
  for (const file of got.files) yield* fput(task, file);
  return (yield* copyToUser(task, buffer, got.bytes)) < 0 ? -EFAULT : got.bytes.length;
}

function* sysShutdown(task: Task, args: SysArgs): Steps<number> {
  const [descriptor = -1, how = 0] = args;
  if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
  const at = socketAt(task, descriptor);
  if (typeof at === 'number') return at;
  yield* unixShutdown(at.socket, how !== SHUT_WR, how !== SHUT_RD);
  return 0;
}

const sendFlags = flags('flags', { MSG_DONTWAIT, MSG_NOSIGNAL });
const receiveFlags = flags('flags', { MSG_PEEK, MSG_DONTWAIT, MSG_CMSG_CLOEXEC });

export const rows: readonly SyscallRow[] = [
  {
    nr: 199,
    name: 'socketpair',
    params: [number('domain'), number('type'), number('protocol'), address('sv')],
    handler: sysSocketpair,
    supports: ['SOCK_STREAM', 'SOCK_SEQPACKET', 'SOCK_DGRAM', 'SOCK_NONBLOCK', 'SOCK_CLOEXEC'],
    gap: 'AF_UNIX only; there is no socket(2), so nothing is bound, listened to or connected.',
  },
  {
    nr: 206,
    name: 'sendto',
    params: [fd('sockfd'), address('buf'), length('len'), sendFlags, address('addr'), number('n')],
    handler: sysSendto,
    supports: ['MSG_DONTWAIT', 'MSG_NOSIGNAL'],
    gap: '',
  },
  {
    nr: 207,
    name: 'recvfrom',
    params: [fd('sockfd'), address('buf'), length('len'), receiveFlags, address('addr')],
    handler: sysRecvfrom,
    supports: ['MSG_PEEK', 'MSG_DONTWAIT'],
    gap: 'MSG_WAITALL does not wait for more; no address is stored.',
  },
  {
    nr: 210,
    name: 'shutdown',
    params: [fd('sockfd'), number('how')],
    handler: sysShutdown,
    supports: ['SHUT_RD', 'SHUT_WR', 'SHUT_RDWR'],
    gap: '',
  },
  {
    nr: 211,
    name: 'sendmsg',
    params: [fd('sockfd'), struct('msg'), sendFlags],
    handler: sysSendmsg,
    supports: ['SCM_RIGHTS', 'MSG_DONTWAIT', 'MSG_NOSIGNAL'],
    gap: 'Other control messages return EINVAL.',
  },
  {
    nr: 212,
    name: 'recvmsg',
    params: [fd('sockfd'), struct('msg'), receiveFlags],
    handler: sysRecvmsg,
    supports: ['SCM_RIGHTS', 'MSG_PEEK', 'MSG_DONTWAIT', 'MSG_CMSG_CLOEXEC'],
    gap: 'As recvfrom.',
  },
];

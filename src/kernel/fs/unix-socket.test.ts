/** Socket pairs: what goes through them, in what pieces, and files that go along. Answers as 6.18.44 gives them. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileKit } from '../../../test/kernel/file-kit.ts';
import { A } from '../../../test/kernel/kit.ts';
import { NAME_AT } from '../../../test/kernel/memfd-kit.ts';
import { must } from '../../base/assert.ts';
import type { Steps } from '../../sched/op.ts';
import type { Oracle } from '../../sched/sched.ts';
import {
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from '../../uapi/socket.ts';
import { SCRATCH_BASE } from '../core/task.ts';
import { userLoad } from '../mm/user-access.ts';

const HEADER_AT = SCRATCH_BASE + 2048;
const IOV_AT = HEADER_AT + 64;
const CONTROL_AT = HEADER_AT + 128;

const FIRST: Oracle = {
  pick: (_sched, enabled) => enabled[0] ?? null,
  choose: () => 0,
  stepped: () => undefined,
};

let k: FileKit;
beforeEach(() => {
  k = new FileKit();
});
afterEach(() => {
  expect(k.census()).toBeNull();
});

function pair(type: number): [number, number] {
  expect(k.call('socketpair', 1, type | SOCK_NONBLOCK, 0, NAME_AT)).toBe(0);
  const view = new DataView(must(k.task.scratch, 'scratch').buffer);
  return [view.getInt32(1024, true), view.getInt32(1028, true)];
}
function send(fd: number, text: string): number | string {
  return k.call('write', fd, k.text(text), text.length);
}
function receive(fd: number, count = 100): string {
  const got = k.call('recvfrom', fd, HEADER_AT, count, 0, 0);
  return typeof got === 'string' ? got : String.fromCharCode(...k.out(got));
}

/** struct msghdr with one buffer, and SCM_RIGHTS for a descriptor if one is given. */
function header(text: string, descriptor: number | null, controlRoom = 24): void {
  const scratch = must(k.task.scratch, 'scratch');
  const view = new DataView(scratch.buffer);
  scratch.fill(0, 2048, 2304);
  k.text(text);
  view.setBigUint64(2048 + 16, BigInt(IOV_AT), true);
  view.setBigUint64(2048 + 24, 1n, true);
  view.setBigUint64(2112, BigInt(NAME_AT), true);
  view.setBigUint64(2120, BigInt(text.length), true);
  view.setBigUint64(2048 + 32, BigInt(CONTROL_AT), true);
  view.setBigUint64(2048 + 40, BigInt(controlRoom), true);
  if (descriptor === null) return;
  view.setBigUint64(2048 + 40, 20n, true);
  view.setBigUint64(2176, 20n, true);
  view.setInt32(2184, 1, true);
  view.setInt32(2188, 1, true);
  view.setInt32(2192, descriptor, true);
}
function sendWith(fd: number, text: string, descriptor: number): number | string {
  header(text, descriptor);
  return k.call('sendmsg', fd, HEADER_AT, 0);
}
/** Bytes, descriptor (0 for none) and msg_flags of a received message. */
function receiveWith(fd: number, room = 24): (number | string)[] {
  header('..........', null, room);
  const got = k.call('recvmsg', fd, HEADER_AT, 0);
  const view = new DataView(must(k.task.scratch, 'scratch').buffer);
  const length = Number(view.getBigUint64(2088, true));
  return [got, length === 0 ? 0 : view.getInt32(2192, true), view.getInt32(2096, true)];
}

test('a stream joins what was sent; messages keep their ends, and what does not fit is gone', () => {
  const [a, b] = pair(SOCK_STREAM);
  expect([send(a, 'ab'), send(a, 'cd'), receive(b, 3), receive(b)]).toEqual([2, 2, 'abc', 'd']);
  expect(receive(b)).toBe('EAGAIN');
  for (const type of [SOCK_SEQPACKET, SOCK_DGRAM]) {
    const [c, d] = pair(type);
    send(c, 'ab');
    send(c, 'cd');
    expect([receive(d, 1), receive(d), send(d, 'x'), receive(c)]).toEqual(['a', 'cd', 1, 'x']);
  }
});

test('a closed end: end of file, a broken pipe, and a reset when something was not read', () => {
  const [a, b] = pair(SOCK_STREAM);
  send(a, 'x');
  k.call('close', a);
  expect([receive(b), receive(b), send(b, 'y')]).toEqual(['x', '', 'EPIPE']);
  const [c, d] = pair(SOCK_SEQPACKET);
  send(c, 'x');
  k.call('close', d);
  expect([receive(c), receive(c), send(c, 'y')]).toEqual(['ECONNRESET', '', 'EPIPE']);
  const [e, f] = pair(SOCK_DGRAM);
  k.call('close', f);
  expect([send(e, 'x'), receive(e)]).toEqual(['ECONNREFUSED', 'EAGAIN']);
});

test('shutdown closes one direction', () => {
  const [a, b] = pair(SOCK_STREAM);
  expect([k.call('shutdown', a, 1), k.call('shutdown', a, 3)]).toEqual([0, 'EINVAL']);
  expect([send(a, 'x'), receive(b), send(b, 'y'), receive(a)]).toEqual(['EPIPE', '', 1, 'y']);
});

test('what socketpair refuses', () => {
  expect(k.call('socketpair', 2, SOCK_STREAM, 0, NAME_AT)).toBe('EAFNOSUPPORT');
  expect(k.call('socketpair', 1, 4, 0, NAME_AT)).toBe('ESOCKTNOSUPPORT');
  expect(k.call('socketpair', 1, SOCK_STREAM, 5, NAME_AT)).toBe('EPROTONOSUPPORT');
  expect(k.call('socketpair', 1, SOCK_STREAM | 0x100, 0, NAME_AT)).toBe('EINVAL');
  expect(k.call('socketpair', 1, SOCK_STREAM, 0, 1)).toBe('EFAULT');
  expect(k.list('/proc/self/fd')).toHaveLength(1);
  expect(k.call('socketpair', 1, SOCK_STREAM | SOCK_CLOEXEC, 0, NAME_AT)).toBe(0);
  expect(k.call('fcntl', 0, 1, 0)).toBe(1);
  expect(k.call('sendto', 0, NAME_AT, 1, MSG_DONTWAIT, 0, 0)).toBe(1);
  const memfd = k.memfd(1);
  expect(k.call('shutdown', memfd, 0)).toBe('ENOTSOCK');
});

test('a file goes along with bytes, and arrives as a new descriptor of the same open file', () => {
  const [a, b] = pair(SOCK_STREAM);
  const memfd = k.memfd(1);
  k.write(memfd, [42], 0);
  expect([sendWith(a, 'fd', memfd), k.call('close', memfd)]).toEqual([2, 0]);
  const [got, number_, flags] = receiveWith(b);
  expect([got, flags]).toEqual([2, 0]);
  expect(k.read(Number(number_), 1, 0)).toEqual([42]);
  expect(sendWith(a, 'fd', 77)).toBe('EBADF');
});

test('no room for descriptors: they are closed, and the message says so', () => {
  const [a, b] = pair(SOCK_SEQPACKET);
  const memfd = k.memfd(1);
  sendWith(a, 'fd', memfd);
  expect(receiveWith(b, 0)).toEqual([2, 0, 8]);
});

test('a userfaultfd in flight goes on watching; closed with the socket that holds it, it lets everybody go', () => {
  k.map(0, 1);
  const uffd = k.uffd();
  k.ioctl(uffd, 'REGISTER', { ...k.range(0, 1), mode: 1 });
  const [a, b] = pair(SOCK_STREAM);
  sendWith(a, 'u', uffd);
  k.call('close', uffd);
  const got: unknown[] = [];
  k.thread('reader', function* (task): Steps<void> {
    got.push(yield* userLoad(task, A, 1));
  });
  expect([k.world.sched.execute(FIRST, 1000), got]).toEqual(['stuck', []]);
  k.call('close', a);
  k.call('close', b);
  expect([k.world.sched.execute(FIRST, 1000), got]).toEqual(['done', [0]]);
});

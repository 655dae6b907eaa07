/** Descriptors that travel (SCM_RIGHTS): `socket S` in the set-up, `send S U`, `d = receive S`. */
import { AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET } from '../uapi/socket.ts';
import { type Call, resultOf, rowOf } from './calls.ts';
import { LitmusError } from './error.ts';
import { fdOf } from './operands.ts';
import { MESSAGE_AT, messageBytes, putStruct, SOURCE_AT, STRUCT_AT } from './scratch.ts';
import { atMost, nameOf, type Verb, type VerbContext, want } from './verb.ts';

const SOCKET_USAGE = 'socket S';
const SEND_USAGE = 'r = send S U';
const RECEIVE_USAGE = 'd = receive S';
/** Behind the msghdr: an iovec, then a cmsghdr with one descriptor, whose number is the last field. */
const IOVEC_AT = STRUCT_AT + 56;
const CONTROL_AT = IOVEC_AT + 16;
const CONTROL_BYTES = 24;
const CMSG_LEN = 20;
const FD_IN_MESSAGE = CONTROL_AT + 16 - MESSAGE_AT;

export const SOCKET_VERBS: Readonly<Record<string, Verb>> = {
  socket: { usage: SOCKET_USAGE, compile: compileSocket },
  send: { usage: SEND_USAGE, compile: compileSend },
  receive: { usage: RECEIVE_USAGE, compile: compileReceive },
};

/** Both ends of a pair; a forked child has them too. */
function compileSocket(c: VerbContext): Call {
  const name = nameOf(c, 0, SOCKET_USAGE);
  atMost(c, 1, SOCKET_USAGE);
  if (c.strand.kind !== 'setup') {
    throw new LitmusError('a socket is made in the set-up', c.pos, 'move it above');
  }
  const slot = c.scope.addFile(name.name, name.pos);
  const sender = c.scope.addFile(`${name.name} for sending`, name.pos);
  const { handler } = rowOf('socketpair');
  return function* (run, task) {
    const error = yield* handler(task, [AF_UNIX, SOCK_SEQPACKET, 0, MESSAGE_AT]);
    if (error < 0) return resultOf(error);
    const { buffer, byteOffset } = messageBytes(task);
    const view = new DataView(buffer, byteOffset);
    run.fds[slot] = view.getInt32(0, true);
    run.fds[sender] = view.getInt32(4, true);
    return 0;
  };
}

/** One byte and one descriptor. @returns 0, or what went wrong */
function compileSend(c: VerbContext): Call {
  const slot = socketSlot(c, SEND_USAGE);
  const fd = fdOf(c.scope, c.strand, want(c, 1, 'a descriptor', SEND_USAGE));
  atMost(c, 2, SEND_USAGE);
  const { handler } = rowOf('sendmsg');
  const kind = SOL_SOCKET + SCM_RIGHTS * 2 ** 32;
  return function* (run, task) {
    const header = [0, 0, IOVEC_AT, 1, CONTROL_AT, CONTROL_BYTES, 0];
    putStruct(task, [...header, SOURCE_AT, 1, CMSG_LEN, kind, fd(run)]);
    const done = yield* handler(task, [run.fds[slot + 1] ?? -1, STRUCT_AT, 0]);
    return done === 1 ? 0 : resultOf(done);
  };
}

/** Waits for a message. @returns the descriptor that came with it, `none`, or what went wrong */
function compileReceive(c: VerbContext): Call {
  const slot = socketSlot(c, RECEIVE_USAGE);
  atMost(c, 1, RECEIVE_USAGE);
  const { handler } = rowOf('recvmsg');
  return function* (run, task) {
    putStruct(task, [0, 0, IOVEC_AT, 1, CONTROL_AT, CONTROL_BYTES, 0, SOURCE_AT, 1, 0, 0, -1]);
    const got = yield* handler(task, [run.fds[slot] ?? -1, STRUCT_AT, 0]);
    if (got !== 1) return resultOf(got);
    const { buffer, byteOffset } = messageBytes(task);
    const fd = new DataView(buffer, byteOffset).getInt32(FD_IN_MESSAGE, true);
    return fd < 0 ? 'none' : fd;
  };
}

function socketSlot(c: VerbContext, usage: string): number {
  const operand = want(c, 0, 'the name of a socket', usage);
  const name = operand.kind === 'word' ? operand.name : '';
  const slot = c.scope.files.get(name);
  if (slot !== undefined && c.scope.files.has(`${name} for sending`)) return slot;
  throw new LitmusError(`no socket is called ${name}`, operand.pos, SOCKET_USAGE);
}

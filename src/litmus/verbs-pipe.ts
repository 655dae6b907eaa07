/** Pipes that hold references to pages: `pipe P` in the set-up, `vmsplice P A[0]`, `r = read P`. */
import { type Call, resultOf, rowOf } from './calls.ts';
import { LitmusError } from './error.ts';
import { MESSAGE_AT, messageBytes, putStruct, STRUCT_AT } from './scratch.ts';
import { atMost, nameOf, ownRange, type Verb, type VerbContext, want } from './verb.ts';

const PIPE_USAGE = 'pipe P';
const VMSPLICE_USAGE = 'r = vmsplice P A[0]';
const READ_USAGE = 'r = read P';
const WORD_BYTES = 4;

export const PIPE_VERBS: Readonly<Record<string, Verb>> = {
  pipe: { usage: PIPE_USAGE, compile: compilePipe },
  vmsplice: { usage: VMSPLICE_USAGE, compile: compileVmsplice },
};

/** Both ends; a forked child has them too. */
function compilePipe(c: VerbContext): Call {
  const name = nameOf(c, 0, PIPE_USAGE);
  atMost(c, 1, PIPE_USAGE);
  if (c.strand.kind !== 'setup') {
    throw new LitmusError('a pipe is made in the set-up', c.pos, 'move it above');
  }
  const slot = c.scope.addFile(name.name, name.pos);
  const writeEnd = c.scope.addFile(`${name.name} for writing`, name.pos);
  c.scope.pipes.add(name.name);
  const { handler } = rowOf('pipe2');
  return function* (run, task) {
    const error = yield* handler(task, [MESSAGE_AT, 0]);
    if (error < 0) return resultOf(error);
    const { buffer, byteOffset } = messageBytes(task);
    const view = new DataView(buffer, byteOffset);
    run.fds[slot] = view.getInt32(0, true);
    run.fds[writeEnd] = view.getInt32(4, true);
    return 0;
  };
}

/** A page by reference. @returns 0, or what went wrong */
function compileVmsplice(c: VerbContext): Call {
  const slot = pipeSlot(c, VMSPLICE_USAGE);
  const { start, length } = ownRange(c, want(c, 1, 'pages', VMSPLICE_USAGE));
  atMost(c, 2, VMSPLICE_USAGE);
  const { handler } = rowOf('vmsplice');
  return function* (run, task) {
    putStruct(task, [start(run), length(run)]);
    const done = yield* handler(task, [run.fds[slot + 1] ?? -1, STRUCT_AT, 1, 0]);
    return done === length(run) ? 0 : resultOf(done);
  };
}

/** The next word in the pipe. */
export function compilePipeRead(c: VerbContext): Call {
  const slot = pipeSlot(c, READ_USAGE);
  atMost(c, 1, READ_USAGE);
  const { handler } = rowOf('read');
  return function* (run, task) {
    const got = yield* handler(task, [run.fds[slot] ?? -1, MESSAGE_AT, WORD_BYTES]);
    if (got !== WORD_BYTES) return got < 0 ? resultOf(got) : 'short';
    const { buffer, byteOffset } = messageBytes(task);
    return new DataView(buffer, byteOffset).getInt32(0, true);
  };
}

/** Whether the first operand is the name of a pipe. */
export function namesPipe(c: Pick<VerbContext, 'scope' | 'operands'>): boolean {
  const [file] = c.operands;
  return file?.kind === 'word' && c.scope.pipes.has(file.name);
}

function pipeSlot(c: VerbContext, usage: string): number {
  const operand = want(c, 0, 'the name of a pipe', usage);
  const name = operand.kind === 'word' ? operand.name : '';
  const slot = c.scope.files.get(name);
  if (slot !== undefined && c.scope.pipes.has(name)) return slot;
  throw new LitmusError(`no pipe is called ${name}`, operand.pos, PIPE_USAGE);
}

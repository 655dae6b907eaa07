/**
 * The kernel's own ways to user memory: devices that pin pages (`device D`, `pin D A[0]`, `dma D 0 5`), debuggers
 * (`peek A[0]`, `poke A[0] 5`), process_vm_readv(2) and process_vm_writev(2).
 */
import { must } from '../base/assert.ts';
import type { Task } from '../kernel/core/task.ts';
import { readRemoteVm, writeRemoteVm } from '../kernel/mm/access-remote-vm.ts';
import { DmaBuffer, dmaPin, dmaRead, dmaUnpin, dmaWrite } from '../kernel/mm/dma-buffer.ts';
import { FOLL_FORCE, FOLL_LONGTERM, FOLL_WRITE, type FollFlags } from '../kernel/mm/gup-flags.ts';
import { EIO } from '../uapi/errno.ts';
import { type Call, resultOf, rowOf } from './calls.ts';
import { LitmusError } from './error.ts';
import { rangeOf } from './operands.ts';
import { PAGE } from './scope.ts';
import { MESSAGE_AT, messageBytes, putStruct, STRUCT_AT } from './scratch.ts';
import type { RunState } from './state.ts';
import {
  atMost,
  modes,
  nameOf,
  numberOf,
  ownRange,
  type Verb,
  type VerbContext,
  want,
} from './verb.ts';

const DEVICE_USAGE = 'device D';
const PIN_USAGE = 'r = pin D A[0] [read] [longterm] [fast]';
const UNPIN_USAGE = 'unpin D';
const DMA_USAGE = 'r = dma D 0 [5]';
const PEEK_USAGE = 'r = peek A[0]';
const POKE_USAGE = 'r = poke A[0] 5';
const READV_USAGE = 'r = process_vm_readv A[0] [pid]';
const WRITEV_USAGE = 'r = process_vm_writev A[0] 5 [pid]';
const WORD_BYTES = 4;
const IOVEC_BYTES = 16;
const READ_ONLY = 1;
const LONGTERM = 2;
const FAST = 4;

export const GUP_VERBS: Readonly<Record<string, Verb>> = {
  device: { usage: DEVICE_USAGE, compile: compileDevice },
  pin: { usage: PIN_USAGE, compile: compilePin },
  unpin: { usage: UNPIN_USAGE, compile: compileUnpin },
  dma: { usage: DMA_USAGE, compile: compileDma },
  peek: { usage: PEEK_USAGE, compile: compilePeek },
  poke: { usage: POKE_USAGE, compile: compilePoke },
  process_vm_readv: { usage: READV_USAGE, compile: compileReadv },
  process_vm_writev: { usage: WRITEV_USAGE, compile: compileWritev },
};

function compileDevice(c: VerbContext): Call {
  const name = nameOf(c, 0, DEVICE_USAGE);
  atMost(c, 1, DEVICE_USAGE);
  if (c.strand.kind !== 'setup') {
    throw new LitmusError('a device is made in the set-up', c.pos, 'move it above');
  }
  const slot = c.scope.addThing('device', name.name, name.pos);
  return function* (run) {
    run.devices[slot] = new DmaBuffer(name.name);
    return 0;
  };
}

/** How many pages the device has now, or why not even the first. */
function compilePin(c: VerbContext): Call {
  const device = deviceOf(c, PIN_USAGE);
  const range = ownRange(c, want(c, 1, 'pages', PIN_USAGE));
  const bits = modes(c, 2, { read: READ_ONLY, longterm: LONGTERM, fast: FAST });
  const flags = (((bits & READ_ONLY) === 0 ? FOLL_WRITE : 0) |
    ((bits & LONGTERM) !== 0 ? FOLL_LONGTERM : 0)) as FollFlags;
  return function* (run, task) {
    const count = range.length(run) / PAGE;
    const fast = (bits & FAST) !== 0;
    const pinned = dmaPin(device(run), task.mmOrDie, range.start(run), count, flags, fast);
    return resultOf(yield* pinned);
  };
}

function compileUnpin(c: VerbContext): Call {
  const device = deviceOf(c, UNPIN_USAGE);
  atMost(c, 1, UNPIN_USAGE);
  return function* (run) {
    yield* dmaUnpin(device(run));
    return 0;
  };
}

/** The word a pinned page begins with, as the device sees it; with a value: the device writes it. */
function compileDma(c: VerbContext): Call {
  const device = deviceOf(c, DMA_USAGE);
  const index = numberOf(c, want(c, 1, 'which of its pages', DMA_USAGE));
  const written = c.operands[2];
  atMost(c, 3, DMA_USAGE);
  if (written === undefined) {
    return function* (run) {
      return (yield* dmaRead(device(run), index(run))) ?? 'none';
    };
  }
  const value = numberOf(c, written);
  return function* (run) {
    return (yield* dmaWrite(device(run), index(run), value(run))) ? 0 : 'none';
  };
}

/** ptrace(PTRACE_PEEKDATA), a read of /proc/PID/mem. */
function compilePeek(c: VerbContext): Call {
  const { start } = ownRange(c, want(c, 0, 'a page', PEEK_USAGE));
  atMost(c, 1, PEEK_USAGE);
  return function* (run, task) {
    const got = yield* readRemoteVm(task.mmOrDie, start(run), WORD_BYTES, FOLL_FORCE);
    if (got.length < WORD_BYTES) return resultOf(-EIO);
    return new DataView(got.buffer, got.byteOffset).getInt32(0, true);
  };
}

/** ptrace(PTRACE_POKEDATA), a write to /proc/PID/mem. */
function compilePoke(c: VerbContext): Call {
  const { start } = ownRange(c, want(c, 0, 'a page', POKE_USAGE));
  const value = numberOf(c, want(c, 1, 'a value', POKE_USAGE));
  atMost(c, 2, POKE_USAGE);
  return function* (run, task) {
    const bytes = new Uint8Array(WORD_BYTES);
    new DataView(bytes.buffer).setInt32(0, value(run), true);
    const done = yield* writeRemoteVm(task.mmOrDie, start(run), bytes, FOLL_FORCE);
    return done === WORD_BYTES ? 0 : resultOf(-EIO);
  };
}

/** The word a page of the caller begins with, or of the process whose number a register holds. */
function compileReadv(c: VerbContext): Call {
  const { start } = rangeOf(c.scope, c.strand, want(c, 0, 'a page', READV_USAGE));
  const pid = pidOf(c, 1, READV_USAGE);
  const { handler } = rowOf('process_vm_readv');
  return function* (run, task) {
    putStruct(task, [MESSAGE_AT, WORD_BYTES, start(run), WORD_BYTES]);
    const args = [pid(run, task), STRUCT_AT, 1, STRUCT_AT + IOVEC_BYTES, 1, 0];
    const got = yield* handler(task, args);
    if (got !== WORD_BYTES) return resultOf(got);
    const { buffer, byteOffset } = messageBytes(task);
    return new DataView(buffer, byteOffset).getInt32(0, true);
  };
}

/** @returns 0, or what went wrong */
function compileWritev(c: VerbContext): Call {
  const { start } = rangeOf(c.scope, c.strand, want(c, 0, 'a page', WRITEV_USAGE));
  const value = numberOf(c, want(c, 1, 'a value', WRITEV_USAGE));
  const pid = pidOf(c, 2, WRITEV_USAGE);
  const { handler } = rowOf('process_vm_writev');
  return function* (run, task) {
    putStruct(task, [STRUCT_AT + 2 * IOVEC_BYTES, WORD_BYTES, start(run), WORD_BYTES, value(run)]);
    const args = [pid(run, task), STRUCT_AT, 1, STRUCT_AT + IOVEC_BYTES, 1, 0];
    const done = yield* handler(task, args);
    return done === WORD_BYTES ? 0 : resultOf(done);
  };
}

function pidOf(
  c: VerbContext,
  index: number,
  usage: string,
): (run: RunState, task: Task) => number {
  const operand = c.operands[index];
  atMost(c, index + 1, usage);
  if (operand === undefined) return (_run, task) => task.tid;
  const pid = numberOf(c, operand);
  return (run) => pid(run);
}

function deviceOf(c: VerbContext, usage: string): (run: RunState) => DmaBuffer {
  const slot = c.scope.thing('device', want(c, 0, 'a device', usage), DEVICE_USAGE);
  return (run) => must(run.devices[slot], 'device');
}

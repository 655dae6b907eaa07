/**
 * Everything that happens in a run, in the Trace Event Format that Perfetto and chrome://tracing open. Times are
 * virtual, so that the same seed gives the same bytes.
 */
import type { Task } from '../kernel/core/task.ts';
import { syscallByNr } from '../kernel/syscall/dispatch.ts';
import { errnoName, isErr } from '../uapi/errno.ts';
import { signalName } from '../uapi/signal.ts';
import {
  decodeUffdMsg,
  UFFD_MSG_SIZE,
  UFFD_PAGEFAULT_FLAG_MINOR,
  UFFD_PAGEFAULT_FLAG_WP,
  UFFD_PAGEFAULT_FLAG_WRITE,
  type UffdMsg,
} from '../uapi/userfaultfd.ts';
import { peekBytes } from './peek.ts';
import type { RunObserver } from './run.ts';
import { callText, hex } from './strace.ts';

const SYS_READ = 63;

type Fields = Readonly<Record<string, string | number>>;

/** @param write gets the text piece by piece */
export function chromeTrace(write: (text: string) => void): RunObserver & { end(): void } {
  let separator = '{"displayTimeUnit":"ns","traceEvents":[\n';
  const emit = (ph: string, now: number, task: Task, rest: Fields, args: Fields = {}): void => {
    const event = { ph, ts: now / 1000, pid: task.tgid, tid: task.tid, ...rest, args };
    write(separator + JSON.stringify(event));
    separator = ',\n';
  };
  return {
    started(now, task) {
      const name = `${task.name} ${task.tid}`;
      if (task.tid === task.tgid) emit('M', now, task, { name: 'process_name' }, { name });
      emit('M', now, task, { name: 'thread_name' }, { name });
    },
    syscall(now, task, nr, args) {
      const name = syscallByNr(nr)?.name ?? `syscall ${nr}`;
      emit('B', now, task, { cat: 'syscall', name }, { call: callText(task, nr, args) });
    },
    syscallEnd(now, task, nr, args, result) {
      if (nr === SYS_READ && result > 0) readMessages(now, task, args, result, emit);
      emit('E', now, task, {}, { result: isErr(result) ? errnoName(-result) : result });
    },
    fault(now, task, kind, address) {
      emit('B', now, task, { cat: 'fault', name: `${kind} fault` }, { address: hex(address) });
    },
    faultEnd(now, task, signal) {
      emit('E', now, task, {}, { result: signal === null ? 'handled' : `SIG${signal.signal}` });
    },
    waits(now, task, awaits) {
      emit('B', now, task, { cat: 'wait', name: 'wait' }, { awaits });
    },
    waitEnd(now, task) {
      emit('E', now, task, {});
    },
    killed(now, task, info, pc) {
      const args = { address: hex(info.address), pc: hex(pc) };
      emit('i', now, task, { cat: 'signal', name: signalName(info.signo), s: 'p' }, args);
    },
    end() {
      write(`${separator.startsWith('{') ? separator : '\n'}]}\n`);
    },
  };
}

type Emit = (ph: string, now: number, task: Task, rest: Fields, args: Fields) => void;

/** One instant event for each message that a read of a userfaultfd returned. */
function readMessages(
  now: number,
  task: Task,
  args: readonly number[],
  length: number,
  emit: Emit,
): void {
  if (task.files.get(args[0] ?? -1)?.ops.kind !== 'userfaultfd') return;
  const bytes = peekBytes(task, args[1] ?? 0, length);
  for (let at = 0; at + UFFD_MSG_SIZE <= bytes.length; at += UFFD_MSG_SIZE) {
    const message = decodeUffdMsg(bytes, at);
    if (message === null) continue;
    emit('i', now, task, { cat: 'uffd', name: `uffd ${message.event}`, s: 't' }, fields(message));
  }
}

function fields(message: UffdMsg): Fields {
  if (message.event !== 'pagefault') {
    const shown: Record<string, string | number> = {};
    for (const [key, value] of Object.entries(message)) {
      if (key !== 'event') shown[key] = typeof value === 'number' ? hex(value) : String(value);
    }
    return shown;
  }
  const names: string[] = [];
  if ((message.flags & UFFD_PAGEFAULT_FLAG_WRITE) !== 0) names.push('WRITE');
  if ((message.flags & UFFD_PAGEFAULT_FLAG_WP) !== 0) names.push('WP');
  if ((message.flags & UFFD_PAGEFAULT_FLAG_MINOR) !== 0) names.push('MINOR');
  return { address: hex(message.address), flags: names.join('|') };
}

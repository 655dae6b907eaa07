/** System calls as text, in the manner of strace(1): one line a call, and for a failing one the sentence why. */
import type { Task } from '../kernel/core/task.ts';
import { UFFD_IOCTLS } from '../kernel/fs/userfaultfd-ioctl.ts';
import { syscallByNr } from '../kernel/syscall/dispatch.ts';
import type { Param } from '../kernel/syscall/row.ts';
import { errnoName, isErr } from '../uapi/errno.ts';
import { errnoSentence } from './errno-sentence.ts';
import { peekString } from './peek.ts';
import type { RunObserver } from './run.ts';

const LONGEST_STRING = 48;
const AT_FDCWD = -100;
/** exit and exit_group do not come back. */
const NO_RETURN: readonly number[] = [93, 94];

interface Pending {
  readonly text: string;
}

/** @param line gets each line, without a newline */
export function strace(line: (text: string) => void): RunObserver & { unfinished(): void } {
  const pending = new Map<number, Pending>();
  return {
    syscall(_now, task, nr, args) {
      pending.set(task.tid, { text: `[${task.tid}] ${callText(task, nr, args)}` });
    },
    syscallEnd(_now, task, nr, _args, result) {
      const text = pending.get(task.tid)?.text ?? '';
      pending.delete(task.tid);
      line(`${text} = ${NO_RETURN.includes(nr) ? '?' : resultText(task, nr, result)}`);
    },
    unfinished() {
      for (const { text } of pending.values()) line(`${text} <unfinished ...>`);
    },
  };
}

/** `read(3, 0x7ff0, 32)`. */
export function callText(task: Task, nr: number, args: readonly number[]): string {
  const row = syscallByNr(nr);
  if (row === null) return `syscall_${nr}(${args.map(hex).join(', ')})`;
  const shown = row.params.map((param, i) => argText(task, param, args[i] ?? 0));
  const ioctl = UFFD_IOCTLS.find((r) => r.cmd === (args[1] ?? 0) >>> 0);
  if (row.name === 'ioctl' && ioctl !== undefined) shown[1] = ioctl.name;
  return `${row.name}(${shown.join(', ')})`;
}

function argText(task: Task, param: Param, value: number): string {
  switch (param.kind) {
    case 'address':
    case 'struct':
      return value === 0 ? 'NULL' : hex(value);
    case 'string': {
      const text = peekString(task, value, LONGEST_STRING);
      return text === null ? hex(value) : JSON.stringify(text);
    }
    case 'fd':
      return (value | 0) === AT_FDCWD ? 'AT_FDCWD' : `${value | 0}`;
    case 'flags':
      return flagsText(value, param.names ?? {});
    default:
      return Math.abs(value) > 0xffff ? hex(value) : `${value}`;
  }
}

/** `O_CLOEXEC|0x800`: the largest names first, so that a name for several bits goes before theirs; 0 stands alone. */
function flagsText(value: number, names: Readonly<Record<string, number>>): string {
  let rest = value >>> 0;
  const found: string[] = [];
  const largestFirst = Object.entries(names).sort(([, a], [, b]) => (b >>> 0) - (a >>> 0));
  for (const [name, bits] of largestFirst) {
    if (bits === 0 ? value !== 0 : (rest & bits) >>> 0 !== bits >>> 0) continue;
    found.push(name);
    rest = (rest & ~bits) >>> 0;
  }
  if (rest !== 0 || found.length === 0) found.push(rest === 0 ? '0' : hex(rest));
  return found.join('|');
}

function resultText(task: Task, nr: number, result: number): string {
  if (!isErr(result)) return Math.abs(result) > 0xffff ? hex(result) : `${result}`;
  const why = task.why?.why ?? errnoSentence(-result, syscallByNr(nr) !== null);
  return `-1 ${errnoName(-result)} (${why})`;
}

export function hex(value: number): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

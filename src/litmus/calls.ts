/**
 * System calls by name: looks a row up in the kernel's table and puts addresses, descriptors and bits where the file
 * says regions, names and flags.
 */
import { must } from '../base/assert.ts';
import type { Task } from '../kernel/core/task.ts';
import type { Param, SyscallRow } from '../kernel/syscall/row.ts';
import { SYSCALLS } from '../kernel/syscall/table.ts';
import type { Steps } from '../sched/op.ts';
import { errnoName } from '../uapi/errno.ts';
import type { Operand, Pos } from './ast.ts';
import { LitmusError, notYet } from './error.ts';
import { type Eval, evalOf, fdOf, flagsOf, looksLikePlace, rangeOf } from './operands.ts';
import type { Scope, Strand } from './scope.ts';
import type { RunState } from './state.ts';
import type { Value } from './values.ts';

/** A call ready to run. */
export type Call = (run: RunState, task: Task) => Steps<Value>;

const BY_NAME: ReadonlyMap<string, SyscallRow> = new Map(SYSCALLS.map((row) => [row.name, row]));

export function syscallNames(): Iterable<string> {
  return BY_NAME.keys();
}

/** The row of a system call that the kernel must have. */
export function rowOf(name: string): SyscallRow {
  return must(BY_NAME.get(name), `system call ${name}`);
}

export function hasSyscall(name: string): boolean {
  return BY_NAME.has(name);
}

/** A result as a register holds it: a number, or the name of the error. */
export function resultOf(result: number): Value {
  return result < 0 && result >= -4095 ? errnoName(-result) : result;
}

/** Compiles `madvise A[0] DONTNEED`. A place fills an address and the length after it, unless a length is given. */
export function compileSyscall(
  scope: Scope,
  strand: Strand,
  name: string,
  operands: readonly Operand[],
  pos: Pos,
): Call {
  const row = rowOf(name);
  const args = bind(scope, strand, row, operands, pos);
  const { handler } = row;
  return function* (run, task) {
    const values: number[] = [];
    for (const arg of args) values.push(arg(run));
    return resultOf(yield* handler(task, values));
  };
}

function bind(
  scope: Scope,
  strand: Strand,
  row: SyscallRow,
  operands: readonly Operand[],
  pos: Pos,
): readonly Eval<number>[] {
  const { params } = row;
  const args: Eval<number>[] = [];
  let given = 0;
  for (let i = 0; i < params.length; i++) {
    const param = must(params[i], 'parameter');
    const operand = operands[given];
    if (operand === undefined) throw missing(row, i, pos);
    given++;
    const next = params[i + 1];
    if (param.kind === 'address' && looksLikePlace(scope, operand)) {
      const range = rangeOf(scope, strand, operand);
      args.push(range.start);
      const left = operands.length - given;
      if (next?.kind === 'length' && left < params.length - i - 1) {
        args.push(range.length);
        i++;
      }
      continue;
    }
    args.push(argument(scope, strand, row, param, operand));
  }
  const extra = operands[given];
  if (extra !== undefined) {
    throw new LitmusError(`${row.name} takes no more arguments`, extra.pos, usage(row));
  }
  return args;
}

function argument(
  scope: Scope,
  strand: Strand,
  row: SyscallRow,
  param: Param,
  operand: Operand,
): Eval<number> {
  if (param.kind === 'fd') return fdOf(scope, strand, operand);
  if (param.names !== undefined && operand.kind !== 'number') {
    refuseUnmodelled(row, param.names, operand);
    const bits = flagsOf(param.names, operand, `${param.name} of ${row.name}`);
    return () => bits;
  }
  if (operand.kind === 'string') {
    throw notYet(`texts as arguments (${param.name} of ${row.name})`, operand.pos);
  }
  if (looksLikePlace(scope, operand)) return rangeOf(scope, strand, operand).start;
  const value = evalOf(scope, strand, operand);
  return (run) => {
    const v = value(run);
    return typeof v === 'number' ? v : 0;
  };
}

/** What the kernel does not model is bad input, never an outcome (design, decision 20). */
function refuseUnmodelled(
  row: SyscallRow,
  names: Readonly<Record<string, number>>,
  operand: Operand,
): void {
  const known = Object.keys(names).filter((name) => row.supports.includes(name));
  if (known.length === 0) return;
  const given =
    operand.kind === 'word' ? [operand.name] : operand.kind === 'flags' ? operand.names : [];
  for (const word of given) {
    const full = Object.keys(names).filter((n) => n === word || n.endsWith(`_${word}`));
    full.sort((a, b) => a.length - b.length);
    const [name] = full;
    if (name !== undefined && !row.supports.includes(name)) {
      throw notYet(`${name} of ${row.name}`, operand.pos, `there is: ${known.join(', ')}`);
    }
  }
}

function missing(row: SyscallRow, index: number, pos: Pos): LitmusError {
  const name = row.params[index]?.name ?? '';
  return new LitmusError(`${row.name} wants ${name}`, pos, usage(row));
}

function usage(row: SyscallRow): string {
  return `${row.name} ${row.params.map((p) => p.name).join(' ')}`;
}

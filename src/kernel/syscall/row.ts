/** The shape of the system-call table: a row is what the dispatcher, --strace, the coverage page and litmus all read. */
import type { Steps } from '../../sched/op.ts';
import type { Task } from '../core/task.ts';

/**
 * Register values as signed numbers: -1 is -1, addresses are exact to 2^53. A handler returns what user space gets in
 * its result register: a value, or a negative errno.
 */
export type SysArgs = readonly number[];
export type Handler = (task: Task, args: SysArgs) => Steps<number>;

/** What an argument means: for --strace, and for litmus, which puts regions and file names in its place. */
export type ParamKind = 'address' | 'length' | 'fd' | 'flags' | 'number' | 'struct' | 'string';

export interface Param {
  readonly name: string;
  readonly kind: ParamKind;
  /** For flags: names by value, as user space spells them. */
  readonly names?: Readonly<Record<string, number>>;
}

export interface SyscallRow {
  /** Number on riscv64 (asm-generic). */
  readonly nr: number;
  /** As in its man page. */
  readonly name: string;
  readonly params: readonly Param[];
  readonly handler: Handler;
  /** What is modelled: flags, advice, sub-commands, as data for the coverage page. */
  readonly supports: readonly string[];
  /** What is not, in a sentence; empty when nothing is missing. */
  readonly gap: string;
}

/** From a number in a register to a handler. @linux arch/riscv/kernel/traps.c do_trap_ecall_u */
import type { Steps } from '../../sched/op.ts';
import { ENOSYS } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import type { SysArgs, SyscallRow } from './row.ts';
import { SYSCALLS } from './table.ts';

const BY_NR: ReadonlyMap<number, SyscallRow> = new Map(SYSCALLS.map((row) => [row.nr, row]));
const BY_NAME: ReadonlyMap<string, SyscallRow> = new Map(SYSCALLS.map((row) => [row.name, row]));

/**
 * Runs a system call for a task.
 * @param nr riscv64 number
 * @param args registers as signed numbers
 * @returns what user space gets: a value, or a negative errno; -ENOSYS for a number without a row
 */
export function* dispatch(task: Task, nr: number, args: SysArgs): Steps<number> {
  const row = BY_NR.get(nr);
  task.why = null;
  return row === undefined ? -ENOSYS : yield* row.handler(task, args);
}

export function syscallByNr(nr: number): SyscallRow | null {
  return BY_NR.get(nr) ?? null;
}

export function syscallByName(name: string): SyscallRow | null {
  return BY_NAME.get(name) ?? null;
}

/** What a signal that ends the program has to say: where, doing what, and what is mapped there. */
import type { Task } from '../kernel/core/task.ts';
import type { SigInfo } from '../kernel/core/thread-group.ts';
import type { Vma } from '../kernel/mm/mm-types.ts';
import { has, VM_EXEC, VM_READ, VM_SHARED, VM_WRITE } from '../kernel/mm/vm-flags.ts';

export type FaultKind = 'read' | 'write' | 'exec';

/** The fault a thread had last. */
export interface LastFault {
  readonly kind: FaultKind;
  readonly address: number;
}

export interface Death {
  readonly info: SigInfo;
  readonly pc: number;
  /** What the thread tried; null when the signal is no fault's. */
  readonly access: FaultKind | null;
  /** `10000-75000 r-xp`, or `no mapping there`. */
  readonly mapping: string;
  /** The same for the pc. */
  readonly pcMapping: string;
  readonly tid: number;
}

export function findDeath(task: Task, info: SigInfo, pc: number, fault: LastFault | null): Death {
  const own = fault !== null && info.pid === 0 && fault.address === info.address;
  return {
    info,
    pc,
    access: own ? fault.kind : null,
    mapping: describeMapping(task, info.address),
    pcMapping: describeMapping(task, pc),
    tid: task.tid,
  };
}

/** The mapping around an address, as the first columns of /proc/PID/maps. */
function describeMapping(task: Task, address: number): string {
  const vma = task.mm?.vmas.find(address) ?? null;
  return vma === null ? 'no mapping there' : mappingText(vma);
}

export function mappingText(vma: Vma): string {
  const letter = (flag: typeof VM_READ, text: string): string =>
    has(vma.flags, flag) ? text : '-';
  const rights = letter(VM_READ, 'r') + letter(VM_WRITE, 'w') + letter(VM_EXEC, 'x');
  const kind = has(vma.flags, VM_SHARED) ? 's' : 'p';
  return `${vma.start.toString(16)}-${vma.end.toString(16)} ${rights}${kind}`;
}

/** A task: one thread of a process as the kernel sees it. @linux include/linux/sched.h struct task_struct */
import type { Thread } from '../../sched/thread.ts';
import type { ErrnoRow } from '../errno-row.ts';
import type { Dentry } from '../fs/dentry.ts';
import type { FdTable } from '../fs/file.ts';
import type { Mm } from '../mm/mm-types.ts';
import type { UserRegs } from './regs.ts';
import { type SigInfo, ThreadGroup } from './thread-group.ts';

/** @linux include/linux/fs_struct.h */
export interface FsStruct {
  /** Null: the root. */
  pwd: Dentry | null;
  umask: number;
}

export class Task {
  /** Thread id; the first task of a process has tid === tgid. */
  tid: number;
  readonly tgid: number;
  name: string;
  /** Null once exit_mm has run, and for kernel threads. */
  mm: Mm | null;
  files: FdTable;
  /** The hart it runs on: whose TLB its accesses go through. */
  readonly hart: number;
  /** Owns frame and table free lists of its own (decision 3). */
  readonly owner: number;
  /** The schedulable strand; null in set-up code. */
  thread: Thread | null = null;
  parent: Task | null;
  readonly children: Task[] = [];
  uid = 0;
  /** Working directory and umask; shared by threads. */
  fs: FsStruct = { pwd: null, umask: 0o022 };
  /** Faults that came to an end, without and with a second attempt or reading something in. @linux min_flt, maj_flt */
  minFlt = 0;
  majFlt = 0;
  exiting = false;
  /** Another thread of the process calls execve: this one ends. */
  zapped = false;
  /** It has an address space of its own, or has ended: who called vfork(2) may go on. */
  vforkDone = false;
  /** The check that made its last system call fail, where the call keeps a table of them (errno-row.ts). */
  why: ErrnoRow | null = null;
  /** Core dump in progress: faults must not wait for user space. */
  dumping = false;
  /**
   * A window of memory at SCRATCH_BASE that is always present and private to the task: where litmus tests keep the
   * structs and buffers that a C program keeps on its stack. Null in `run`.
   */
  scratch: Uint8Array | null = null;
  /** The process it is a thread of. */
  group: ThreadGroup;
  /** User registers; null for tasks that run no guest code. */
  regs: UserRegs | null = null;
  /** Blocked signals, bit n-1 for signal n. */
  blocked = 0n;
  /** Mask to go back to once a handler has been set up (ppoll, rt_sigsuspend). @linux saved_sigmask */
  savedMask: bigint | null = null;
  /** Signals sent to this thread alone. */
  readonly pending: SigInfo[] = [];
  /** sigaltstack(2); null: none. */
  altStack: { readonly sp: number; readonly size: number } | null = null;
  /** @linux clear_child_tid */
  clearChildTid = 0;
  /** Where the child stores its thread id when it first runs. @linux set_child_tid */
  setChildTid = 0;

  constructor(
    tid: number,
    tgid: number,
    name: string,
    mm: Mm,
    files: FdTable,
    hart: number,
    owner: number,
    parent: Task | null,
  ) {
    this.tid = tid;
    this.tgid = tgid;
    this.name = name;
    this.mm = mm;
    this.files = files;
    this.hart = hart;
    this.owner = owner;
    this.parent = parent;
    this.group = new ThreadGroup(this);
    this.group.threads.push(this);
    parent?.children.push(this);
  }

  /** The address space, for code that only runs while it is there. */
  get mmOrDie(): Mm {
    if (this.mm === null) throw new Error(`BUG: ${this.name} has no address space`);
    return this.mm;
  }
}

/** Where a task's scratch window begins; outside everything mmap hands out in litmus. */
export const SCRATCH_BASE = 0x600000000000;

/**
 * A World with one process for kernel tests: its system calls by name, structs in its scratch window, loads and stores.
 * Everything runs alone, to its end, unless a test makes threads of it.
 */
import { assert, must } from '../../src/base/assert.ts';
import { frameCensus } from '../../src/kernel/check/frame-census.ts';
import { runChecks } from '../../src/kernel/check/table.ts';
import { createProcess, createThread } from '../../src/kernel/core/create.ts';
import { SCRATCH_BASE, type Task } from '../../src/kernel/core/task.ts';
import { enterWorld } from '../../src/kernel/current.ts';
import type { UserfaultfdCtx } from '../../src/kernel/fs/userfaultfd-ctx.ts';
import { ctxOfFile } from '../../src/kernel/fs/userfaultfd-file.ts';
import { UFFD_IOCTLS } from '../../src/kernel/fs/userfaultfd-ioctl.ts';
import { doMadvise } from '../../src/kernel/mm/madvise.ts';
import { doMmap } from '../../src/kernel/mm/mmap.ts';
import { doMprotect } from '../../src/kernel/mm/mprotect.ts';
import { doMunmap } from '../../src/kernel/mm/munmap.ts';
import { pteSlot } from '../../src/kernel/mm/pgtable.ts';
import { userLoad, userStore } from '../../src/kernel/mm/user-access.ts';
import { type Patch, stackPatches } from '../../src/kernel/seam.ts';
import { sysIoctl } from '../../src/kernel/syscall/ioctl.ts';
import { sysRead } from '../../src/kernel/syscall/read.ts';
import { sysUserfaultfd } from '../../src/kernel/syscall/userfaultfd.ts';
import { World } from '../../src/kernel/world.ts';
import { LITMUS_GEOMETRY, PAGE_SIZE } from '../../src/machine/geometry.ts';
import { type DecodedPte, decodePte, type Pte } from '../../src/machine/pte.ts';
import type { Steps } from '../../src/sched/op.ts';
import { errnoName } from '../../src/uapi/errno.ts';
import { O_NONBLOCK } from '../../src/uapi/fcntl.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE } from '../../src/uapi/mman.ts';
import {
  decodeStruct,
  decodeUffdMsg,
  encodeStruct,
  type UffdMsg,
} from '../../src/uapi/userfaultfd.ts';

export const P: number = PAGE_SIZE;
/** Where tests map things: page 0 of every drawing. */
export const A = 0x40000;
const SCRATCH_BYTES = 4096;
const MESSAGES_AT = 512;

/** `0`, a positive value, or an errno's name. */
export function answer(result: number): number | string {
  return result < 0 ? errnoName(-result) : result;
}

export type StructOut = Record<string, number>;

export class Kit {
  readonly world: World;
  readonly task: Task;

  constructor(patches: readonly Patch[] = [], exploring = false, swapPages = 0) {
    const overrides = stackPatches(patches);
    assert(typeof overrides !== 'string', String(overrides));
    const geometry = LITMUS_GEOMETRY;
    this.world = new World({ geometry, harts: 4, exploring, overrides, swapPages });
    enterWorld(this.world);
    this.task = createProcess(this.world, { name: 'main', hart: 0, owner: 0 });
    this.task.scratch = new Uint8Array(SCRATCH_BYTES);
    this.world.setupTask = this.task;
  }

  alone<T>(steps: Steps<T>): T {
    enterWorld(this.world);
    return this.world.sched.runAlone(steps);
  }

  /** Another thread of the process, with a body that the scheduler runs. */
  thread(name: string, body: (task: Task) => Steps<void>, daemon = false): Task {
    const n = this.world.tasks.length;
    const task = createThread(this.task, { name, hart: n, owner: n });
    task.scratch = new Uint8Array(SCRATCH_BYTES);
    task.thread = this.world.sched.spawn(name, body(task), daemon);
    this.world.taskOfThread.set(task.thread.id, task);
    return task;
  }

  map(page: number, pages: number, prot = 3): number {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    const mm = this.task.mmOrDie;
    return this.alone(doMmap(mm, { address: A + page * P, length: pages * P, prot, flags }));
  }
  unmap(page: number, pages: number): number {
    return this.alone(doMunmap(this.task.mmOrDie, A + page * P, pages * P));
  }
  protect(page: number, pages: number, prot: number): number {
    return this.alone(doMprotect(this.task.mmOrDie, A + page * P, pages * P, prot));
  }
  advise(page: number, pages: number, advice: number): number {
    return this.alone(doMadvise(this.task.mmOrDie, A + page * P, pages * P, advice));
  }

  /** A userfaultfd after its handshake. */
  uffd(features = 0, flags: number = O_NONBLOCK): number {
    const fd = this.alone(sysUserfaultfd(this.task, [flags]));
    const { result } = this.ioctl(fd, 'API', { api: 0xaa, features });
    assert(result === 0, `handshake: ${result}`);
    return fd;
  }
  ctx(fd: number): UserfaultfdCtx {
    return must(ctxOfFile(this.task.files.get(fd)), 'context');
  }

  /** An ioctl by its name without UFFDIO_, its struct in and out. */
  ioctl(
    fd: number,
    name: string,
    values: Record<string, number | bigint> = {},
  ): { readonly result: number | string; readonly out: StructOut } {
    return this.alone(ioctlAs(this.task, fd, name, values));
  }

  /** Start and length of pages, as every range struct has them. */
  range(page: number, pages: number): { start: number; len: number } {
    return { start: A + page * P, len: pages * P };
  }

  store(page: number, value: number, offset = 0): unknown {
    return this.alone(userStore(this.task, A + page * P + offset, 1, value));
  }
  load(page: number, offset = 0): unknown {
    return this.alone(userLoad(this.task, A + page * P + offset, 1));
  }

  pte(page: number): DecodedPte {
    enterWorld(this.world);
    const slot = pteSlot(this.task.mmOrDie, A + page * P);
    return decodePte(slot < 0 ? (0 as Pte) : ((this.world.machine.tables.words[slot] ?? 0) as Pte));
  }
  /** `none`, `present write dirty …`, `marker uffd-wp`. */
  slot(page: number): string {
    const pte = this.pte(page);
    if (pte.kind === 'present') return `present ${pte.flags}`;
    return pte.kind === 'marker' ? `marker ${pte.marks}` : pte.kind;
  }
  /** VMAs as `0-4 missing`, in pages from A. */
  maps(): string[] {
    return [...this.task.mmOrDie.vmas].map((v) => {
      const page = (address: number): number => (address - A) / P;
      const modes = [
        (v.flags & 0x200) !== 0 ? ' missing' : '',
        (v.flags & 0x1000) !== 0 ? ' wp' : '',
      ].join('');
      return `${page(v.start)}-${page(v.end)}${modes}`;
    });
  }

  /** What is broken or leaked, or null: every test ends with it. */
  census(): string | null {
    enterWorld(this.world);
    return runChecks(this.world)?.wrong ?? frameCensus(this.world);
  }
}

/** The same as a thread's step sequence. */
export function* ioctlAs(
  task: Task,
  fd: number,
  name: string,
  values: Record<string, number | bigint> = {},
): Steps<{ readonly result: number | string; readonly out: StructOut }> {
  const row = must(
    UFFD_IOCTLS.find((r) => r.name === `UFFDIO_${name}`),
    name,
  );
  const scratch = must(task.scratch, 'scratch');
  scratch.set(encodeStruct(row.struct, values), 0);
  const result = yield* sysIoctl(task, [fd, row.cmd, SCRATCH_BASE]);
  return { result: answer(result), out: decodeStruct(row.struct, scratch) };
}

/** read(2) of up to `room` messages. */
export function* readMessages(
  task: Task,
  fd: number,
  room = 1,
): Steps<(UffdMsg | null)[] | string> {
  const got = yield* sysRead(task, [fd, SCRATCH_BASE + MESSAGES_AT, room * 32]);
  if (got < 0) return String(answer(got));
  const messages: (UffdMsg | null)[] = [];
  for (let at = 0; at < got; at += 32) {
    messages.push(decodeUffdMsg(must(task.scratch, 'scratch'), MESSAGES_AT + at));
  }
  return messages;
}

/** Making a process out of an ELF file: segments, stack, the vdso page. What execve does. @linux fs/binfmt_elf.c */
import { assert } from '../base/assert.ts';
import { createProcess } from '../kernel/core/create.ts';
import { REG_SP } from '../kernel/core/regs.ts';
import type { Task } from '../kernel/core/task.ts';
import { enterWorld } from '../kernel/current.ts';
import { consoleFile } from '../kernel/fs/console.ts';
import { doMmap } from '../kernel/mm/mmap.ts';
import { doMprotect } from '../kernel/mm/mprotect.ts';
import { copyToUser } from '../kernel/mm/user-access.ts';
import type { World } from '../kernel/world.ts';
import type { Steps } from '../sched/op.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../uapi/mman.ts';
import type { Elf, Segment } from './elf.ts';
import type { GuestContext } from './guest-context.ts';
import { buildStack } from './stack.ts';

const PAGE = 4096;
const STACK_TOP = 0x7ffffffff000;
/** RLIMIT_STACK; the whole of it is mapped at once, since untouched pages cost nothing. */
const STACK_BYTES = 8 << 20;
/** Where the vdso page lies: the trampoline that handlers return through. */
export const VDSO = 0x7ffff7ffe000;
/** li a7, 139; ecall. RISC-V unprivileged spec, 2.4 and 2.8 */
const TRAMPOLINE: readonly number[] = [0x08b00893, 0x00000073];

export interface ProgramRequest {
  readonly name: string;
  readonly elf: Elf;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly uid: number;
  readonly random: Uint8Array;
}

/** Loads a program into a fresh process of the World. @returns it, or a sentence that says why it does not fit */
export function loadProgram(
  world: World,
  request: ProgramRequest,
  context: GuestContext,
): Task | string {
  enterWorld(world);
  const task = createProcess(world, { name: request.name, hart: 0, owner: 0 });
  task.uid = request.uid;
  world.setupTask = task;
  for (const stream of [0, 1, 2] as const) task.files.install(consoleFile(stream), false);
  const failed = world.sched.runAlone(loadMemory(task, request, context));
  if (failed !== null) return failed;
  context.pc = BigInt(request.elf.entry);
  task.regs = context;
  return task;
}

function* loadMemory(
  task: Task,
  request: ProgramRequest,
  context: GuestContext,
): Steps<string | null> {
  for (const segment of request.elf.segments) {
    const failed = yield* loadSegment(task, segment);
    if (failed !== null) return failed;
  }
  const mm = task.mmOrDie;
  const end = Math.max(...request.elf.segments.map((s) => s.vaddr + s.memorySize));
  mm.startBrk = pageUp(end);
  mm.brk = mm.startBrk;
  const stack = buildStack({ ...request, top: STACK_TOP });
  if (stack.bytes.length > STACK_BYTES / 4) return 'arguments and environment are too long (E2BIG)';
  const stackProt = PROT_READ | PROT_WRITE;
  if (!(yield* place(task, STACK_TOP - STACK_BYTES, STACK_BYTES, stackProt))) {
    return 'no room for the stack';
  }
  if ((yield* copyToUser(task, stack.sp, stack.bytes)) < 0)
    return 'RAM is too small; give more with --ram';
  mm.startStack = stack.sp;
  mm.argStart = stack.argStart;
  mm.argEnd = stack.argEnd;
  mm.envStart = stack.argEnd;
  mm.envEnd = stack.envEnd;
  context.setNumber(REG_SP, stack.sp);
  yield* place(task, VDSO, PAGE, PROT_READ | PROT_WRITE);
  const code = new Uint8Array(8);
  for (const [i, word] of TRAMPOLINE.entries())
    new DataView(code.buffer).setUint32(i * 4, word, true);
  if ((yield* copyToUser(task, VDSO, code)) < 0) return 'RAM is too small; give more with --ram';
  yield* doMprotect(task.mmOrDie, VDSO, PAGE, PROT_READ | PROT_EXEC);
  return null;
}

function* loadSegment(task: Task, segment: Segment): Steps<string | null> {
  const start = Math.floor(segment.vaddr / PAGE) * PAGE;
  const length = pageUp(segment.vaddr + segment.memorySize) - start;
  if (!(yield* place(task, start, length, PROT_READ | PROT_WRITE))) {
    return `no room for the segment at 0x${segment.vaddr.toString(16)}`;
  }
  if ((yield* copyToUser(task, segment.vaddr, segment.content)) < 0) {
    return 'RAM is too small for the program; give more with --ram';
  }
  const prot =
    (segment.readable ? PROT_READ : 0) |
    (segment.writable ? PROT_WRITE : 0) |
    (segment.executable ? PROT_EXEC : 0);
  if (prot !== (PROT_READ | PROT_WRITE)) {
    const changed = yield* doMprotect(task.mmOrDie, start, length, prot);
    assert(changed === 0, `mprotect of a segment said ${changed}`);
  }
  return null;
}

/** Maps private anonymous memory at an address. File mappings of the program come with the page cache. */
function* place(task: Task, address: number, length: number, prot: number): Steps<boolean> {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  return (yield* doMmap(task.mmOrDie, { address, length, prot, flags })) === address;
}

function pageUp(address: number): number {
  return Math.ceil(address / PAGE) * PAGE;
}

/** Making a process out of an ELF file: segments, stack, the vdso page. What execve does. @linux fs/binfmt_elf.c */
import { createProcess } from '../kernel/core/create.ts';
import type { BinaryFormat } from '../kernel/core/exec.ts';
import { REG_SP } from '../kernel/core/regs.ts';
import type { Task } from '../kernel/core/task.ts';
import { enterWorld } from '../kernel/current.ts';
import { consoleFile } from '../kernel/fs/console.ts';
import { dentryPath } from '../kernel/fs/dentry.ts';
import { openDisk } from '../kernel/fs/disk-file.ts';
import type { File } from '../kernel/fs/file.ts';
import { names } from '../kernel/fs/namei.ts';
import { DISK } from '../kernel/fs/super.ts';
import { doMmap } from '../kernel/mm/mmap.ts';
import { doMprotect } from '../kernel/mm/mprotect.ts';
import { copyToUser } from '../kernel/mm/user-access.ts';
import type { World } from '../kernel/world.ts';
import type { Steps } from '../sched/op.ts';
import { E2BIG, ENOEXEC } from '../uapi/errno.ts';
import { O_RDONLY } from '../uapi/fcntl.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../uapi/mman.ts';
import { type Elf, parseElf, type Segment } from './elf.ts';
import { GuestContext } from './guest-context.ts';
import { diskFile } from './mount.ts';
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
  readonly program: Uint8Array;
  readonly elf: Elf;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly uid: number;
  readonly random: Uint8Array;
}

/** What a process is made of. */
interface Image {
  readonly file: File;
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
  const file = storeProgram(request.name, request.program);
  task.mmOrDie.exeFile = file;
  const failed = world.sched.runAlone(loadMemory(task, { ...request, file }, context));
  if (failed !== null) return failed;
  task.regs = context;
  return task;
}

/** What execve(2) of the guest loads programs with. @param random what AT_RANDOM points at, anew for each */
export function guestBinaries(random: () => Uint8Array): BinaryFormat {
  return {
    prepare(image, { file, args, env }) {
      const elf = parseElf(image);
      if (typeof elf === 'string') return -ENOEXEC;
      const stack = buildStack({ elf, args, env, uid: 0, random: random(), top: STACK_TOP });
      if (stack.bytes.length > STACK_BYTES / 4) return -E2BIG;
      return function* (task) {
        const { regs, uid } = task;
        if (!(regs instanceof GuestContext)) return false;
        regs.reset();
        const loaded = { file, elf, args, env, uid, random: random() };
        return (yield* loadMemory(task, loaded, regs)) === null;
      };
    },
  };
}

/** The program lies in the root of the guest's file system, on the disk, under its own name. @returns it, open */
function storeProgram(name: string, program: Uint8Array): File {
  const tree = names();
  const directory = tree.root.children.has(name) ? tree.at('/bin') : tree.root;
  const inode = diskFile(DISK, tree.newIno(), program, 0o755);
  const dentry = tree.add(directory, name, inode);
  const file = openDisk(inode, O_RDONLY, dentryPath(dentry));
  file.dentry = dentry;
  return file;
}

function* loadMemory(task: Task, request: Image, context: GuestContext): Steps<string | null> {
  for (const segment of request.elf.segments) {
    const failed = yield* loadSegment(task, request.file, segment);
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
  context.pc = BigInt(request.elf.entry);
  yield* place(task, VDSO, PAGE, PROT_READ | PROT_WRITE);
  const code = new Uint8Array(8);
  for (const [i, word] of TRAMPOLINE.entries())
    new DataView(code.buffer).setUint32(i * 4, word, true);
  if ((yield* copyToUser(task, VDSO, code)) < 0) return 'RAM is too small; give more with --ram';
  yield* doMprotect(task.mmOrDie, VDSO, PAGE, PROT_READ | PROT_EXEC);
  return null;
}

/** The part that the file has, zeroes up to the end of its last page, anonymous memory behind. @linux elf_load */
function* loadSegment(task: Task, file: File, segment: Segment): Steps<string | null> {
  const { vaddr, memorySize, fileSize, fileOffset } = segment;
  const shift = vaddr % PAGE;
  const start = vaddr - shift;
  const fileEnd = vaddr + fileSize;
  const prot =
    (segment.readable ? PROT_READ : 0) |
    (segment.writable ? PROT_WRITE : 0) |
    (segment.executable ? PROT_EXEC : 0);
  const noRoom = `no room for the segment at 0x${vaddr.toString(16)}`;
  if (fileSize > 0) {
    const pgoff = (fileOffset - shift) / PAGE;
    const flags = MAP_PRIVATE | MAP_FIXED;
    const request = { address: start, length: fileSize + shift, prot, flags, file, pgoff };
    if ((yield* doMmap(task.mmOrDie, request)) !== start) return noRoom;
  }
  const from = fileSize > 0 ? pageUp(fileEnd) : start;
  const end = pageUp(vaddr + memorySize);
  if (fileSize > 0 && memorySize > fileSize && segment.writable && fileEnd < from) {
    const zeroes = new Uint8Array(from - fileEnd);
    if ((yield* copyToUser(task, fileEnd, zeroes)) < 0) {
      return 'RAM is too small for the program; give more with --ram';
    }
  }
  return end <= from || (yield* place(task, from, end - from, prot)) ? null : noRoom;
}

/** Maps private anonymous memory at an address. */
function* place(task: Task, address: number, length: number, prot: number): Steps<boolean> {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  return (yield* doMmap(task.mmOrDie, { address, length, prot, flags })) === address;
}

function pageUp(address: number): number {
  return Math.ceil(address / PAGE) * PAGE;
}

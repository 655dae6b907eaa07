/** Performs programs in Faultline and says of them what executor/ says of the kernel that runs. */
import { at, must } from '../../base/assert.ts';
import { runChecks } from '../../kernel/check/table.ts';
import { createProcess, createThread, forkTask } from '../../kernel/core/create.ts';
import { doExit } from '../../kernel/core/exit.ts';
import { SCRATCH_BASE, type Task } from '../../kernel/core/task.ts';
import { enterWorld } from '../../kernel/current.ts';
import type { FaultSignal } from '../../kernel/mm/fault.ts';
import { THP_MADVISE } from '../../kernel/mm/thp-settings.ts';
import { userLoad, userStore } from '../../kernel/mm/user-access.ts';
import type { Overrides } from '../../kernel/seam.ts';
import { World } from '../../kernel/world.ts';
import { type Geometry, PAGE_SIZE, REAL_GEOMETRY } from '../../machine/geometry.ts';
import { enterSched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import type { Oracle } from '../../sched/sched.ts';
import type { Thread } from '../../sched/thread.ts';
import { O_RDWR } from '../../uapi/fcntl.ts';
import { USERFAULTFD_IOC_NEW } from '../../uapi/userfaultfd.ts';
import {
  addressText,
  BUFFER_AT,
  call,
  offsetText,
  openPath,
  place,
  STRUCT_AT,
  scratchWindow,
} from './layout.ts';
import { filesLine, performFile } from './model-files.ts';
import {
  ARENA,
  ARENA_PAGES,
  arenaPagesOf,
  FILE_SLOTS,
  HEAP_PAGE,
  HELPER,
  type Operation,
  type Program,
  type Transcript,
  UFFD_SLOTS,
} from './operations.ts';
import { dataLine, stateLines } from './state.ts';
import { forkedFds, messages, STRUCTS, type Struct } from './structs.ts';

const GEOMETRY: Geometry = { ...REAL_GEOMETRY, frames: 640, owners: 2, tablesPerOwner: 64 };
/** With huge pages, of whose content the beginning says enough. */
const BIG_GEOMETRY: Geometry = { ...GEOMETRY, frames: 16384, contentBytes: 64 };
/** Helpers and set-up never race here, so the first that can run runs. */
const FIRST: Oracle = {
  pick: (_sched, enabled) => at(enabled, 0),
  choose: () => 0,
  stepped: () => undefined,
};
const SWAP_PAGES = 1024;
/** More than any operation takes that ends. */
const STEPS = 20_000;

/** An operation that does not end: nothing can wake it, or it goes round and round. executor/watch.c tells the two apart too. */
class Stopped extends Error {}

/**
 * What Faultline says of a program; a broken assertion or integrity check is a line of it.
 * @param overrides patched seams, to see that an older kernel differs
 */
export function performInModel(program: Program, overrides: Overrides | null = null): Transcript {
  return new Model(program, overrides).run();
}

class Model {
  readonly #program: Program;
  readonly #world: World;
  readonly #tasks: (Task | null)[];
  readonly #pages: number;
  #me = 0;
  readonly #uffds: number[][] = [[], []];
  /** Files in each process; null before its program has had one. */
  readonly #files: (number[] | null)[] = [null, null];
  readonly #lines: string[] = [];
  /** The thread that performs what may wait; null in programs without such operations. */
  readonly #helper: Task | null = null;
  #job: Thread | null = null;
  #helperSaid = 'idle';
  /** Where ioctls find their struct in each process; negative: in the scratch window. */
  readonly #structsAt: number[] = [-1, -1];

  constructor(program: Program, overrides: Overrides | null) {
    this.#program = program;
    this.#pages = arenaPagesOf(program);
    const big = this.#pages > ARENA_PAGES;
    const swapPages = program.some(({ op }) => op === 'swapon') ? SWAP_PAGES : 0;
    this.#world = new World({
      geometry: big ? BIG_GEOMETRY : GEOMETRY,
      harts: 3,
      exploring: false,
      overrides,
      swapPages,
    });
    enterWorld(this.#world);
    if (big) this.#world.thp = { ...THP_MADVISE, shmem: 'never' };
    const task = createProcess(this.#world, { name: 'program', hart: 0, owner: 0 });
    task.scratch = scratchWindow();
    const mm = task.mmOrDie;
    mm.startBrk = ARENA + HEAP_PAGE * PAGE_SIZE;
    mm.brk = mm.startBrk;
    this.#tasks = [task, null];
    this.#uffds[0] = new Array<number>(UFFD_SLOTS).fill(-1);
    if (program.some(({ op }) => op.startsWith(HELPER))) {
      this.#helper = createThread(task, { name: 'helper', hart: 2, owner: 0 });
      this.#helper.scratch = scratchWindow();
    }
  }

  run(): Transcript {
    try {
      for (const operation of this.#program) {
        this.#world.setupTask = this.#task;
        this.#lines.push(`= ${this.#step(operation)}`.trimEnd());
        this.#state();
        const wrong = runChecks(this.#world);
        if (wrong !== null) this.#lines.push(`integrity: ${wrong.name}: ${wrong.wrong}`);
      }
      this.#final();
      const other = 1 - this.#me;
      if (this.#tasks[other] !== null) {
        this.#me = other;
        this.#world.setupTask = this.#task;
        this.#final();
      }
      this.#lines.push('end');
    } catch (error) {
      this.#lines.push(error instanceof Error ? error.message : String(error));
    }
    return this.#lines;
  }

  get #task(): Task {
    return must(this.#tasks[this.#me], 'the process whose turn it is');
  }

  #alone<T>(steps: Steps<T>): T {
    const { sched } = this.#world;
    enterSched(sched);
    for (let i = 0; i < STEPS; i++) {
      const next = steps.next(0);
      if (next.done === true) return next.value;
      const { ready } = next.value;
      if (ready === null || ready()) continue;
      this.#helperGoesOn();
      if (!ready()) throw new Stopped('stops waits');
    }
    throw new Stopped('stops spins');
  }

  /** As far as it comes. */
  #helperGoesOn(): void {
    const { sched } = this.#world;
    if (this.#job === null) return;
    if (sched.execute(FIRST, sched.steps + STEPS) === 'limit') throw new Stopped('stops spins');
    if (this.#job.done) this.#job = null;
  }

  #step({ op, args }: Operation): string {
    if (op === 'fork' || op === 'switch' || op === 'exit') return this.#process(op, args[0] ?? 0);
    if (!op.startsWith(HELPER)) return this.#alone(this.#perform(this.#task, { op, args }));
    const helper = this.#helper;
    if (this.#me !== 0 || this.#job !== null || helper === null) return 'busy';
    const { sched } = this.#world;
    const job = sched.spawn('helper', this.#help(helper, { op: op.slice(1), args }));
    helper.thread = job;
    this.#world.taskOfThread.set(job.id, helper);
    this.#job = job;
    return 'handed over';
  }

  *#help(helper: Task, operation: Operation): Steps<void> {
    this.#helperSaid = 'waits';
    this.#helperSaid = yield* this.#perform(helper, operation);
  }

  #state(): void {
    this.#sayHelper();
    const files = at(this.#files, this.#me);
    if (files !== null) this.#lines.push(filesLine(this.#task, files));
    this.#lines.push(...this.#alone(stateLines(this.#task.mmOrDie, this.#pages)));
  }

  #sayHelper(): void {
    if (this.#helper === null || this.#me !== 0) return;
    this.#helperGoesOn();
    this.#lines.push(`H ${this.#helperSaid}`);
  }

  #final(): void {
    this.#sayHelper();
    this.#lines.push(this.#alone(dataLine(this.#task.mmOrDie, this.#pages)));
    this.#state();
  }

  *#perform(task: Task, { op, args }: Operation): Steps<string> {
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = args;
    switch (op) {
      case 'mmap':
        return yield* addressText(task, yield* call(task, 'mmap', [place(a), b, c, d, -1, 0]), b);
      case 'mremap':
        return yield* addressText(
          task,
          yield* call(task, 'mremap', [place(a), b, c, d, place(e)]),
          c,
        );
      case 'munmap':
      case 'mprotect':
      case 'mlock':
      case 'mlock2':
      case 'munlock':
      case 'mseal':
      case 'msync':
      case 'madvise':
        return String(yield* call(task, op, [place(a), b, c]));
      case 'mlockall':
        return String(yield* call(task, op, [a]));
      case 'swapon':
      case 'thp':
        return '0';
      case 'munlockall':
        return String(yield* call(task, op, []));
      case 'mincore':
        return yield* this.#mincore(task, place(a), b);
      case 'brk':
        return offsetText(yield* call(task, 'brk', [place(a)]));
      case 'fork': {
        const child = yield* forkTask(task, { name: 'sleeper', hart: 1, owner: 1 });
        return typeof child === 'number' ? String(child) : '0';
      }
      case 'load':
        return accessText(yield* userLoad(task, place(a), 4));
      case 'store':
        return accessText(yield* userStore(task, place(a), 4, b));
      default:
        return (yield* this.#filed(task, op, args)) ?? (yield* this.#userfault(task, op, args));
    }
  }

  *#filed(task: Task, op: string, args: readonly number[]): Steps<string | null> {
    const files = this.#files[this.#me] ?? new Array<number>(FILE_SLOTS).fill(-1);
    const result = yield* performFile(task, files, op, args);
    if (op === 'memfd' && result === '0') this.#files[this.#me] = files;
    return result;
  }

  #process(op: 'fork' | 'switch' | 'exit', to: number): string {
    if (op === 'fork') {
      if (this.#me === 1 || this.#tasks[1] !== null) return 'busy';
      const child = this.#alone(forkTask(this.#task, { name: 'child', hart: 1, owner: 1 }));
      if (typeof child === 'number') return String(child);
      child.scratch = this.#task.scratch;
      this.#tasks[1] = child;
      this.#uffds[1] = [...at(this.#uffds, 0)];
      this.#files[1] = this.#files[0] === null ? null : [...(this.#files[0] ?? [])];
      this.#structsAt[1] = at(this.#structsAt, 0);
      return '0';
    }
    if (op === 'switch') {
      if (to === this.#me) return 'here';
      if ((this.#tasks[to] ?? null) === null) return 'nobody';
      this.#me = to;
      return '0';
    }
    if (this.#me === 0) return 'alone';
    this.#alone(doExit(this.#task));
    this.#tasks[1] = null;
    this.#me = 0;
    return '0';
  }

  *#mincore(task: Task, start: number, size: number): Steps<string> {
    const from = BUFFER_AT - SCRATCH_BASE;
    const vec = must(task.scratch, 'scratch').subarray(from, from + this.#pages);
    vec.fill(0);
    const result = yield* call(task, 'mincore', [start, size, BUFFER_AT]);
    return `${result} ${vec.join('')}`;
  }

  *#userfault(task: Task, op: string, args: readonly number[]): Steps<string> {
    const [slot = 0, value = 0] = args;
    const fds = at(this.#uffds, this.#me);
    const fd = fds[slot] ?? -1;
    const window = must(task.scratch, 'scratch');
    switch (op) {
      case 'uffd':
      case 'devuffd': {
        const made = yield* op === 'uffd'
          ? call(task, 'userfaultfd', [value])
          : fromDevice(task, value);
        if (made < 0) return String(made);
        if (fd >= 0) yield* call(task, 'close', [fd]);
        fds[slot] = made;
        return '0';
      }
      case 'close': {
        fds[slot] = -1;
        return String(yield* call(task, 'close', [fd]));
      }
      case 'structs':
        this.#structsAt[this.#me] = slot;
        return '0';
      case 'fdinfo':
        return fdinfo(task, fd);
      case 'read': {
        const structs = at(this.#structsAt, this.#me);
        if (structs >= 0) return String(yield* call(task, 'read', [fd, place(structs), value]));
        const count = yield* call(task, 'read', [fd, BUFFER_AT, value]);
        const from = BUFFER_AT - SCRATCH_BASE;
        const bytes = window.slice(from, from + Math.max(0, count));
        for (const forked of forkedFds(bytes)) {
          if ((fds[1] ?? -1) < 0) fds[1] = forked;
          else yield* call(task, 'close', [forked]);
        }
        return `${count}${messages(bytes, this.#helper?.tid ?? -1)}`;
      }
      case 'poll': {
        const view = new DataView(window.buffer, window.byteOffset);
        // struct pollfd with POLLIN | POLLOUT, then a timeout of nothing.
        for (let i = 0; i < 24; i++) view.setUint8(i, 0);
        view.setInt32(0, fd, true);
        view.setInt16(4, 5, true);
        const ready = yield* call(task, 'ppoll', [STRUCT_AT, 1, STRUCT_AT + 8, 0, 8]);
        return ready < 0 ? String(ready) : `${ready} ${view.getInt16(6, true).toString(16)}`;
      }
      default:
        return yield* this.#ioctl(task, op, fd, args);
    }
  }

  *#ioctl(task: Task, op: string, fd: number, args: readonly number[]): Steps<string> {
    const struct = must(STRUCTS[op], `operation ${op}`);
    const structs = at(this.#structsAt, this.#me);
    if (structs >= 0) return yield* this.#ioctlInArena(task, struct, fd, args, place(structs));
    const window = must(task.scratch, 'scratch');
    const view = new DataView(window.buffer, window.byteOffset);
    const fields = struct.fields(args, place);
    for (const [i, field] of fields.entries()) view.setBigInt64(i * 8, field, true);
    let text = String(yield* call(task, 'ioctl', [fd, struct.command, STRUCT_AT]));
    for (let i = struct.firstOut; i < fields.length; i++) {
      text += ` ${view.getBigInt64(i * 8, true)}`;
    }
    return text;
  }

  /** On a struct in the arena, which may not be all there to write or to read: words until one faults. */
  *#ioctlInArena(
    task: Task,
    struct: Struct,
    fd: number,
    args: readonly number[],
    where: number,
  ): Steps<string> {
    const fields = struct.fields(args, place);
    const words = new DataView(new ArrayBuffer(fields.length * 8));
    for (const [i, field] of fields.entries()) words.setBigInt64(i * 8, field, true);
    for (let i = 0; i < words.byteLength; i += 4) {
      if ((yield* userStore(task, where + i, 4, words.getUint32(i, true))) !== null) break;
    }
    let text = String(yield* call(task, 'ioctl', [fd, struct.command, where]));
    let there = 0;
    for (; there < words.byteLength; there += 4) {
      const word = yield* userLoad(task, where + there, 4);
      if (typeof word !== 'number') break;
      words.setUint32(there, word, true);
    }
    for (let i = struct.firstOut; i < fields.length; i++) {
      text += (i + 1) * 8 <= there ? ` ${words.getBigInt64(i * 8, true)}` : ' ?';
    }
    return text;
  }
}

function* fromDevice(task: Task, flags: number): Steps<number> {
  const device = yield* openPath(task, '/dev/userfaultfd', O_RDWR);
  const made = yield* call(task, 'ioctl', [device, USERFAULTFD_IOC_NEW, flags]);
  yield* call(task, 'close', [device]);
  return made;
}

function fdinfo(task: Task, fd: number): string {
  const file = task.files.get(fd);
  const text = file?.ops.fdinfo?.(file) ?? '';
  return text
    .slice(Math.max(0, text.indexOf('pending:')))
    .split(/[\t\n]+/)
    .join(' ')
    .trim();
}

function accessText(result: number | FaultSignal | null): string {
  if (result === null) return '0';
  if (typeof result === 'number') return `0x${result.toString(16)}`;
  return `${result.signal} ${result.code} ${offsetText(result.address)}`;
}

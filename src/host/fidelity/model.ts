/** Performs programs in Faultline and says of them what executor.c says of the kernel that runs. */
import { at, must } from '../../base/assert.ts';
import { runChecks } from '../../kernel/check/table.ts';
import { createProcess, forkTask } from '../../kernel/core/create.ts';
import { doExit } from '../../kernel/core/exit.ts';
import { SCRATCH_BASE, type Task } from '../../kernel/core/task.ts';
import { enterWorld } from '../../kernel/current.ts';
import type { FaultSignal } from '../../kernel/mm/fault.ts';
import { userLoad, userStore } from '../../kernel/mm/user-access.ts';
import { syscallByName } from '../../kernel/syscall/dispatch.ts';
import { World } from '../../kernel/world.ts';
import { type Geometry, PAGE_SIZE, REAL_GEOMETRY } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import {
  ARENA,
  ARENA_PAGES,
  HEAP_PAGE,
  type Operation,
  type Program,
  SOURCE_OFFSET,
  SOURCE_PAGES,
  type Transcript,
  UFFD_SLOTS,
} from './operations.ts';
import { dataLine, stateLines } from './state.ts';
import { messages, STRUCTS } from './structs.ts';

const GEOMETRY: Geometry = { ...REAL_GEOMETRY, frames: 512, owners: 2, tablesPerOwner: 24 };
/** The scratch window: structs, then what read(2) fills, then the source buffer. */
const STRUCT_AT = SCRATCH_BASE;
const BUFFER_AT: number = SCRATCH_BASE + 1024;
const SOURCE_AT: number = SCRATCH_BASE + PAGE_SIZE;

/** What Faultline says of a program; a broken assertion or integrity check is a line of it. */
export function performInModel(program: Program): Transcript {
  return new Model().run(program);
}

class Model {
  readonly #world: World = new World({
    geometry: GEOMETRY,
    harts: 2,
    exploring: false,
    overrides: null,
  });
  readonly #tasks: (Task | null)[];
  #me = 0;
  readonly #uffds: number[][] = [[], []];
  readonly #lines: string[] = [];

  constructor() {
    enterWorld(this.#world);
    const task = createProcess(this.#world, { name: 'program', hart: 0, owner: 0 });
    task.scratch = scratchWindow();
    const mm = task.mmOrDie;
    mm.startBrk = ARENA + HEAP_PAGE * PAGE_SIZE;
    mm.brk = mm.startBrk;
    this.#tasks = [task, null];
    this.#uffds[0] = new Array<number>(UFFD_SLOTS).fill(-1);
  }

  run(program: Program): Transcript {
    try {
      for (const operation of program) {
        this.#world.setupTask = this.#task;
        this.#lines.push(`= ${this.#perform(operation)}`);
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
    return this.#world.sched.runAlone(steps);
  }

  #state(): void {
    this.#lines.push(...this.#alone(stateLines(this.#task.mmOrDie)));
  }

  #final(): void {
    this.#lines.push(this.#alone(dataLine(this.#task.mmOrDie)));
    this.#state();
  }

  #call(name: string, args: readonly number[]): number {
    const { handler } = must(syscallByName(name), `system call ${name}`);
    return this.#alone(handler(this.#task, args));
  }

  #perform({ op, args }: Operation): string {
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = args;
    switch (op) {
      case 'mmap':
        return this.#address(this.#call('mmap', [place(a), b, c, d, -1, 0]), b);
      case 'mremap':
        return this.#address(this.#call('mremap', [place(a), b, c, d, place(e)]), c);
      case 'munmap':
      case 'mprotect':
      case 'madvise':
        return String(this.#call(op, [place(a), b, c]));
      case 'brk':
        return offsetText(this.#call('brk', [place(a)]));
      case 'load':
        return accessText(this.#alone(userLoad(this.#task, place(a), 4)));
      case 'store':
        return accessText(this.#alone(userStore(this.#task, place(a), 4, b)));
      case 'fork':
      case 'switch':
      case 'exit':
        return this.#process(op, a);
      default:
        return this.#userfault(op, args);
    }
  }

  #address(result: number, size: number): string {
    if (result < 0) return String(result);
    if (result >= ARENA && result < ARENA + ARENA_PAGES * PAGE_SIZE) return offsetText(result);
    this.#call('munmap', [result, size]);
    return 'elsewhere';
  }

  #process(op: 'fork' | 'switch' | 'exit', to: number): string {
    if (op === 'fork') {
      if (this.#me === 1 || this.#tasks[1] !== null) return 'busy';
      const child = this.#alone(forkTask(this.#task, { name: 'child', hart: 1, owner: 1 }));
      if (typeof child === 'number') return String(child);
      child.scratch = this.#task.scratch;
      this.#tasks[1] = child;
      this.#uffds[1] = [...at(this.#uffds, 0)];
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

  #userfault(op: string, args: readonly number[]): string {
    const [slot = 0, value = 0] = args;
    const fds = at(this.#uffds, this.#me);
    const fd = fds[slot] ?? -1;
    const window = must(this.#task.scratch, 'scratch');
    switch (op) {
      case 'uffd': {
        const made = this.#call('userfaultfd', [value]);
        if (made < 0) return String(made);
        if (fd >= 0) this.#call('close', [fd]);
        fds[slot] = made;
        return '0';
      }
      case 'close':
        fds[slot] = -1;
        return String(this.#call('close', [fd]));
      case 'read': {
        const count = this.#call('read', [fd, BUFFER_AT, value]);
        return `${count}${messages(window.subarray(1024, 1024 + Math.max(0, count)))}`;
      }
      case 'poll': {
        const view = new DataView(window.buffer, window.byteOffset);
        // struct pollfd with POLLIN | POLLOUT, then a timeout of nothing.
        for (let i = 0; i < 24; i++) view.setUint8(i, 0);
        view.setInt32(0, fd, true);
        view.setInt16(4, 5, true);
        const ready = this.#call('ppoll', [STRUCT_AT, 1, STRUCT_AT + 8, 0, 8]);
        return ready < 0 ? String(ready) : `${ready} ${view.getInt16(6, true).toString(16)}`;
      }
      default: {
        const struct = must(STRUCTS[op], `operation ${op}`);
        const view = new DataView(window.buffer, window.byteOffset);
        const fields = struct.fields(args, place);
        for (const [i, field] of fields.entries()) view.setBigInt64(i * 8, field, true);
        let text = String(this.#call('ioctl', [fd, struct.command, STRUCT_AT]));
        for (let i = struct.firstOut; i < fields.length; i++) {
          text += ` ${view.getBigInt64(i * 8, true)}`;
        }
        return text;
      }
    }
  }
}

function scratchWindow(): Uint8Array {
  const bytes = new Uint8Array(PAGE_SIZE * (1 + SOURCE_PAGES));
  const words = new DataView(bytes.buffer, PAGE_SIZE);
  for (let i = 0; i < (SOURCE_PAGES * PAGE_SIZE) / 4; i++) {
    words.setUint32(i * 4, 0xc0000000 + i, true);
  }
  return bytes;
}

/** The address that an offset of the operation language means. */
function place(offset: number): number {
  return offset >= SOURCE_OFFSET ? SOURCE_AT + (offset - SOURCE_OFFSET) : ARENA + offset;
}

function offsetText(address: number): string {
  return `+0x${(address - ARENA).toString(16)}`;
}

function accessText(result: number | FaultSignal | null): string {
  if (result === null) return '0';
  if (typeof result === 'number') return `0x${result.toString(16)}`;
  return `${result.signal} ${result.code} ${offsetText(result.address)}`;
}

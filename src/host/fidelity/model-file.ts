/** What programs do to their memfd besides mapping it, in Faultline. */
import { must } from '../../base/assert.ts';
import { SCRATCH_BASE, type Task } from '../../kernel/core/task.ts';
import { syscallByName } from '../../kernel/syscall/dispatch.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';

/** Where calls find their name or data: behind the structs in the scratch window. */
const BUFFER_AT: number = SCRATCH_BASE + 1024;
const FILE_PAGES = 8;

function* call(task: Task, name: string, args: readonly number[]): Steps<number> {
  const { handler } = must(syscallByName(name), `system call ${name}`);
  return yield* handler(task, args);
}

/** The memfd that every program begins with. @returns its descriptor */
export function* makeFile(task: Task): Steps<number> {
  word(task).setUint32(0, 0x66, true);
  const fd = yield* call(task, 'memfd_create', [BUFFER_AT, 0]);
  yield* call(task, 'ftruncate', [fd, FILE_PAGES * PAGE_SIZE]);
  return fd;
}

/** One operation as the line of executor.c has it. */
export function* fileCall(
  task: Task,
  fd: number,
  op: string,
  args: readonly number[],
): Steps<string> {
  const [a = 0, b = 0, c = 0] = args;
  switch (op) {
    case 'truncate':
      return String(yield* call(task, 'ftruncate', [fd, a]));
    case 'fallocate':
      return String(yield* call(task, 'fallocate', [fd, a, b, c]));
    case 'pwrite':
      word(task).setUint32(0, b, true);
      return String(yield* call(task, 'pwrite64', [fd, BUFFER_AT, 4, a]));
    default: {
      word(task).setUint32(0, 0, true);
      const got = yield* call(task, 'pread64', [fd, BUFFER_AT, 4, a]);
      return `${got} ${word(task).getUint32(0, true).toString(16)}`;
    }
  }
}

/** The first bytes of the buffer that calls read and write. */
function word(task: Task): DataView {
  const { buffer, byteOffset } = must(task.scratch, 'scratch');
  return new DataView(buffer, byteOffset + BUFFER_AT - SCRATCH_BASE);
}

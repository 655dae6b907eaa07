/** Where the model's programs find memory of their own, and how addresses are written: as executor/ has them. */
import { must } from '../../base/assert.ts';
import { SCRATCH_BASE, type Task } from '../../kernel/core/task.ts';
import { syscallByName } from '../../kernel/syscall/dispatch.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { ARENA, BIG_ARENA_PAGES, SOURCE_OFFSET, SOURCE_PAGES } from './operations.ts';

/** The scratch window: structs, what read(2) fills, the source buffer, then what is read from files. */
const AT_FDCWD = -100;
export const STRUCT_AT: number = SCRATCH_BASE;
export const BUFFER_AT: number = SCRATCH_BASE + 1024;
export const SOURCE_AT: number = SCRATCH_BASE + PAGE_SIZE;
export const CONTENT_AT: number = SOURCE_AT + SOURCE_PAGES * PAGE_SIZE;
/** Most of a file that is read into memory of our own. */
export const CONTENT_PAGES = 4;

/** A task's scratch window with the source buffer filled. */
export function scratchWindow(): Uint8Array {
  const bytes = new Uint8Array(PAGE_SIZE * (1 + SOURCE_PAGES + CONTENT_PAGES));
  const words = new DataView(bytes.buffer, PAGE_SIZE);
  for (let i = 0; i < (SOURCE_PAGES * PAGE_SIZE) / 4; i++) {
    words.setUint32(i * 4, 0xc0000000 + i, true);
  }
  return bytes;
}

/** The bytes of a task's scratch window from an address on. */
export function windowAt(task: Task, address: number, size: number): DataView {
  const { buffer, byteOffset } = must(task.scratch, 'scratch');
  return new DataView(buffer, byteOffset + address - SCRATCH_BASE, size);
}

/** A system call by its name. @returns what the handler does: a negative errno when it fails */
export function* call(task: Task, name: string, args: readonly number[]): Steps<number> {
  const { handler } = must(syscallByName(name), `system call ${name}`);
  return yield* handler(task, args);
}

/** open(2) of a path, which takes the place of the structs. @returns a descriptor or a negative errno */
export function* openPath(task: Task, path: string, flags: number): Steps<number> {
  const bytes = windowAt(task, STRUCT_AT, path.length + 1);
  for (const [i, letter] of [...`${path}\0`].entries()) bytes.setUint8(i, letter.charCodeAt(0));
  return yield* call(task, 'openat', [AT_FDCWD, STRUCT_AT, flags, 0]);
}

/** The address that an offset of the operation language means. */
export function place(offset: number): number {
  return offset >= SOURCE_OFFSET ? SOURCE_AT + (offset - SOURCE_OFFSET) : ARENA + offset;
}

export function offsetText(address: number): string {
  const offset = address - ARENA;
  // C prints a negative long as its bits.
  return `+0x${(offset < 0 ? BigInt.asUintN(64, BigInt(offset)) : offset).toString(16)}`;
}

/** An address as a result; what came to lie outside the arena is unmapped again. */
export function* addressText(task: Task, result: number, size: number): Steps<string> {
  if (result < 0) return String(result);
  if (result >= ARENA && result < ARENA + BIG_ARENA_PAGES * PAGE_SIZE) return offsetText(result);
  yield* call(task, 'munmap', [result, size]);
  return 'elsewhere';
}

/** `hash * 31 + word` over 32-bit words. */
export function hashOf(view: DataView): string {
  let hash = 0;
  for (let i = 0; i < view.byteLength; i += 4) {
    hash = (Math.imul(hash, 31) + view.getUint32(i, true)) | 0;
  }
  return (hash >>> 0).toString(16);
}

/** The stack of a litmus thread: a few bytes at SCRATCH_BASE for the structs and buffers that calls point at. */
import { must } from '../base/assert.ts';
import { SCRATCH_BASE, type Task } from '../kernel/core/task.ts';
import { put32, put64 } from '../uapi/little-endian.ts';
import { decodeRegions, PAGE_REGION_SIZE, type PageRegion } from '../uapi/pagemap-scan.ts';
import { PAGE } from './scope.ts';

/** Where things lie, from SCRATCH_BASE: a struct, a message, a pollfd with its timeout, the source page of a copy. */
const STRUCT = 0;
const MESSAGE = 64;
const POLLFD = 96;
const TIMESPEC = 104;
const SOURCE = 128;
/** Room for what PAGEMAP_SCAN reports of the largest region. */
const REGIONS = 64 * PAGE_REGION_SIZE;

export const STRUCT_AT: number = SCRATCH_BASE + STRUCT;
export const MESSAGE_AT: number = SCRATCH_BASE + MESSAGE;
export const POLLFD_AT: number = SCRATCH_BASE + POLLFD;
export const TIMESPEC_AT: number = SCRATCH_BASE + TIMESPEC;
export const SOURCE_AT: number = SCRATCH_BASE + SOURCE;

/** Bytes of scratch a task needs to copy up to `pages` pages in one call. */
export function scratchBytes(pages: number, contentBytes: number): number {
  return SOURCE + Math.max(REGIONS, Math.max(0, pages - 1) * PAGE + contentBytes);
}

/** Puts 64-bit fields into the struct area, as a C program fills a struct on its stack. */
export function putStruct(task: Task, fields: readonly number[]): void {
  const bytes = must(task.scratch, 'scratch window');
  for (let i = 0; i < fields.length; i++) put64(bytes, STRUCT + i * 8, fields[i] ?? 0);
}

/** What PAGEMAP_SCAN has put where copies have their source. */
export function regionsAt(task: Task, count: number): PageRegion[] {
  const room = must(task.scratch, 'scratch window').subarray(SOURCE, SOURCE + REGIONS);
  return decodeRegions(room, count);
}

/** The 32 bytes that read(2) filled. */
export function messageBytes(task: Task): Uint8Array {
  return must(task.scratch, 'scratch window').subarray(MESSAGE, MESSAGE + 32);
}

/** A pollfd that asks for POLLIN and a timeout of nothing. */
export function putPollFd(task: Task, fd: number, events: number): void {
  const view = viewOf(task);
  view.setInt32(POLLFD, fd, true);
  view.setInt16(POLLFD + 4, events, true);
  view.setInt16(POLLFD + 6, 0, true);
  must(task.scratch, 'scratch window').fill(0, TIMESPEC, TIMESPEC + 16);
}

export function polled(task: Task): number {
  return viewOf(task).getInt16(POLLFD + 6, true);
}

/** Fills `pages` source pages with a word each. */
export function putSource(task: Task, pages: number, word: number): void {
  const bytes = must(task.scratch, 'scratch window');
  for (let i = 0; i < pages; i++) put32(bytes, SOURCE + i * PAGE, word);
}

function viewOf(task: Task): DataView {
  const { buffer, byteOffset, byteLength } = must(task.scratch, 'scratch window');
  return new DataView(buffer, byteOffset, byteLength);
}

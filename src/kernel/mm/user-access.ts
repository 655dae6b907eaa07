/**
 * Reading and writing user memory the way a hart does: through its TLB, page tables and faults. Loads and stores of
 * litmus threads, copy_from_user and copy_to_user, and the copy of UFFDIO_COPY all come through here.
 *
 * One access is: look into the TLB and, when it knows the page, touch it in the same step; else walk in that step, and
 * look again in the next, since the entry may have been flushed in between. A failing walk is a fault.
 * @linux include/linux/uaccess.h
 */
import { assert } from '../../base/assert.ts';
import { contentCell, tlbCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { TLB_R, TLB_W, tlbPfn } from '../../machine/tlb.ts';
import { access } from '../../sched/access.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import type { Steps } from '../../sched/op.ts';
import { EFAULT } from '../../uapi/errno.ts';
import { SCRATCH_BASE, type Task } from '../core/task.ts';
import {
  type FaultSignal,
  faultAddress,
  KERNEL_READ,
  KERNEL_WRITE,
  USER_READ,
  USER_WRITE,
} from './fault.ts';
import type { Vaddr } from './mm-types.ts';
import type { FaultFlags } from './vm-fault.ts';
import { hartWalk } from './walk.ts';

/** A fault with pagefaults disabled: nobody may be asked. @linux pagefault_disable */
const NO_FAULT = 0 as FaultFlags;

/**
 * A load of the program.
 * @param size 1, 2, 4 or 8 bytes
 * @returns the unsigned value (of 8 bytes: exact to 2^53), or the signal that the load ends in
 * Requires: no lock of the mm
 */
export function* userLoad(task: Task, address: Vaddr, size: number): Steps<number | FaultSignal> {
  const window = scratch(task, address, size);
  if (window !== null) return littleEndian(window, 0, size);
  if (splits(address, size)) return yield* loadBytes(task, address, size);
  const pfn = yield* touchPage(task, address, TLB_R, USER_READ);
  if (typeof pfn !== 'number') return pfn;
  sched.touch(contentCell(pfn as Pfn), READ);
  const { frames } = machine;
  return littleEndian(frames.bytes, frames.address(pfn as Pfn, address % PAGE_SIZE), size);
}

/**
 * A store of the program.
 * @param value its low `size` bytes are stored; an 8-byte value is exact to 2^53
 * @returns null, or the signal that the store ends in
 * Requires: no lock of the mm
 */
export function* userStore(
  task: Task,
  address: Vaddr,
  size: number,
  value: number,
): Steps<FaultSignal | null> {
  const window = scratch(task, address, size);
  if (window !== null) {
    putLittleEndian(window, 0, size, value);
    return null;
  }
  if (splits(address, size)) return yield* storeBytes(task, address, size, value);
  const pfn = yield* touchPage(task, address, TLB_W, USER_WRITE);
  if (typeof pfn !== 'number') return pfn;
  const { frames } = machine;
  sched.touch(contentCell(pfn as Pfn), WRITE);
  frames.markUsed(pfn as Pfn);
  putLittleEndian(frames.bytes, frames.address(pfn as Pfn, address % PAGE_SIZE), size, value);
  return null;
}

/** Bytes of user memory, or -EFAULT. Requires: no lock of the mm. @linux copy_from_user */
export function* copyFromUser(
  task: Task,
  address: Vaddr,
  length: number,
): Steps<Uint8Array | number> {
  return yield* copyIn(task, address, length, KERNEL_READ);
}

/** The same without faulting: -EFAULT when a page is not there. @linux copy_from_user_nofault */
export function* copyFromUserNofault(
  task: Task,
  address: Vaddr,
  length: number,
): Steps<Uint8Array | number> {
  return yield* copyIn(task, address, length, NO_FAULT);
}

/**
 * Bytes of user memory into a page until one page is not there, without faulting. @returns how many
 * @linux copy_folio_from_iter_atomic
 */
export function* copyFromUserToPage(
  task: Task,
  address: Vaddr,
  length: number,
  pfn: Pfn,
  offset: number,
): Steps<number> {
  const window = scratch(task, address, length);
  if (window !== null) {
    writeContent(pfn, offset, window);
    return length;
  }
  if (!accessOk(address, length)) return 0;
  for (let done = 0; done < length; ) {
    const from = (address + done) % PAGE_SIZE;
    const chunk = Math.min(length - done, PAGE_SIZE - from);
    const source = yield* touchPage(task, address + done, TLB_R, NO_FAULT);
    if (typeof source !== 'number') return done;
    copyContent(pfn, offset + done, source as Pfn, from, chunk);
    done += chunk;
  }
  return length;
}

/** Bytes of a page to user memory until one page cannot be written. @returns how many. @linux copy_folio_to_iter */
export function* copyPageToUser(
  task: Task,
  address: Vaddr,
  length: number,
  pfn: Pfn,
  offset: number,
): Steps<number> {
  const window = scratch(task, address, length);
  if (window !== null) {
    readContent(pfn, offset, window);
    return length;
  }
  if (!accessOk(address, length)) return 0;
  for (let done = 0; done < length; ) {
    const to = (address + done) % PAGE_SIZE;
    const chunk = Math.min(length - done, PAGE_SIZE - to);
    const target = yield* touchPage(task, address + done, TLB_W, KERNEL_WRITE);
    if (typeof target !== 'number') return done;
    copyContent(target as Pfn, to, pfn, offset + done, chunk);
    done += chunk;
  }
  return length;
}

/** Upwards, byte by byte: what lies in both is read as the copy has left it (measured on 6.18.44, x86-64). */
function copyContent(to: Pfn, at: number, from: Pfn, offset: number, length: number): void {
  const overlap = to === from && at > offset ? at - offset : length;
  for (let done = 0; done < length; done += overlap) {
    const bytes = new Uint8Array(Math.min(overlap, length - done));
    readContent(from, offset + done, bytes);
    writeContent(to, at + done, bytes);
  }
}

/** Writes bytes to user memory until one page cannot be written. @returns how many. @linux copy_folio_to_iter */
export function* copyToUserPartly(task: Task, address: Vaddr, bytes: Uint8Array): Steps<number> {
  for (let done = 0; done < bytes.length; ) {
    const chunk = Math.min(bytes.length - done, PAGE_SIZE - ((address + done) % PAGE_SIZE));
    const error = yield* copyToUser(task, address + done, bytes.subarray(done, done + chunk));
    if (error < 0) return done;
    done += chunk;
  }
  return bytes.length;
}

/** Writes bytes to user memory. @returns 0 or -EFAULT, with the pages before the bad one written. @linux copy_to_user */
export function* copyToUser(task: Task, address: Vaddr, bytes: Uint8Array): Steps<number> {
  const window = scratch(task, address, bytes.length);
  if (window !== null) {
    window.set(bytes);
    return 0;
  }
  if (!accessOk(address, bytes.length)) return -EFAULT;
  for (let done = 0; done < bytes.length; ) {
    const offset = (address + done) % PAGE_SIZE;
    const chunk = Math.min(bytes.length - done, PAGE_SIZE - offset);
    const pfn = yield* touchPage(task, address + done, TLB_W, KERNEL_WRITE);
    if (typeof pfn !== 'number') return -EFAULT;
    writeContent(pfn as Pfn, offset, bytes.subarray(done, done + chunk));
    done += chunk;
  }
  return 0;
}

/**
 * Fills a frame with a page of user memory, from any address: as many bytes as a page really keeps.
 * @param nofault what UFFDIO_COPY does while it holds locks
 * @returns 0 or -EFAULT
 * Requires: no lock of the mm, unless nofault
 */
export function* copyUserPage(
  task: Task,
  source: Vaddr,
  pfn: Pfn,
  nofault: boolean,
): Steps<number> {
  const { frames } = machine;
  const flags = nofault ? NO_FAULT : KERNEL_READ;
  const window = scratch(task, source, frames.contentBytes);
  if (window !== null) {
    frames.write(pfn, 0, window);
    return 0;
  }
  if (!accessOk(source, PAGE_SIZE)) return -EFAULT;
  if (source % PAGE_SIZE !== 0) {
    const bytes = yield* copyIn(task, source, frames.contentBytes, flags);
    if (typeof bytes === 'number') return bytes;
    frames.write(pfn, 0, bytes);
    return 0;
  }
  const from = yield* touchPage(task, source, TLB_R, flags);
  if (typeof from !== 'number') return -EFAULT;
  frames.copy(pfn, from as Pfn);
  return 0;
}

/**
 * Brings about that the hart may use a page, and ends in the step that uses it: the caller touches the content before
 * it yields.
 * @param flags of the fault when there is one; NO_FAULT to give up instead
 * @returns the frame, or why not
 */
function* touchPage(
  task: Task,
  address: Vaddr,
  right: number,
  flags: FaultFlags,
): Steps<number | FaultSignal> {
  const { hart } = task;
  const vpn = Math.floor(address / PAGE_SIZE);
  const tlb = machine.tlbs[hart];
  assert(tlb !== undefined, () => `${task.name} runs on hart ${hart}, which the machine lacks`);
  const name = right === TLB_W ? 'store' : 'load';
  const { mm } = task;
  let due = false;
  for (;;) {
    if (sched.wants()) yield* access(name, tlbCell(hart, vpn), READ);
    const word = tlb.lookup(vpn);
    if ((word & right) !== 0) {
      if (due) mm?.addAccessesDue(-1);
      return tlbPfn(word);
    }
    if (mm !== null && hartWalk(mm, hart, address, right)) continue;
    if (flags === NO_FAULT) return { signal: 'SEGV', code: 0, address };
    if (!due) mm?.addAccessesDue(1);
    due = true;
    const signal = yield* faultAddress(task, address, flags);
    if (signal !== null) {
      mm?.addAccessesDue(-1);
      return signal;
    }
  }
}

/** Whether an access of the program reaches into another page, or past what a shrunk page keeps. */
function splits(address: Vaddr, size: number): boolean {
  return (address % machine.frames.contentBytes) + size > machine.frames.contentBytes;
}

function* loadBytes(task: Task, address: Vaddr, size: number): Steps<number | FaultSignal> {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) {
    const byte = yield* userLoad(task, address + i, 1);
    if (typeof byte !== 'number') return byte;
    bytes[i] = byte;
  }
  return littleEndian(bytes, 0, size);
}

function* storeBytes(
  task: Task,
  address: Vaddr,
  size: number,
  value: number,
): Steps<FaultSignal | null> {
  const bytes = new Uint8Array(size);
  putLittleEndian(bytes, 0, size, value);
  const second = Math.floor((address + size - 1) / PAGE_SIZE) * PAGE_SIZE;
  if (second > address) {
    // Both pages must allow it before the first byte is written (measured on x86-64).
    for (const page of [address, second]) {
      const pfn = yield* touchPage(task, page, TLB_W, USER_WRITE);
      if (typeof pfn !== 'number') return pfn;
    }
  }
  for (const [i, byte] of bytes.entries()) {
    const signal = yield* userStore(task, address + i, 1, byte);
    if (signal !== null) return signal;
  }
  return null;
}

function* copyIn(
  task: Task,
  address: Vaddr,
  length: number,
  flags: FaultFlags,
): Steps<Uint8Array | number> {
  const window = scratch(task, address, length);
  if (window !== null) return window.slice();
  if (!accessOk(address, length)) return -EFAULT;
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const offset = (address + done) % PAGE_SIZE;
    const chunk = Math.min(length - done, PAGE_SIZE - offset);
    const pfn = yield* touchPage(task, address + done, TLB_R, flags);
    if (typeof pfn !== 'number') return -EFAULT;
    readContent(pfn as Pfn, offset, bytes.subarray(done, done + chunk));
    done += chunk;
  }
  return bytes;
}

/** Copies out of a page, whose content repeats when it is shrunk. */
export function readContent(pfn: Pfn, offset: number, into: Uint8Array): void {
  const { frames } = machine;
  for (let done = 0; done < into.length; ) {
    const at = (offset + done) % frames.contentBytes;
    const chunk = Math.min(into.length - done, frames.contentBytes - at);
    into.set(frames.read(pfn, at, chunk), done);
    done += chunk;
  }
}

/** Copies into a page, whose content repeats when it is shrunk. */
export function writeContent(pfn: Pfn, offset: number, bytes: Uint8Array): void {
  const { frames } = machine;
  for (let done = 0; done < bytes.length; ) {
    const at = (offset + done) % frames.contentBytes;
    const chunk = Math.min(bytes.length - done, frames.contentBytes - at);
    frames.write(pfn, at, bytes.subarray(done, done + chunk));
    done += chunk;
  }
}

/** Whether a range can be user memory at all. @linux access_ok */
function accessOk(address: Vaddr, length: number): boolean {
  return address >= 0 && address + length <= TASK_SIZE;
}

/** The part of the task's scratch window that an access means, or null when it means memory. */
function scratch(task: Task, address: Vaddr, length: number): Uint8Array | null {
  if (task.scratch === null || address < SCRATCH_BASE) return null;
  const start = address - SCRATCH_BASE;
  if (start + length > task.scratch.length) return null;
  return task.scratch.subarray(start, start + length);
}

function littleEndian(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

function putLittleEndian(bytes: Uint8Array, at: number, size: number, value: number): void {
  let rest = value;
  for (let i = 0; i < size; i++) {
    const byte = ((rest % 256) + 256) % 256;
    bytes[at + i] = byte;
    rest = (rest - byte) / 256;
  }
}

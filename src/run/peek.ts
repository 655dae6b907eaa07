/** Looking at a program's memory without touching it: for reports. Never faults, sets no accessed bit, is no step. */

import type { Task } from '../kernel/core/task.ts';
import { lookupPte } from '../kernel/mm/pgtable.ts';
import { machine } from '../machine/current.ts';
import { PAGE_SIZE } from '../machine/geometry.ts';
import { ptePfn, ptePresent } from '../machine/pte.ts';

/** Bytes at an address, as many of `length` as are there. */
export function peekBytes(task: Task, address: number, length: number): Uint8Array {
  const bytes: number[] = [];
  while (bytes.length < length) {
    const at = address + bytes.length;
    const pte = task.mm === null || at < 0 ? null : lookupPte(task.mm, at);
    if (pte === null || !ptePresent(pte)) break;
    const offset = at % PAGE_SIZE;
    const chunk = Math.min(length - bytes.length, PAGE_SIZE - offset);
    bytes.push(...machine.frames.read(ptePfn(pte), offset, chunk));
  }
  return Uint8Array.from(bytes);
}

/** A NUL-terminated string, cut after `most` bytes; null when it is not in memory. */
export function peekString(task: Task, address: number, most: number): string | null {
  const bytes = peekBytes(task, address, most);
  const end = bytes.indexOf(0);
  if (end < 0 && bytes.length < most) return null;
  const text = String.fromCharCode(...(end < 0 ? bytes : bytes.subarray(0, end)));
  return end < 0 ? `${text}...` : text;
}

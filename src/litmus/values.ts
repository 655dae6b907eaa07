/**
 * What a register can hold: a number, a word (`EINVAL`, `SEGV`, a set of flags such as `present+wp`), a userfaultfd
 * message, or nothing yet.
 */
import type { UffdMsg } from '../uapi/userfaultfd.ts';
import {
  UFFD_PAGEFAULT_FLAG_MINOR,
  UFFD_PAGEFAULT_FLAG_WP,
  UFFD_PAGEFAULT_FLAG_WRITE,
} from '../uapi/userfaultfd.ts';
import type { Comparison } from './ast.ts';

export type Value = number | string | UffdMsg | undefined;

/** The word for a register that nothing was assigned to. */
export const UNSET = 'unset';
/** What a statement of `finally` gives when it waits for something that never comes. */
export const BLOCKED = 'BLOCKED';

/** Equality is by value; order is for numbers only: `EINVAL < 3` is false, and so is `EINVAL >= 3`. */
export function compare(op: Comparison, left: Value, right: Value): boolean {
  switch (op) {
    case '==':
      return same(left, right);
    case '!=':
      return !same(left, right);
    default:
      break;
  }
  if (typeof left !== 'number' || typeof right !== 'number') return false;
  switch (op) {
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    case '>=':
      return left >= right;
  }
}

function same(left: Value, right: Value): boolean {
  return (left ?? UNSET) === (right ?? UNSET);
}

/** Whether a condition that is only a value holds: a number that is not 0. */
export function truth(value: Value): boolean {
  return typeof value === 'number' && value !== 0;
}

/** Whether a set of flags has a flag. */
export function hasFlag(value: Value, flag: string): boolean {
  return typeof value === 'string' && value.split('+').includes(flag);
}

export const PAGE_MASK = 4096;

/** What `e.member` can ask of a message. Anything that is no message, or not of that kind, gives 0. */
export const MEMBERS: Readonly<Record<string, (msg: UffdMsg) => number>> = {
  missing: (msg) =>
    flag(
      msg.event === 'pagefault' &&
        (msg.flags & (UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_MINOR)) === 0,
    ),
  wp: (msg) => faultFlag(msg, UFFD_PAGEFAULT_FLAG_WP),
  minor: (msg) => faultFlag(msg, UFFD_PAGEFAULT_FLAG_MINOR),
  write: (msg) => faultFlag(msg, UFFD_PAGEFAULT_FLAG_WRITE),
  fault: (msg) => flag(msg.event === 'pagefault'),
  remove: (msg) => flag(msg.event === 'remove'),
  unmap: (msg) => flag(msg.event === 'unmap'),
  fork: (msg) => flag(msg.event === 'fork'),
  remap: (msg) => flag(msg.event === 'remap'),
  page: (msg) => Math.floor(start(msg) / PAGE_MASK) * PAGE_MASK,
  address: start,
  start,
  end: (msg) => (msg.event === 'remove' || msg.event === 'unmap' ? msg.end : 0),
  to: (msg) => (msg.event === 'remap' ? msg.to : 0),
  length: (msg) => (msg.event === 'remap' ? msg.len : 0),
  flags: (msg) => (msg.event === 'pagefault' ? msg.flags : 0),
  tid: (msg) => (msg.event === 'pagefault' ? msg.ptid : 0),
  fd: (msg) => (msg.event === 'fork' ? msg.ufd : 0),
};

/** Members that are addresses: shown and compared as places. */
export const ADDRESS_MEMBERS: readonly string[] = ['page', 'address', 'start', 'end', 'to'];

function start(msg: UffdMsg): number {
  switch (msg.event) {
    case 'pagefault':
      return msg.address;
    case 'remap':
      return msg.from;
    case 'remove':
    case 'unmap':
      return msg.start;
    case 'fork':
      return 0;
  }
}

function flag(yes: boolean): number {
  return yes ? 1 : 0;
}

function faultFlag(msg: UffdMsg, bit: number): number {
  return flag(msg.event === 'pagefault' && (msg.flags & bit) !== 0);
}

/** `missing A[0]`, `wp A[0]`, `remove A[0..1]`. @param place names an address */
export function showMessage(msg: UffdMsg, place: (address: number) => string): string {
  switch (msg.event) {
    case 'pagefault': {
      const { flags } = msg;
      const kind =
        (flags & UFFD_PAGEFAULT_FLAG_WP) !== 0
          ? 'wp'
          : (flags & UFFD_PAGEFAULT_FLAG_MINOR) !== 0
            ? 'minor'
            : 'missing';
      const write = (flags & UFFD_PAGEFAULT_FLAG_WRITE) !== 0 && kind !== 'wp' ? ' write' : '';
      return `${kind} ${place(msg.address)}${write}`;
    }
    case 'remap':
      return `remap ${place(msg.from)} to ${place(msg.to)}`;
    case 'fork':
      return `fork fd ${msg.ufd}`;
    default:
      return `${msg.event} ${place(msg.start)}..${place(msg.end - 1)}`;
  }
}

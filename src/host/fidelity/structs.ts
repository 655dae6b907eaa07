/** The structs of userfaultfd ioctls as the operation language fills them; executor/ has the same. */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  UFFD_EVENT_FORK,
  UFFD_EVENT_PAGEFAULT,
  UFFD_EVENT_REMAP,
  UFFDIO_API,
  UFFDIO_CONTINUE,
  UFFDIO_COPY,
  UFFDIO_MOVE,
  UFFDIO_POISON,
  UFFDIO_REGISTER,
  UFFDIO_UNREGISTER,
  UFFDIO_WAKE,
  UFFDIO_WRITEPROTECT,
  UFFDIO_ZEROPAGE,
} from '../../uapi/userfaultfd.ts';
import { ARENA, BIG_ARENA_PAGES } from './operations.ts';

/** What an out-field holds before the call, to see whether it was written. */
export const UNTOUCHED = 7777n;

type Place = (offset: number) => number;

export interface Struct {
  readonly command: number;
  /** Name in linux/userfaultfd.h, for C programs. */
  readonly name: string;
  /** 64-bit fields in order. */
  fields(args: readonly number[], place: Place): bigint[];
  /** From which field on the kernel writes. */
  readonly firstOut: number;
}

/** A range of the first two operands after the slot, then a mode, then an out-field: as many as the struct has. */
function range(command: number, name: string, fields: number): Struct {
  return {
    command,
    name,
    fields: ([, start = 0, size = 0, mode = 0], place) =>
      [BigInt(place(start)), BigInt(size), BigInt(mode), UNTOUCHED].slice(0, fields),
    firstOut: Math.min(fields, 3),
  };
}

function transfer(command: number, name: string): Struct {
  return {
    command,
    name,
    fields: ([, to = 0, from = 0, size = 0, mode = 0], place) => [
      BigInt(place(to)),
      BigInt(place(from)),
      BigInt(size),
      BigInt(mode),
      UNTOUCHED,
    ],
    firstOut: 4,
  };
}

export const STRUCTS: Readonly<Record<string, Struct>> = {
  api: {
    command: UFFDIO_API,
    name: 'UFFDIO_API',
    fields: ([, features = 0, api = 0]) => [BigInt(api), BigInt(features), UNTOUCHED],
    firstOut: 0,
  },
  register: range(UFFDIO_REGISTER, 'UFFDIO_REGISTER', 4),
  unregister: range(UFFDIO_UNREGISTER, 'UFFDIO_UNREGISTER', 2),
  wake: range(UFFDIO_WAKE, 'UFFDIO_WAKE', 2),
  copy: transfer(UFFDIO_COPY, 'UFFDIO_COPY'),
  move: transfer(UFFDIO_MOVE, 'UFFDIO_MOVE'),
  zeropage: range(UFFDIO_ZEROPAGE, 'UFFDIO_ZEROPAGE', 4),
  continue: range(UFFDIO_CONTINUE, 'UFFDIO_CONTINUE', 4),
  poison: range(UFFDIO_POISON, 'UFFDIO_POISON', 4),
  writeprotect: range(UFFDIO_WRITEPROTECT, 'UFFDIO_WRITEPROTECT', 3),
};

const MESSAGE_BYTES = 32;

/**
 * Messages as both sides print them, each with a blank before it.
 * @param helper the thread id of the helper, where there is one
 */
export function messages(bytes: Uint8Array, helper: number): string {
  let text = '';
  for (const view of eachMessage(bytes)) text += ` [${message(view, helper)}]`;
  return text;
}

/** Descriptors that came with FORK events. */
export function forkedFds(bytes: Uint8Array): number[] {
  return eachMessage(bytes)
    .filter((view) => view.getUint8(0) === UFFD_EVENT_FORK)
    .map((view) => view.getUint32(8, true));
}

function eachMessage(bytes: Uint8Array): DataView[] {
  const views: DataView[] = [];
  for (let at = 0; at + MESSAGE_BYTES <= bytes.length; at += MESSAGE_BYTES) {
    views.push(new DataView(bytes.buffer, bytes.byteOffset + at, MESSAGE_BYTES));
  }
  return views;
}

function message(view: DataView, helper: number): string {
  const event = view.getUint8(0);
  const word = (i: number): number => Number(view.getBigUint64(8 * i, true));
  if (event === UFFD_EVENT_PAGEFAULT) {
    const thread = view.getUint32(24, true);
    const who = thread === 0 ? '' : thread === helper ? ' by the helper' : ' by another';
    return `PAGEFAULT flags ${word(1).toString(16)} +0x${(word(2) - ARENA).toString(16)}${who}`;
  }
  const range = event === UFFD_EVENT_FORK ? '' : ` ${placeText(word(1))} ${placeText(word(2))}`;
  const length = event === UFFD_EVENT_REMAP ? ` ${word(3)}` : '';
  return `event ${event.toString(16)}${range}${length}`;
}

function placeText(address: number): string {
  const offset = address - ARENA;
  const inside = offset >= 0 && offset <= BIG_ARENA_PAGES * PAGE_SIZE;
  return inside ? `+0x${offset.toString(16)}` : 'elsewhere';
}

/** Bytes that `read` may ask for at most. */
export const READ_LIMIT: number = PAGE_SIZE / 2;

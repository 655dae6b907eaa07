/** The structs of userfaultfd ioctls as the operation language fills them; executor/ has the same. */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
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
import { ARENA, ARENA_PAGES } from './operations.ts';

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

/** Messages as both sides print them, each with a blank before it. */
export function messages(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = '';
  for (let at = 0; at + MESSAGE_BYTES <= bytes.length; at += MESSAGE_BYTES) {
    const event = view.getUint8(at);
    const word = (i: number): number => Number(view.getBigUint64(at + 8 * i, true));
    text += ` [${message(event, word)}]`;
  }
  return text;
}

function message(event: number, word: (i: number) => number): string {
  const from = word(1) - ARENA;
  const to = word(2) - ARENA;
  const offset = `+0x${to.toString(16)}`;
  const inside = to >= 0 && to < ARENA_PAGES * PAGE_SIZE;
  switch (event) {
    case UFFD_EVENT_PAGEFAULT:
      return `PAGEFAULT flags ${word(1).toString(16)} ${offset}`;
    case UFFD_EVENT_REMAP:
      return `event ${event.toString(16)} +0x${from.toString(16)} ${inside ? offset : 'elsewhere'} ${word(3)}`;
    default:
      return `event ${event.toString(16)}`;
  }
}

/** Bytes that `read` may ask for at most. */
export const READ_LIMIT: number = PAGE_SIZE / 2;

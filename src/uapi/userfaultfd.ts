/**
 * userfaultfd as user space sees it: numbers, and the layout of every struct that goes through ioctl(2) or read(2).
 * @linux include/uapi/linux/userfaultfd.h; semantics.md sections 9.2, 9.3 and 9.10 (measured on 6.18.44)
 */
import { at, must } from '../base/assert.ts';
import { get32, get64, put32, put64 } from './little-endian.ts';

export const UFFD_API = 0xaa;
export const UFFD_USER_MODE_ONLY = 1;

/** ioctl numbers. */
/** ioctl of /dev/userfaultfd: its argument is what userfaultfd(2) takes. */
export const USERFAULTFD_IOC_NEW = 0xaa00;
export const UFFDIO_API = 0xc018aa3f;
export const UFFDIO_REGISTER = 0xc020aa00;
export const UFFDIO_UNREGISTER = 0x8010aa01;
export const UFFDIO_WAKE = 0x8010aa02;
export const UFFDIO_COPY = 0xc028aa03;
export const UFFDIO_ZEROPAGE = 0xc020aa04;
export const UFFDIO_MOVE = 0xc028aa05;
export const UFFDIO_WRITEPROTECT = 0xc018aa06;
export const UFFDIO_CONTINUE = 0xc020aa07;
export const UFFDIO_POISON = 0xc020aa08;

/** Bits of the `ioctls` out-fields: 1 << (number & 0xff). */
export const _UFFDIO_WAKE = 0x02;
export const _UFFDIO_COPY = 0x03;
export const _UFFDIO_ZEROPAGE = 0x04;
export const _UFFDIO_MOVE = 0x05;
export const _UFFDIO_WRITEPROTECT = 0x06;
export const _UFFDIO_CONTINUE = 0x07;
export const _UFFDIO_POISON = 0x08;
/** REGISTER, UNREGISTER and API: what the handshake reports. */
export const UFFD_API_IOCTLS = 0x8000000000000003n;
/** WAKE, COPY, ZEROPAGE, MOVE, POISON: what REGISTER reports for anonymous memory, before the mode's own. */
export const UFFD_API_RANGE_IOCTLS: number =
  (1 << _UFFDIO_WAKE) |
  (1 << _UFFDIO_COPY) |
  (1 << _UFFDIO_ZEROPAGE) |
  (1 << _UFFDIO_MOVE) |
  (1 << _UFFDIO_POISON);

/** The same for memory of huge pages: without ZEROPAGE and MOVE. */
export const UFFD_API_RANGE_IOCTLS_BASIC: number =
  (1 << _UFFDIO_WAKE) | (1 << _UFFDIO_COPY) | (1 << _UFFDIO_POISON);

export const UFFDIO_REGISTER_MODE_MISSING = 1;
export const UFFDIO_REGISTER_MODE_WP = 2;
export const UFFDIO_REGISTER_MODE_MINOR = 4;
export const UFFDIO_COPY_MODE_DONTWAKE = 1;
export const UFFDIO_COPY_MODE_WP = 2;
export const UFFDIO_ZEROPAGE_MODE_DONTWAKE = 1;
export const UFFDIO_POISON_MODE_DONTWAKE = 1;
export const UFFDIO_CONTINUE_MODE_DONTWAKE = 1;
export const UFFDIO_CONTINUE_MODE_WP = 2;
export const UFFDIO_WRITEPROTECT_MODE_WP = 1;
export const UFFDIO_WRITEPROTECT_MODE_DONTWAKE = 2;
export const UFFDIO_MOVE_MODE_DONTWAKE = 1;
export const UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES = 2;

export const UFFD_FEATURE_PAGEFAULT_FLAG_WP: number = 1 << 0;
export const UFFD_FEATURE_EVENT_FORK: number = 1 << 1;
export const UFFD_FEATURE_EVENT_REMAP: number = 1 << 2;
export const UFFD_FEATURE_EVENT_REMOVE: number = 1 << 3;
export const UFFD_FEATURE_MISSING_HUGETLBFS: number = 1 << 4;
export const UFFD_FEATURE_MISSING_SHMEM: number = 1 << 5;
export const UFFD_FEATURE_EVENT_UNMAP: number = 1 << 6;
export const UFFD_FEATURE_SIGBUS: number = 1 << 7;
export const UFFD_FEATURE_THREAD_ID: number = 1 << 8;
export const UFFD_FEATURE_MINOR_HUGETLBFS: number = 1 << 9;
export const UFFD_FEATURE_MINOR_SHMEM: number = 1 << 10;
export const UFFD_FEATURE_EXACT_ADDRESS: number = 1 << 11;
export const UFFD_FEATURE_WP_HUGETLBFS_SHMEM: number = 1 << 12;
export const UFFD_FEATURE_WP_UNPOPULATED: number = 1 << 13;
export const UFFD_FEATURE_POISON: number = 1 << 14;
export const UFFD_FEATURE_WP_ASYNC: number = 1 << 15;
export const UFFD_FEATURE_MOVE: number = 1 << 16;
/** Every feature of 6.18 on x86-64. */
export const UFFD_API_FEATURES = 0x1ffff;

/** Feature names as litmus files and --strace spell them. */
export const UFFD_FEATURE_NAMES: Readonly<Record<string, number>> = {
  pagefault_flag_wp: UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  event_fork: UFFD_FEATURE_EVENT_FORK,
  event_remap: UFFD_FEATURE_EVENT_REMAP,
  event_remove: UFFD_FEATURE_EVENT_REMOVE,
  missing_hugetlbfs: UFFD_FEATURE_MISSING_HUGETLBFS,
  missing_shmem: UFFD_FEATURE_MISSING_SHMEM,
  event_unmap: UFFD_FEATURE_EVENT_UNMAP,
  sigbus: UFFD_FEATURE_SIGBUS,
  thread_id: UFFD_FEATURE_THREAD_ID,
  minor_hugetlbfs: UFFD_FEATURE_MINOR_HUGETLBFS,
  minor_shmem: UFFD_FEATURE_MINOR_SHMEM,
  exact_address: UFFD_FEATURE_EXACT_ADDRESS,
  wp_hugetlbfs_shmem: UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  wp_unpopulated: UFFD_FEATURE_WP_UNPOPULATED,
  poison: UFFD_FEATURE_POISON,
  wp_async: UFFD_FEATURE_WP_ASYNC,
  move: UFFD_FEATURE_MOVE,
};

export const UFFD_EVENT_PAGEFAULT = 0x12;
export const UFFD_EVENT_FORK = 0x13;
export const UFFD_EVENT_REMAP = 0x14;
export const UFFD_EVENT_REMOVE = 0x15;
export const UFFD_EVENT_UNMAP = 0x16;

export const UFFD_PAGEFAULT_FLAG_WRITE = 1;
export const UFFD_PAGEFAULT_FLAG_WP = 2;
export const UFFD_PAGEFAULT_FLAG_MINOR = 4;

/** One little-endian field of a struct. */
export interface Field<Name extends string> {
  readonly name: Name;
  readonly offset: number;
  readonly kind: 'u8' | 'u32' | 'u64' | 's64';
  /** Written by the kernel. */
  readonly out: boolean;
}
export interface StructLayout<Name extends string> {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field<Name>[];
}
export type StructValues<Name extends string> = Record<Name, number>;

/** A struct of 64-bit fields in order; `out:` before a name marks one the kernel writes, `s:` a signed one. */
function u64s<Name extends string>(
  name: string,
  names: readonly Name[],
  out: readonly Name[] = [],
  signed: readonly Name[] = [],
): StructLayout<Name> {
  const fields = names.map((field, i): Field<Name> => {
    const kind = signed.includes(field) ? 's64' : 'u64';
    return { name: field, offset: i * 8, kind, out: out.includes(field) };
  });
  return { name, size: names.length * 8, fields };
}

export const UFFDIO_API_STRUCT: StructLayout<'api' | 'features' | 'ioctls'> = u64s(
  'struct uffdio_api',
  ['api', 'features', 'ioctls'],
  ['features', 'ioctls'],
);
export const UFFDIO_RANGE_STRUCT: StructLayout<'start' | 'len'> = u64s('struct uffdio_range', [
  'start',
  'len',
]);
export const UFFDIO_REGISTER_STRUCT: StructLayout<'start' | 'len' | 'mode' | 'ioctls'> = u64s(
  'struct uffdio_register',
  ['start', 'len', 'mode', 'ioctls'],
  ['ioctls'],
);
export const UFFDIO_COPY_STRUCT: StructLayout<'dst' | 'src' | 'len' | 'mode' | 'copy'> = u64s(
  'struct uffdio_copy',
  ['dst', 'src', 'len', 'mode', 'copy'],
  ['copy'],
  ['copy'],
);
export const UFFDIO_ZEROPAGE_STRUCT: StructLayout<'start' | 'len' | 'mode' | 'zeropage'> = u64s(
  'struct uffdio_zeropage',
  ['start', 'len', 'mode', 'zeropage'],
  ['zeropage'],
  ['zeropage'],
);
export const UFFDIO_WRITEPROTECT_STRUCT: StructLayout<'start' | 'len' | 'mode'> = u64s(
  'struct uffdio_writeprotect',
  ['start', 'len', 'mode'],
);
export const UFFDIO_CONTINUE_STRUCT: StructLayout<'start' | 'len' | 'mode' | 'mapped'> = u64s(
  'struct uffdio_continue',
  ['start', 'len', 'mode', 'mapped'],
  ['mapped'],
  ['mapped'],
);
export const UFFDIO_POISON_STRUCT: StructLayout<'start' | 'len' | 'mode' | 'updated'> = u64s(
  'struct uffdio_poison',
  ['start', 'len', 'mode', 'updated'],
  ['updated'],
  ['updated'],
);
export const UFFDIO_MOVE_STRUCT: StructLayout<'dst' | 'src' | 'len' | 'mode' | 'move'> = u64s(
  'struct uffdio_move',
  ['dst', 'src', 'len', 'mode', 'move'],
  ['move'],
  ['move'],
);

/**
 * The fields of a struct as numbers; bytes that are not there count as 0. A u64 above 2^53 comes back rounded, which no range or flag check mistakes for a
 * valid value.
 */
export function decodeStruct<Name extends string>(
  layout: StructLayout<Name>,
  bytes: Uint8Array,
): StructValues<Name> {
  const values: Partial<Record<Name, number>> = {};
  for (const f of layout.fields) values[f.name] = readField(bytes, f);
  return values as StructValues<Name>;
}

/** A struct with the given fields set and the rest zero. */
export function encodeStruct<Name extends string>(
  layout: StructLayout<Name>,
  values: Partial<Record<Name, number | bigint>>,
): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  for (const f of layout.fields) writeField(bytes, f.offset, f, values[f.name] ?? 0);
  return bytes;
}

/** The bytes of one field, for a kernel that writes a single out-field. */
export function encodeField<Name extends string>(
  layout: StructLayout<Name>,
  name: Name,
  value: number | bigint,
): { readonly offset: number; readonly bytes: Uint8Array } {
  const field = must(
    layout.fields.find((f) => f.name === name),
    `field ${name} of ${layout.name}`,
  );
  const bytes = new Uint8Array(widthOf(field));
  writeField(bytes, 0, field, value);
  return { offset: field.offset, bytes };
}

function widthOf(field: Field<string>): number {
  if (field.kind === 'u8') return 1;
  return field.kind === 'u32' ? 4 : 8;
}

function readField(bytes: Uint8Array, { kind, offset }: Field<string>): number {
  if (kind === 'u8') return bytes[offset] ?? 0;
  const low = get32(bytes, offset);
  if (kind === 'u32') return low;
  const high = get32(bytes, offset + 4);
  return (kind === 's64' ? high | 0 : high) * 0x1_0000_0000 + low;
}

function writeField(
  bytes: Uint8Array,
  offset: number,
  { kind }: Field<string>,
  value: number | bigint,
): void {
  if (kind === 'u8') bytes[offset] = Number(value);
  else if (kind === 'u32') put32(bytes, offset, Number(value));
  else if (typeof value === 'number') put64(bytes, offset, value);
  else {
    put32(bytes, offset, Number(BigInt.asUintN(32, value)));
    put32(bytes, offset + 4, Number(BigInt.asUintN(32, value >> 32n)));
  }
}

/** Bytes of one message of read(2). */
export const UFFD_MSG_SIZE = 32;

/** struct uffd_msg. */
export type UffdMsg =
  | {
      readonly event: 'pagefault';
      readonly flags: number;
      readonly address: number;
      /** The faulting thread with UFFD_FEATURE_THREAD_ID, else 0. */
      readonly ptid: number;
    }
  | { readonly event: 'fork'; readonly ufd: number }
  | { readonly event: 'remap'; readonly from: number; readonly to: number; readonly len: number }
  | { readonly event: 'remove'; readonly start: number; readonly end: number }
  | { readonly event: 'unmap'; readonly start: number; readonly end: number };

/** event at 0, then at 8 what the event has to say. */
export function encodeUffdMsg(msg: UffdMsg): Uint8Array {
  const bytes = new Uint8Array(UFFD_MSG_SIZE);
  const put = (offset: number, value: number): void => put64(bytes, offset, value);
  switch (msg.event) {
    case 'pagefault':
      bytes[0] = UFFD_EVENT_PAGEFAULT;
      put(8, msg.flags);
      put(16, msg.address);
      put32(bytes, 24, msg.ptid);
      break;
    case 'fork':
      bytes[0] = UFFD_EVENT_FORK;
      put32(bytes, 8, msg.ufd);
      break;
    case 'remap':
      bytes[0] = UFFD_EVENT_REMAP;
      put(8, msg.from);
      put(16, msg.to);
      put(24, msg.len);
      break;
    case 'remove':
    case 'unmap':
      bytes[0] = msg.event === 'remove' ? UFFD_EVENT_REMOVE : UFFD_EVENT_UNMAP;
      put(8, msg.start);
      put(16, msg.end);
      break;
  }
  return bytes;
}

/** One message, or null when the event number is none of ours. @param offset of its first byte */
export function decodeUffdMsg(bytes: Uint8Array, offset = 0): UffdMsg | null {
  const get = (o: number): number => get64(bytes, offset + o);
  switch (at(bytes, offset)) {
    case UFFD_EVENT_PAGEFAULT:
      return {
        event: 'pagefault',
        flags: get(8),
        address: get(16),
        ptid: get32(bytes, offset + 24),
      };
    case UFFD_EVENT_FORK:
      return { event: 'fork', ufd: get32(bytes, offset + 8) };
    case UFFD_EVENT_REMAP:
      return { event: 'remap', from: get(8), to: get(16), len: get(24) };
    case UFFD_EVENT_REMOVE:
      return { event: 'remove', start: get(8), end: get(16) };
    case UFFD_EVENT_UNMAP:
      return { event: 'unmap', start: get(8), end: get(16) };
    default:
      return null;
  }
}

/**
 * Guest memory through the hart's TLB: find the frames of an access, then read or write them. An
 * access finds all its pages before it touches any, so a trap leaves memory as it was.
 */
import {
  HART_TRAP_ADDR,
  TLB_ENTRIES,
  TLB_HOST,
  TLB_TAG_R,
  TLB_TAG_W,
  TLB_TAG_X,
} from './hart-layout.ts';
import type { HartState } from './hart-state.ts';
import { TRAP_LOAD, TRAP_STORE } from './trap.ts';

const ENTRY_WORDS = 8;
const HOST_WORD = TLB_HOST / 4;
const FETCH_WORD = TLB_TAG_X / 4;
const PAGE = 4096;

/**
 * The byte address in the World's memory of a guest address, or -1 when no entry permits the
 * access.
 * @param tag which permission: TLB_TAG_R or TLB_TAG_W
 */
export function translate(h: HartState, lo: number, hi: number, tag: number): number {
  const vpnLo = (lo >>> 12) | (hi << 20);
  const entry = h.tlb + (vpnLo & (TLB_ENTRIES - 1)) * ENTRY_WORDS;
  const at = entry + (tag >>> 2);
  if (h.i32[at] !== vpnLo || h.i32[at + 1] !== hi >>> 12) return -1;
  return ((h.i32[entry + HOST_WORD] as number) >>> 0) + (lo & (PAGE - 1));
}

/** The same for a fetch. */
export function translateFetch(h: HartState, lo: number, hi: number): number {
  const vpnLo = (lo >>> 12) | (hi << 20);
  const entry = h.tlb + FETCH_WORD + (vpnLo & (TLB_ENTRIES - 1)) * ENTRY_WORDS;
  if (h.i32[entry] !== vpnLo || h.i32[entry + 1] !== hi >>> 12) return -1;
  return ((h.i32[entry + HOST_WORD] as number) >>> 0) + (lo & (PAGE - 1));
}

/**
 * Finds every byte of an access: afterwards byte k lies at `h.host + k` if k < h.split, else at
 * `h.host2 + k`.
 * @returns false on a miss; the trap address is then the first byte of the access in the page that
 *   is missing
 */
export function locate(h: HartState, lo: number, hi: number, size: number, tag: number): boolean {
  const host = translate(h, lo, hi, tag);
  if (host < 0) {
    h.setPair(HART_TRAP_ADDR, lo, hi);
    return false;
  }
  h.host = host;
  h.split = size;
  const room = PAGE - (lo & (PAGE - 1));
  return room >= size || locateRest(h, lo, hi, room, tag);
}

/** Loads up to 4 bytes, zero-extended into a word. Only after `locate`. */
export function readWord(h: HartState, size: number): number {
  const host = h.host;
  if (h.split === size) {
    if (size === 4 && (host & 3) === 0) return h.i32[host >>> 2] as number;
    if (size === 1) return h.u8[host] as number;
    if (size === 2 && (host & 1) === 0) return h.u16[host >>> 1] as number;
  }
  return gather(h, 0, size);
}

/** Stores the low `size` (up to 4) bytes of a word. Only after `locate`. */
export function writeWord(h: HartState, size: number, value: number): void {
  const host = h.host;
  if (h.split === size && (host & (size - 1)) === 0) {
    if (size === 4) h.i32[host >>> 2] = value;
    else if (size === 1) h.u8[host] = value;
    else h.u16[host >>> 1] = value;
  } else {
    scatter(h, 0, size, value);
  }
}

/** Loads 8 bytes into the pair of words at an index of i32. Only after `locate`. */
export function readPair(h: HartState, target: number): void {
  const host = h.host;
  if (h.split === 8 && (host & 3) === 0) {
    h.i32[target] = h.i32[host >>> 2] as number;
    h.i32[target + 1] = h.i32[(host >>> 2) + 1] as number;
  } else {
    const lo = gather(h, 0, 4);
    h.i32[target + 1] = gather(h, 4, 4);
    h.i32[target] = lo;
  }
}

/** Stores 8 bytes. Only after `locate`. */
export function writePair(h: HartState, lo: number, hi: number): void {
  const host = h.host;
  if (h.split === 8 && (host & 3) === 0) {
    h.i32[host >>> 2] = lo;
    h.i32[(host >>> 2) + 1] = hi;
  } else {
    scatter(h, 0, 4, lo);
    scatter(h, 4, 4, hi);
  }
}

/** `locate` for a load at register + imm. */
export function locateLoad(h: HartState, base: number, imm: number, size: number): boolean {
  const lo = (h.lo(base) + imm) | 0;
  return locate(h, lo, carried(h, base, imm, lo), size, TLB_TAG_R);
}

export function locateStore(h: HartState, base: number, imm: number, size: number): boolean {
  const lo = (h.lo(base) + imm) | 0;
  return locate(h, lo, carried(h, base, imm, lo), size, TLB_TAG_W);
}

/** The trap a failed `locate` with this tag means. */
export function missTrap(tag: number): number {
  return tag === TLB_TAG_W ? TRAP_STORE : TRAP_LOAD;
}

function carried(h: HartState, base: number, imm: number, lo: number): number {
  return (h.hi(base) + (imm >> 31) + (lo >>> 0 < imm >>> 0 ? 1 : 0)) | 0;
}

function locateRest(h: HartState, lo: number, hi: number, room: number, tag: number): boolean {
  const nextLo = (lo + room) | 0;
  const nextHi = nextLo === 0 ? (hi + 1) | 0 : hi;
  const host = translate(h, nextLo, nextHi, tag);
  if (host < 0) {
    h.setPair(HART_TRAP_ADDR, nextLo, nextHi);
    return false;
  }
  h.split = room;
  h.host2 = host - room;
  return true;
}

function gather(h: HartState, from: number, size: number): number {
  let value = 0;
  for (let k = 0; k < size; k++) {
    const host = from + k < h.split ? h.host : h.host2;
    value |= (h.u8[host + from + k] as number) << (8 * k);
  }
  return value;
}

function scatter(h: HartState, from: number, size: number, value: number): void {
  for (let k = 0; k < size; k++) {
    const host = from + k < h.split ? h.host : h.host2;
    h.u8[host + from + k] = value >>> (8 * k);
  }
}

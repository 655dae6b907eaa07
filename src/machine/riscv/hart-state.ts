import { assert } from '../../base/assert.ts';
import type { FpFlags } from './fpu/format.ts';
import * as layout from './hart-layout.ts';

/**
 * One hart as the interpreter sees it: views of the World's memory, and word indices of the
 * registers in them (hart-layout.ts). Integers are pairs of signed 32-bit words, low first, because
 * BigInt is an order slower.
 */
export class HartState {
  i32: Int32Array = new Int32Array(0);
  u16: Uint16Array = new Uint16Array(0);
  u8: Uint8Array = new Uint8Array(0);
  f32: Float32Array = new Float32Array(0);
  f64: Float64Array = new Float64Array(0);
  i64: BigInt64Array = new BigInt64Array(0);
  u64: BigUint64Array = new BigUint64Array(0);
  #buffer: ArrayBufferLike | undefined;

  /** Index into i32 of x0; xN lies at `x + 2 * N` and the word after it. */
  x = 0;
  /** Index into i32 and f32 of f0. */
  f = 0;
  /** Index into i32 of the first TLB entry. */
  tlb = 0;
  /** Byte address of the hart's state. */
  base = 0;

  pcLo = 0;
  pcHi = 0;
  /** Where execution goes on if the instruction does not trap; jumps overwrite it. */
  nextLo = 0;
  nextHi = 0;
  /** Instructions retired since `bind`. */
  retired = 0;

  /** What the last successful `locate` found (memory.ts). */
  host = 0;
  host2 = 0;
  split = 0;

  readonly flags: FpFlags = { bits: 0 };

  /**
   * Turns to a hart and reads its pc.
   * @param buffer the World's memory as it is now: growing it detaches the previous buffer
   * @param hart byte address of the hart's state, a multiple of 8
   */
  bind(buffer: ArrayBufferLike, hart: number): void {
    assert(hart % 8 === 0, `hart state at ${hart} is not aligned to 8`);
    if (this.#buffer !== buffer || this.i32.length === 0) this.#view(buffer);
    this.base = hart;
    this.x = (hart + layout.HART_X) / 4;
    this.f = (hart + layout.HART_F) / 4;
    this.tlb = (hart + layout.HART_TLB) / 4;
    this.pcLo = this.word(layout.HART_PC) & ~1;
    this.pcHi = this.word(layout.HART_PC + 4);
    this.retired = 0;
  }

  /** The 32-bit word at a byte offset of the hart's state. */
  word(offset: number): number {
    return this.i32[(this.base + offset) >>> 2] as number;
  }

  setWord(offset: number, value: number): void {
    this.i32[(this.base + offset) >>> 2] = value;
  }

  setPair(offset: number, lo: number, hi: number): void {
    const index = (this.base + offset) >>> 2;
    this.i32[index] = lo;
    this.i32[index + 1] = hi;
  }

  lo(register: number): number {
    return this.i32[this.x + 2 * register] as number;
  }

  hi(register: number): number {
    return this.i32[this.x + 2 * register + 1] as number;
  }

  /** Writes xN from a pair of words; x0 stays zero. */
  set(register: number, lo: number, hi: number): void {
    if (register === 0) return;
    this.i32[this.x + 2 * register] = lo;
    this.i32[this.x + 2 * register + 1] = hi;
  }

  /** Writes xN with a sign-extended 32-bit value. */
  setWide(register: number, value: number): void {
    this.set(register, value, value >> 31);
  }

  signed(register: number): bigint {
    return this.i64[(this.x >>> 1) + register] as bigint;
  }

  unsigned(register: number): bigint {
    return this.u64[(this.x >>> 1) + register] as bigint;
  }

  /** Writes xN from the low 64 bits of an integer. */
  setBig(register: number, value: bigint): void {
    if (register !== 0) this.i64[(this.x >>> 1) + register] = value;
  }

  #view(buffer: ArrayBufferLike): void {
    this.#buffer = buffer;
    this.i32 = new Int32Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u8 = new Uint8Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.i64 = new BigInt64Array(buffer);
    this.u64 = new BigUint64Array(buffer);
  }
}

/** What a handler returns when the instruction did not trap; other values are trap causes. */
export const NO_TRAP = -1;

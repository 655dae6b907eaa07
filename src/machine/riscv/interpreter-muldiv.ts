/**
 * RV64M (RISC-V Unprivileged ISA 20191213, chapter 7). Division by zero and overflow give table
 * 7.1's values.
 */
import type { Insn } from './decode.ts';
import type { Handler, HandlerRow } from './handler.ts';
import { type HartState, NO_TRAP } from './hart-state.ts';
import * as op from './ops.ts';

/**
 * The low 64 bits of a product, from 16-bit digits of the low words: a 32 x 32 product does not fit
 * a double.
 */
function mul(h: HartState, i: Insn): number {
  const a = h.lo(i.rs1);
  const b = h.lo(i.rs2);
  const cross = Math.imul(a, h.hi(i.rs2)) + Math.imul(b, h.hi(i.rs1));
  h.set(i.rd, Math.imul(a, b), (mulHighUnsigned(a >>> 0, b >>> 0) + cross) | 0);
  return NO_TRAP;
}

function mulHighUnsigned(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const other = aLow * bHigh + (middle % 0x10000);
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000);
}

/** Both operands are sign-extended 32-bit values: number arithmetic is exact. */
function areWords(h: HartState, i: Insn): boolean {
  return h.hi(i.rs1) === h.lo(i.rs1) >> 31 && h.hi(i.rs2) === h.lo(i.rs2) >> 31;
}

function div(h: HartState, i: Insn): number {
  if (areWords(h, i) && h.lo(i.rs2) > 0) {
    h.setWide(i.rd, (h.lo(i.rs1) / h.lo(i.rs2)) | 0);
  } else {
    const divisor = h.signed(i.rs2);
    h.setBig(i.rd, divisor === 0n ? -1n : h.signed(i.rs1) / divisor);
  }
  return NO_TRAP;
}

function rem(h: HartState, i: Insn): number {
  if (areWords(h, i) && h.lo(i.rs2) > 0) {
    h.setWide(i.rd, (h.lo(i.rs1) % h.lo(i.rs2)) | 0);
  } else {
    const divisor = h.signed(i.rs2);
    h.setBig(i.rd, divisor === 0n ? h.signed(i.rs1) : h.signed(i.rs1) % divisor);
  }
  return NO_TRAP;
}

function divu(h: HartState, i: Insn): number {
  if (h.hi(i.rs1) === 0 && h.hi(i.rs2) === 0 && h.lo(i.rs2) !== 0) {
    h.set(i.rd, ((h.lo(i.rs1) >>> 0) / (h.lo(i.rs2) >>> 0)) | 0, 0);
  } else {
    const divisor = h.unsigned(i.rs2);
    h.setBig(i.rd, divisor === 0n ? -1n : h.unsigned(i.rs1) / divisor);
  }
  return NO_TRAP;
}

function remu(h: HartState, i: Insn): number {
  if (h.hi(i.rs1) === 0 && h.hi(i.rs2) === 0 && h.lo(i.rs2) !== 0) {
    h.set(i.rd, ((h.lo(i.rs1) >>> 0) % (h.lo(i.rs2) >>> 0)) | 0, 0);
  } else {
    const divisor = h.unsigned(i.rs2);
    h.setBig(i.rd, divisor === 0n ? h.unsigned(i.rs1) : h.unsigned(i.rs1) % divisor);
  }
  return NO_TRAP;
}

/** A 32-bit operation on the low words, its result sign-extended. */
function onWords(apply: (a: number, b: number) => number): Handler {
  return (h, i) => {
    h.setWide(i.rd, apply(h.lo(i.rs1), h.lo(i.rs2)) | 0);
    return NO_TRAP;
  };
}

function high(product: (h: HartState, i: Insn) => bigint): Handler {
  return (h, i) => {
    h.setBig(i.rd, product(h, i) >> 64n);
    return NO_TRAP;
  };
}

export const MULDIV_HANDLERS: readonly HandlerRow[] = [
  [op.OP_MUL, mul],
  [op.OP_MULH, high((h, i) => h.signed(i.rs1) * h.signed(i.rs2))],
  [op.OP_MULHSU, high((h, i) => h.signed(i.rs1) * h.unsigned(i.rs2))],
  [op.OP_MULHU, high((h, i) => h.unsigned(i.rs1) * h.unsigned(i.rs2))],
  [op.OP_DIV, div],
  [op.OP_DIVU, divu],
  [op.OP_REM, rem],
  [op.OP_REMU, remu],
  [op.OP_MULW, onWords((a, b) => Math.imul(a, b))],
  [op.OP_DIVW, onWords((a, b) => (b === 0 ? -1 : a / b))],
  [op.OP_DIVUW, onWords((a, b) => (b === 0 ? -1 : (a >>> 0) / (b >>> 0)))],
  [op.OP_REMW, onWords((a, b) => (b === 0 ? a : a % b))],
  [op.OP_REMUW, onWords((a, b) => (b === 0 ? a : (a >>> 0) % (b >>> 0)))],
];

/** RV64I: arithmetic, loads, stores, jumps and branches on pairs of 32-bit words. */
import type { Insn } from './decode.ts';
import type { Handler, HandlerRow } from './handler.ts';
import { type HartState, NO_TRAP } from './hart-state.ts';
import { locateLoad, locateStore, readPair, readWord, writePair, writeWord } from './memory.ts';
import * as op from './ops.ts';
import { TRAP_EBREAK, TRAP_ECALL, TRAP_ILLEGAL, TRAP_LOAD, TRAP_STORE } from './trap.ts';

/** Carry out of a 32-bit addition whose result is `sum`. */
function carry(sum: number, addend: number): number {
  return sum >>> 0 < addend >>> 0 ? 1 : 0;
}

function add(h: HartState, rd: number, aLo: number, aHi: number, bLo: number, bHi: number): number {
  const lo = (aLo + bLo) | 0;
  h.set(rd, lo, (aHi + bHi + carry(lo, bLo)) | 0);
  return NO_TRAP;
}

function sub(h: HartState, i: Insn): number {
  const aLo = h.lo(i.rs1);
  const bLo = h.lo(i.rs2);
  const borrow = aLo >>> 0 < bLo >>> 0 ? 1 : 0;
  h.set(i.rd, (aLo - bLo) | 0, (h.hi(i.rs1) - h.hi(i.rs2) - borrow) | 0);
  return NO_TRAP;
}

function isLess(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi < bHi || (aHi === bHi && aLo >>> 0 < bLo >>> 0);
}

function isLessUnsigned(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi >>> 0 < bHi >>> 0;
}

function less(h: HartState, i: Insn): boolean {
  return isLess(h.lo(i.rs1), h.hi(i.rs1), h.lo(i.rs2), h.hi(i.rs2));
}

function lessUnsigned(h: HartState, i: Insn): boolean {
  return isLessUnsigned(h.lo(i.rs1), h.hi(i.rs1), h.lo(i.rs2), h.hi(i.rs2));
}

function equal(h: HartState, i: Insn): boolean {
  return h.lo(i.rs1) === h.lo(i.rs2) && h.hi(i.rs1) === h.hi(i.rs2);
}

function shiftLeft(h: HartState, i: Insn, amount: number): number {
  const lo = h.lo(i.rs1);
  const by = amount & 63;
  if (by >= 32) h.set(i.rd, 0, lo << (by - 32));
  else if (by === 0) h.set(i.rd, lo, h.hi(i.rs1));
  else h.set(i.rd, lo << by, (h.hi(i.rs1) << by) | (lo >>> (32 - by)));
  return NO_TRAP;
}

/** @param fill what shifts in from above: 0, or the sign word for an arithmetic shift */
function shiftRight(h: HartState, i: Insn, amount: number, fill: number): number {
  const hi = h.hi(i.rs1);
  const by = amount & 63;
  if (by === 0) h.set(i.rd, h.lo(i.rs1), hi);
  else if (by === 32) h.set(i.rd, hi, fill);
  else if (by > 32) h.set(i.rd, (hi >>> (by - 32)) | (fill << (64 - by)), fill);
  else {
    const above = (hi >>> by) | (fill << (32 - by));
    h.set(i.rd, (h.lo(i.rs1) >>> by) | (hi << (32 - by)), above);
  }
  return NO_TRAP;
}

function signWord(h: HartState, register: number): number {
  return h.hi(register) >> 31;
}

function setWide(h: HartState, rd: number, value: number): number {
  h.setWide(rd, value);
  return NO_TRAP;
}

function setFlag(h: HartState, rd: number, isSet: boolean): number {
  h.set(rd, isSet ? 1 : 0, 0);
  return NO_TRAP;
}

/** pc + imm becomes the next instruction. */
function jump(h: HartState, imm: number): number {
  h.nextLo = (h.pcLo + imm) | 0;
  h.nextHi = (h.pcHi + (imm >> 31) + carry(h.nextLo, imm)) | 0;
  return NO_TRAP;
}

function branch(h: HartState, isTaken: boolean, imm: number): number {
  return isTaken ? jump(h, imm) : NO_TRAP;
}

function link(h: HartState, i: Insn): number {
  const lo = h.nextLo;
  const hi = h.nextHi;
  jump(h, i.imm);
  h.set(i.rd, lo, hi);
  return NO_TRAP;
}

/** JALR; rd may be rs1, so the target comes first. */
function linkRegister(h: HartState, i: Insn): number {
  const lo = (h.lo(i.rs1) + i.imm) | 0;
  const hi = (h.hi(i.rs1) + (i.imm >> 31) + carry(lo, i.imm)) | 0;
  h.set(i.rd, h.nextLo, h.nextHi);
  h.nextLo = lo & ~1;
  h.nextHi = hi;
  return NO_TRAP;
}

/**
 * A load narrower than 8 bytes; `extend` gives the value's low word from the zero-extended bytes.
 */
function load(size: number, extend: (word: number) => number, isUnsigned: boolean): Handler {
  return (h, i) => {
    if (!locateLoad(h, i.rs1, i.imm, size)) return TRAP_LOAD;
    const value = extend(readWord(h, size));
    h.set(i.rd, value, isUnsigned ? 0 : value >> 31);
    return NO_TRAP;
  };
}

function loadDouble(h: HartState, i: Insn): number {
  if (!locateLoad(h, i.rs1, i.imm, 8)) return TRAP_LOAD;
  if (i.rd !== 0) readPair(h, h.x + 2 * i.rd);
  return NO_TRAP;
}

function store(size: number): Handler {
  return (h, i) => {
    if (!locateStore(h, i.rs1, i.imm, size)) return TRAP_STORE;
    writeWord(h, size, h.lo(i.rs2));
    return NO_TRAP;
  };
}

function storeDouble(h: HartState, i: Insn): number {
  if (!locateStore(h, i.rs1, i.imm, 8)) return TRAP_STORE;
  writePair(h, h.lo(i.rs2), h.hi(i.rs2));
  return NO_TRAP;
}

/** A bitwise operation between two registers, or a register and a sign-extended immediate. */
function bitwise(apply: (a: number, b: number) => number): {
  register: Handler;
  immediate: Handler;
} {
  return {
    register: (h, i) => {
      h.set(i.rd, apply(h.lo(i.rs1), h.lo(i.rs2)), apply(h.hi(i.rs1), h.hi(i.rs2)));
      return NO_TRAP;
    },
    immediate: (h, i) => {
      h.set(i.rd, apply(h.lo(i.rs1), i.imm), apply(h.hi(i.rs1), i.imm >> 31));
      return NO_TRAP;
    },
  };
}

const and = bitwise((a, b) => a & b);
const or = bitwise((a, b) => a | b);
const xor = bitwise((a, b) => a ^ b);
const nothing: Handler = () => NO_TRAP;

export const INT_HANDLERS: readonly HandlerRow[] = [
  [op.OP_ILLEGAL, () => TRAP_ILLEGAL],
  [op.OP_LUI, (h, i) => setWide(h, i.rd, i.imm)],
  [op.OP_AUIPC, (h, i) => add(h, i.rd, h.pcLo, h.pcHi, i.imm, i.imm >> 31)],
  [op.OP_JAL, link],
  [op.OP_JALR, linkRegister],
  [op.OP_BEQ, (h, i) => branch(h, equal(h, i), i.imm)],
  [op.OP_BNE, (h, i) => branch(h, !equal(h, i), i.imm)],
  [op.OP_BLT, (h, i) => branch(h, less(h, i), i.imm)],
  [op.OP_BGE, (h, i) => branch(h, !less(h, i), i.imm)],
  [op.OP_BLTU, (h, i) => branch(h, lessUnsigned(h, i), i.imm)],
  [op.OP_BGEU, (h, i) => branch(h, !lessUnsigned(h, i), i.imm)],
  [op.OP_LB, load(1, (w) => (w << 24) >> 24, false)],
  [op.OP_LH, load(2, (w) => (w << 16) >> 16, false)],
  [op.OP_LW, load(4, (w) => w, false)],
  [op.OP_LD, loadDouble],
  [op.OP_LBU, load(1, (w) => w, true)],
  [op.OP_LHU, load(2, (w) => w, true)],
  [op.OP_LWU, load(4, (w) => w, true)],
  [op.OP_SB, store(1)],
  [op.OP_SH, store(2)],
  [op.OP_SW, store(4)],
  [op.OP_SD, storeDouble],
  [op.OP_ADDI, (h, i) => add(h, i.rd, h.lo(i.rs1), h.hi(i.rs1), i.imm, i.imm >> 31)],
  [op.OP_SLTI, (h, i) => setFlag(h, i.rd, isLess(h.lo(i.rs1), h.hi(i.rs1), i.imm, i.imm >> 31))],
  [
    op.OP_SLTIU,
    (h, i) => setFlag(h, i.rd, isLessUnsigned(h.lo(i.rs1), h.hi(i.rs1), i.imm, i.imm >> 31)),
  ],
  [op.OP_XORI, xor.immediate],
  [op.OP_ORI, or.immediate],
  [op.OP_ANDI, and.immediate],
  [op.OP_SLLI, (h, i) => shiftLeft(h, i, i.imm)],
  [op.OP_SRLI, (h, i) => shiftRight(h, i, i.imm, 0)],
  [op.OP_SRAI, (h, i) => shiftRight(h, i, i.imm, signWord(h, i.rs1))],
  [op.OP_ADDIW, (h, i) => setWide(h, i.rd, (h.lo(i.rs1) + i.imm) | 0)],
  [op.OP_SLLIW, (h, i) => setWide(h, i.rd, h.lo(i.rs1) << i.imm)],
  [op.OP_SRLIW, (h, i) => setWide(h, i.rd, (h.lo(i.rs1) >>> i.imm) | 0)],
  [op.OP_SRAIW, (h, i) => setWide(h, i.rd, h.lo(i.rs1) >> i.imm)],
  [op.OP_ADD, (h, i) => add(h, i.rd, h.lo(i.rs1), h.hi(i.rs1), h.lo(i.rs2), h.hi(i.rs2))],
  [op.OP_SUB, sub],
  [op.OP_SLL, (h, i) => shiftLeft(h, i, h.lo(i.rs2))],
  [op.OP_SLT, (h, i) => setFlag(h, i.rd, less(h, i))],
  [op.OP_SLTU, (h, i) => setFlag(h, i.rd, lessUnsigned(h, i))],
  [op.OP_XOR, xor.register],
  [op.OP_SRL, (h, i) => shiftRight(h, i, h.lo(i.rs2), 0)],
  [op.OP_SRA, (h, i) => shiftRight(h, i, h.lo(i.rs2), signWord(h, i.rs1))],
  [op.OP_OR, or.register],
  [op.OP_AND, and.register],
  [op.OP_ADDW, (h, i) => setWide(h, i.rd, (h.lo(i.rs1) + h.lo(i.rs2)) | 0)],
  [op.OP_SUBW, (h, i) => setWide(h, i.rd, (h.lo(i.rs1) - h.lo(i.rs2)) | 0)],
  [op.OP_SLLW, (h, i) => setWide(h, i.rd, h.lo(i.rs1) << (h.lo(i.rs2) & 31))],
  [op.OP_SRLW, (h, i) => setWide(h, i.rd, (h.lo(i.rs1) >>> (h.lo(i.rs2) & 31)) | 0)],
  [op.OP_SRAW, (h, i) => setWide(h, i.rd, h.lo(i.rs1) >> (h.lo(i.rs2) & 31))],
  [op.OP_FENCE, nothing],
  [op.OP_FENCE_I, nothing],
  [op.OP_ECALL, () => TRAP_ECALL],
  [op.OP_EBREAK, () => TRAP_EBREAK],
];

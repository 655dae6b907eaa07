import {
  HART_RES_ADDR,
  HART_RES_SIZE,
  HART_RES_VALUE,
  TLB_TAG_R,
  TLB_TAG_W,
} from '../hart-layout.ts';
import * as op from '../ops.ts';
import type { Located } from './discover.ts';
import { ADDRESS, HART, TEMP, TEMP2, TEMP32, type UnitCode } from './unit-code.ts';
import * as w from './wasm-opcodes.ts';

interface Access {
  readonly size: number;
  readonly opcode: number;
}

const LOADS: ReadonlyMap<number, Access> = new Map([
  [op.OP_LB, { size: 1, opcode: w.W_I64_LOAD8_S }],
  [op.OP_LH, { size: 2, opcode: w.W_I64_LOAD16_S }],
  [op.OP_LW, { size: 4, opcode: w.W_I64_LOAD32_S }],
  [op.OP_LD, { size: 8, opcode: w.W_I64_LOAD }],
  [op.OP_LBU, { size: 1, opcode: w.W_I64_LOAD8_U }],
  [op.OP_LHU, { size: 2, opcode: w.W_I64_LOAD16_U }],
  [op.OP_LWU, { size: 4, opcode: w.W_I64_LOAD32_U }],
]);

const STORES: ReadonlyMap<number, Access> = new Map([
  [op.OP_SB, { size: 1, opcode: w.W_I64_STORE8 }],
  [op.OP_SH, { size: 2, opcode: w.W_I64_STORE16 }],
  [op.OP_SW, { size: 4, opcode: w.W_I64_STORE32 }],
  [op.OP_SD, { size: 8, opcode: w.W_I64_STORE }],
]);

/**
 * Loads, stores and atomics. Whatever may trap leaves before anything has changed.
 * @returns false when the instruction is of another kind
 */
export function emitMemory(code: UnitCode, at: Located): boolean {
  const { insn } = at;
  const load = LOADS.get(insn.op);
  if (load !== undefined) {
    code.translate(at, insn.rs1, insn.imm, load.size, TLB_TAG_R);
    code.memory(load.opcode, 0);
    code.setX(insn.rd);
    return true;
  }
  const store = STORES.get(insn.op);
  if (store !== undefined) {
    code.translate(at, insn.rs1, insn.imm, store.size, TLB_TAG_W);
    code.x(insn.rs2);
    code.memory(store.opcode, 0);
    return true;
  }
  return emitFloatMemory(code, at) || emitAtomic(code, at);
}

function emitFloatMemory(code: UnitCode, at: Located): boolean {
  const { insn } = at;
  switch (insn.op) {
    case op.OP_FLW:
      code.translate(at, insn.rs1, insn.imm, 4, TLB_TAG_R);
      code.memory(w.W_I64_LOAD32_U, 0);
      code.i64(-(2 ** 32)); // NaN-boxing
      code.op(w.W_I64_OR);
      code.setF(insn.rd);
      return true;
    case op.OP_FLD:
      code.translate(at, insn.rs1, insn.imm, 8, TLB_TAG_R);
      code.memory(w.W_I64_LOAD, 0);
      code.setF(insn.rd);
      return true;
    case op.OP_FSW:
    case op.OP_FSD: {
      const isWide = insn.op === op.OP_FSD;
      code.translate(at, insn.rs1, insn.imm, isWide ? 8 : 4, TLB_TAG_W);
      code.f(insn.rs2);
      code.memory(isWide ? w.W_I64_STORE : w.W_I64_STORE32, 0);
      return true;
    }
    default:
      return false;
  }
}

/** One hart runs at a time, so an atomic is a load and a store with no exit between them. */
function emitAtomic(code: UnitCode, at: Located): boolean {
  const { insn } = at;
  if (insn.op < op.OP_LR_W || insn.op > op.OP_AMOMAXU_D) return false;
  const isWide = insn.op >= op.OP_LR_D;
  const kind = isWide ? insn.op - op.OP_ATOMIC_D_FROM_W : insn.op;
  const size = isWide ? 8 : 4;
  const load = isWide ? w.W_I64_LOAD : w.W_I64_LOAD32_S;
  const store = isWide ? w.W_I64_STORE : w.W_I64_STORE32;
  code.pushStep(at);
  code.x32(insn.rs1);
  code.i32(size - 1);
  code.op(w.W_I32_AND);
  code.leaveIf();
  code.translate(at, insn.rs1, 0, size, kind === op.OP_LR_W ? TLB_TAG_R : TLB_TAG_W);
  code.tee(TEMP32);
  code.memory(load, 0);
  code.set(TEMP);
  if (kind === op.OP_LR_W) {
    loadReserved(code, size);
    code.get(TEMP);
  } else if (kind === op.OP_SC_W) {
    storeConditional(code, size, insn.rs2, store);
  } else {
    code.get(TEMP32);
    combine(code, kind, insn.rs2, isWide);
    code.memory(store, 0);
    code.get(TEMP);
  }
  code.setX(insn.rd);
  return true;
}

function loadReserved(code: UnitCode, size: number): void {
  code.get(HART);
  code.get(ADDRESS);
  code.memory(w.W_I64_STORE, HART_RES_ADDR);
  code.get(HART);
  code.get(TEMP);
  code.memory(w.W_I64_STORE, HART_RES_VALUE);
  code.get(HART);
  code.i32(size);
  code.memory(w.W_I32_STORE, HART_RES_SIZE);
}

/** Pushes 0 for success, 1 for failure. */
function storeConditional(code: UnitCode, size: number, source: number, store: number): void {
  const matches = (opcode: number, offset: number, local: number): void => {
    code.get(HART);
    code.memory(opcode, offset);
    code.get(local);
    code.op(w.W_I64_EQ);
  };
  matches(w.W_I64_LOAD, HART_RES_ADDR, ADDRESS);
  matches(w.W_I64_LOAD, HART_RES_VALUE, TEMP);
  code.op(w.W_I32_AND);
  code.get(HART);
  code.memory(w.W_I32_LOAD, HART_RES_SIZE);
  code.i32(size);
  code.op(w.W_I32_EQ);
  code.op(w.W_I32_AND);
  code.get(HART);
  code.i64(-1);
  code.memory(w.W_I64_STORE, HART_RES_ADDR);
  code.open(w.W_IF, w.T_I64);
  code.get(TEMP32);
  code.x(source);
  code.memory(store, 0);
  code.i64(0);
  code.op(w.W_ELSE);
  code.i64(1);
  code.end();
}

/** Pushes the new value of an AMO from the memory's value in TEMP and a register; only its low bits count. */
function combine(code: UnitCode, kind: number, source: number, isWide: boolean): void {
  const simple = SIMPLE.get(kind);
  code.x(source);
  if (kind === op.OP_AMOSWAP_W) return;
  if (simple !== undefined) {
    code.get(TEMP);
    code.op(simple);
    return;
  }
  if (!isWide) code.op(w.W_I64_EXTEND32_S);
  code.set(TEMP2);
  code.get(TEMP);
  code.get(TEMP2);
  code.get(TEMP);
  code.get(TEMP2);
  // Sign extension keeps unsigned order once both are read as 64 unsigned bits.
  code.op(kind === op.OP_AMOMIN_W || kind === op.OP_AMOMAX_W ? w.W_I64_LT_S : w.W_I64_LT_U);
  if (kind === op.OP_AMOMAX_W || kind === op.OP_AMOMAXU_W) code.op(w.W_I32_EQZ);
  code.op(w.W_SELECT);
}

const SIMPLE: ReadonlyMap<number, number> = new Map([
  [op.OP_AMOADD_W, w.W_I64_ADD],
  [op.OP_AMOXOR_W, w.W_I64_XOR],
  [op.OP_AMOAND_W, w.W_I64_AND],
  [op.OP_AMOOR_W, w.W_I64_OR],
]);

import * as op from '../ops.ts';
import type { Located } from './discover.ts';
import { TEMP, TEMP2, type UnitCode } from './unit-code.ts';
import * as w from './wasm-opcodes.ts';

/**
 * RV64IM without memory and control flow. Nothing here can trap.
 * @returns false when the instruction is of another kind
 */
export function emitInteger(code: UnitCode, at: Located): boolean {
  const { insn } = at;
  const isPlain = insn.op === op.OP_LUI || insn.op === op.OP_AUIPC || isArithmetic(insn.op);
  if (!isPlain) return false;
  if (insn.rd === 0) return true; // A hint: it can neither trap nor change anything.
  if (insn.op === op.OP_LUI) code.i64(insn.imm);
  else if (insn.op === op.OP_AUIPC) code.i64(code.page + at.offset + insn.imm);
  else if (!immediate(code, at) && !registers64(code, at) && !registers32(code, at)) {
    multiplyDivide(code, at);
  }
  code.setX(insn.rd);
  return true;
}

function isArithmetic(code: number): boolean {
  return (code >= op.OP_ADDI && code <= op.OP_SRAW) || (code >= op.OP_MUL && code <= op.OP_REMUW);
}

const IMMEDIATE: ReadonlyMap<number, number> = new Map([
  [op.OP_ADDI, w.W_I64_ADD],
  [op.OP_XORI, w.W_I64_XOR],
  [op.OP_ORI, w.W_I64_OR],
  [op.OP_ANDI, w.W_I64_AND],
  [op.OP_SLLI, w.W_I64_SHL],
  [op.OP_SRLI, w.W_I64_SHR_U],
  [op.OP_SRAI, w.W_I64_SHR_S],
  [op.OP_SLTI, w.W_I64_LT_S],
  [op.OP_SLTIU, w.W_I64_LT_U],
]);

const IMMEDIATE_W: ReadonlyMap<number, number> = new Map([
  [op.OP_ADDIW, w.W_I32_ADD],
  [op.OP_SLLIW, w.W_I32_SHL],
  [op.OP_SRLIW, w.W_I32_SHR_U],
  [op.OP_SRAIW, w.W_I32_SHR_S],
]);

function immediate(code: UnitCode, { insn }: Located): boolean {
  const narrow = IMMEDIATE_W.get(insn.op);
  if (narrow !== undefined) {
    code.x32(insn.rs1);
    if (insn.imm !== 0) {
      code.i32(insn.imm);
      code.op(narrow);
    }
    code.op(w.W_I64_EXTEND_I32_S);
    return true;
  }
  const wide = IMMEDIATE.get(insn.op);
  if (wide === undefined) return false;
  if (insn.op === op.OP_ADDI && (insn.rs1 === 0 || insn.imm === 0)) {
    if (insn.rs1 === 0) code.i64(insn.imm);
    else code.x(insn.rs1);
    return true;
  }
  code.x(insn.rs1);
  code.i64(insn.imm);
  code.op(wide);
  if (insn.op === op.OP_SLTI || insn.op === op.OP_SLTIU) code.op(w.W_I64_EXTEND_I32_U);
  return true;
}

const REGISTERS: ReadonlyMap<number, number> = new Map([
  [op.OP_ADD, w.W_I64_ADD],
  [op.OP_SUB, w.W_I64_SUB],
  [op.OP_SLL, w.W_I64_SHL],
  [op.OP_SLT, w.W_I64_LT_S],
  [op.OP_SLTU, w.W_I64_LT_U],
  [op.OP_XOR, w.W_I64_XOR],
  [op.OP_SRL, w.W_I64_SHR_U],
  [op.OP_SRA, w.W_I64_SHR_S],
  [op.OP_OR, w.W_I64_OR],
  [op.OP_AND, w.W_I64_AND],
  [op.OP_MUL, w.W_I64_MUL],
]);

function registers64(code: UnitCode, { insn }: Located): boolean {
  const opcode = REGISTERS.get(insn.op);
  if (opcode === undefined) return false;
  if (insn.op === op.OP_ADD && insn.rs1 === 0) {
    code.x(insn.rs2); // c.mv
    return true;
  }
  code.x(insn.rs1);
  code.x(insn.rs2);
  code.op(opcode);
  if (insn.op === op.OP_SLT || insn.op === op.OP_SLTU) code.op(w.W_I64_EXTEND_I32_U);
  return true;
}

const REGISTERS_W: ReadonlyMap<number, number> = new Map([
  [op.OP_ADDW, w.W_I32_ADD],
  [op.OP_SUBW, w.W_I32_SUB],
  [op.OP_SLLW, w.W_I32_SHL],
  [op.OP_SRLW, w.W_I32_SHR_U],
  [op.OP_SRAW, w.W_I32_SHR_S],
  [op.OP_MULW, w.W_I32_MUL],
]);

function registers32(code: UnitCode, { insn }: Located): boolean {
  const opcode = REGISTERS_W.get(insn.op);
  if (opcode === undefined) return false;
  code.x32(insn.rs1);
  code.x32(insn.rs2);
  code.op(opcode);
  code.op(w.W_I64_EXTEND_I32_S);
  return true;
}

function multiplyDivide(code: UnitCode, at: Located): void {
  const { rs1, rs2 } = at.insn;
  switch (at.insn.op) {
    case op.OP_MULHU:
      highProduct(code, rs1, rs2);
      return;
    case op.OP_MULH:
      highProduct(code, rs1, rs2);
      correctSign(code, rs1, rs2);
      correctSign(code, rs2, rs1);
      return;
    case op.OP_MULHSU:
      highProduct(code, rs1, rs2);
      correctSign(code, rs1, rs2);
      return;
    case op.OP_DIV:
      divide(code, rs1, rs2, WIDE, WIDE.divS, true);
      return;
    case op.OP_DIVU:
      divide(code, rs1, rs2, WIDE, WIDE.divU, false);
      return;
    case op.OP_REM:
      remainder(code, rs1, rs2, WIDE, WIDE.remS);
      return;
    case op.OP_REMU:
      remainder(code, rs1, rs2, WIDE, WIDE.remU);
      return;
    case op.OP_DIVW:
      divide(code, rs1, rs2, NARROW, NARROW.divS, true);
      break;
    case op.OP_DIVUW:
      divide(code, rs1, rs2, NARROW, NARROW.divU, false);
      break;
    case op.OP_REMW:
      remainder(code, rs1, rs2, NARROW, NARROW.remS);
      break;
    default:
      remainder(code, rs1, rs2, NARROW, NARROW.remU);
  }
  code.op(w.W_I64_EXTEND_I32_S);
}

/** Pushes the low (32 bits, unsigned) or the high half of a register. */
function half(code: UnitCode, register: number, isHigh: boolean): void {
  code.x(register);
  if (isHigh) {
    code.i64(32);
    code.op(w.W_I64_SHR_U);
  } else {
    code.i64(0xffffffff);
    code.op(w.W_I64_AND);
  }
}

/**
 * Pushes the upper 64 bits of the unsigned product: schoolbook multiplication in base 2^32, where
 * TEMP = ah*bl + (al*bl >> 32) and TEMP2 = al*bh + low(TEMP) cannot overflow.
 */
function highProduct(code: UnitCode, a: number, b: number): void {
  const product = (aHigh: boolean, bHigh: boolean): void => {
    half(code, a, aHigh);
    half(code, b, bHigh);
    code.op(w.W_I64_MUL);
  };
  const upper = (): void => {
    code.i64(32);
    code.op(w.W_I64_SHR_U);
  };
  product(true, false);
  product(false, false);
  upper();
  code.op(w.W_I64_ADD);
  code.set(TEMP);
  product(false, true);
  code.get(TEMP);
  code.i64(0xffffffff);
  code.op(w.W_I64_AND);
  code.op(w.W_I64_ADD);
  code.set(TEMP2);
  product(true, true);
  code.get(TEMP);
  upper();
  code.op(w.W_I64_ADD);
  code.get(TEMP2);
  upper();
  code.op(w.W_I64_ADD);
}

/** Subtracts b when a is negative: the difference between a signed and an unsigned factor. */
function correctSign(code: UnitCode, a: number, b: number): void {
  code.x(a);
  code.i64(63);
  code.op(w.W_I64_SHR_S);
  code.x(b);
  code.op(w.W_I64_AND);
  code.op(w.W_I64_SUB);
}

interface Width {
  readonly isWide: boolean;
  readonly type: number;
  readonly eqz: number;
  readonly eq: number;
  readonly sub: number;
  readonly divS: number;
  readonly divU: number;
  readonly remS: number;
  readonly remU: number;
}

const WIDE: Width = {
  isWide: true,
  type: w.T_I64,
  eqz: w.W_I64_EQZ,
  eq: w.W_I64_EQ,
  sub: w.W_I64_SUB,
  divS: w.W_I64_DIV_S,
  divU: w.W_I64_DIV_U,
  remS: w.W_I64_REM_S,
  remU: w.W_I64_REM_U,
};

const NARROW: Width = {
  isWide: false,
  type: w.T_I32,
  eqz: w.W_I32_EQZ,
  eq: w.W_I32_EQ,
  sub: w.W_I32_SUB,
  divS: w.W_I32_DIV_S,
  divU: w.W_I32_DIV_U,
  remS: w.W_I32_REM_S,
  remU: w.W_I32_REM_U,
};

function push(code: UnitCode, width: Width, register: number): void {
  if (width.isWide) code.x(register);
  else code.x32(register);
}

function pushConst(code: UnitCode, width: Width, value: number): void {
  if (width.isWide) code.i64(value);
  else code.i32(value);
}

/** By zero gives -1; the signed overflow gives the dividend (chapter 7, table 7.1). WebAssembly would trap on both. */
function divide(
  code: UnitCode,
  a: number,
  b: number,
  width: Width,
  opcode: number,
  isSigned: boolean,
): void {
  push(code, width, b);
  code.op(width.eqz);
  code.open(w.W_IF, width.type);
  pushConst(code, width, -1);
  code.op(w.W_ELSE);
  if (isSigned) {
    push(code, width, b);
    pushConst(code, width, -1);
    code.op(width.eq);
    code.open(w.W_IF, width.type);
    pushConst(code, width, 0);
    push(code, width, a);
    code.op(width.sub);
    code.op(w.W_ELSE);
  }
  push(code, width, a);
  push(code, width, b);
  code.op(opcode);
  if (isSigned) code.end();
  code.end();
}

/** By zero gives the dividend; the signed overflow gives 0, in WebAssembly too. */
function remainder(code: UnitCode, a: number, b: number, width: Width, opcode: number): void {
  push(code, width, b);
  code.op(width.eqz);
  code.open(w.W_IF, width.type);
  push(code, width, a);
  code.op(w.W_ELSE);
  push(code, width, a);
  push(code, width, b);
  code.op(opcode);
  code.end();
}

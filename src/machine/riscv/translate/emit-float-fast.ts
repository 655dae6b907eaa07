import { HART_FCSR } from '../hart-layout.ts';
import * as op from '../ops.ts';
import type { Located } from './discover.ts';
import { HART, TEMP, type UnitCode } from './unit-code.ts';
import * as w from './wasm-opcodes.ts';

/**
 * Floating-point operations that WebAssembly does exactly as RISC-V when no flag can change. Its arithmetic rounds to
 * nearest, ties to even, and has no flags; so the result is taken when that is the rounding mode, when NX is raised
 * already (flags are sticky, §11.2), and when the result is finite and not near the subnormal numbers: then no operand
 * was infinite or a NaN, nothing was divided by zero, and nothing overflowed or underflowed.
 */

const NX = 1;
const FRM = 0xe0;
const RM_NEAREST_EVEN = 0;
const RM_DYNAMIC = 7;
/** The upper half of a NaN-boxed single (chapter 12.2). */
const BOX = -(2 ** 32);

interface Operation {
  readonly isDouble: boolean;
  readonly opcode: number;
  readonly isUnary: boolean;
}

const ARITHMETIC: ReadonlyMap<number, Operation> = new Map([
  [op.OP_FADD_S, { isDouble: false, opcode: w.W_F32_ADD, isUnary: false }],
  [op.OP_FSUB_S, { isDouble: false, opcode: w.W_F32_SUB, isUnary: false }],
  [op.OP_FMUL_S, { isDouble: false, opcode: w.W_F32_MUL, isUnary: false }],
  [op.OP_FDIV_S, { isDouble: false, opcode: w.W_F32_DIV, isUnary: false }],
  [op.OP_FSQRT_S, { isDouble: false, opcode: w.W_F32_SQRT, isUnary: true }],
  [op.OP_FADD_D, { isDouble: true, opcode: w.W_F64_ADD, isUnary: false }],
  [op.OP_FSUB_D, { isDouble: true, opcode: w.W_F64_SUB, isUnary: false }],
  [op.OP_FMUL_D, { isDouble: true, opcode: w.W_F64_MUL, isUnary: false }],
  [op.OP_FDIV_D, { isDouble: true, opcode: w.W_F64_DIV, isUnary: false }],
  [op.OP_FSQRT_D, { isDouble: true, opcode: w.W_F64_SQRT, isUnary: true }],
]);

const COMPARISONS: ReadonlyMap<number, Operation> = new Map([
  [op.OP_FLE_S, { isDouble: false, opcode: w.W_F32_LE, isUnary: false }],
  [op.OP_FLT_S, { isDouble: false, opcode: w.W_F32_LT, isUnary: false }],
  [op.OP_FEQ_S, { isDouble: false, opcode: w.W_F32_EQ, isUnary: false }],
  [op.OP_FLE_D, { isDouble: true, opcode: w.W_F64_LE, isUnary: false }],
  [op.OP_FLT_D, { isDouble: true, opcode: w.W_F64_LT, isUnary: false }],
  [op.OP_FEQ_D, { isDouble: true, opcode: w.W_F64_EQ, isUnary: false }],
]);

/**
 * Pushes the result's bits into TEMP, and a condition (i32) that says whether TEMP may be taken.
 * @returns false, and pushes nothing, when there is no fast form
 */
export function tryFast(code: UnitCode, at: Located): boolean {
  return arithmetic(code, at) || comparison(code, at) || fromInteger(code, at);
}

function arithmetic(code: UnitCode, { insn }: Located): boolean {
  const found = ARITHMETIC.get(insn.op);
  if (found === undefined) return false;
  if (insn.rm !== RM_NEAREST_EVEN && insn.rm !== RM_DYNAMIC) return false;
  const { isDouble, opcode, isUnary } = found;
  operand(code, insn.rs1, isDouble);
  if (!isUnary) operand(code, insn.rs2, isDouble);
  code.op(opcode);
  if (isDouble) {
    code.op(w.W_I64_REINTERPRET_F64);
  } else {
    code.op(w.W_I32_REINTERPRET_F32);
    code.op(w.W_I64_EXTEND_I32_U);
    code.i64(BOX);
    code.op(w.W_I64_OR);
  }
  code.set(TEMP);
  isRoundingKnown(code, insn.rm);
  isOrdinary(code, isDouble);
  code.op(w.W_I32_AND);
  if (!isDouble) isBoxed(code, insn.rs1, isUnary ? insn.rs1 : insn.rs2);
  return true;
}

/** Signalling or quiet, a NaN goes the slow way; without one a comparison raises nothing. */
function comparison(code: UnitCode, { insn }: Located): boolean {
  const found = COMPARISONS.get(insn.op);
  if (found === undefined) return false;
  const { isDouble, opcode } = found;
  const equal = isDouble ? w.W_F64_EQ : w.W_F32_EQ;
  operand(code, insn.rs1, isDouble);
  operand(code, insn.rs2, isDouble);
  code.op(opcode);
  code.op(w.W_I64_EXTEND_I32_U);
  code.set(TEMP);
  for (const register of [insn.rs1, insn.rs2]) {
    operand(code, register, isDouble);
    operand(code, register, isDouble);
    code.op(equal);
  }
  code.op(w.W_I32_AND);
  if (!isDouble) isBoxed(code, insn.rs1, insn.rs2);
  return true;
}

/** To double precision: 32 bits always fit; 64 bits may round. */
function fromInteger(code: UnitCode, { insn }: Located): boolean {
  switch (insn.op) {
    case op.OP_FCVT_D_W:
      if (insn.rm !== RM_NEAREST_EVEN) return false; // A dynamic mode may be invalid, which traps.
      code.x32(insn.rs1);
      code.op(w.W_F64_CONVERT_I32_S);
      code.op(w.W_I64_REINTERPRET_F64);
      code.set(TEMP);
      code.i32(1);
      return true;
    case op.OP_FCVT_D_L:
      if (insn.rm !== RM_NEAREST_EVEN && insn.rm !== RM_DYNAMIC) return false;
      code.x(insn.rs1);
      code.op(w.W_F64_CONVERT_I64_S);
      code.op(w.W_I64_REINTERPRET_F64);
      code.set(TEMP);
      isRoundingKnown(code, insn.rm);
      return true;
    default:
      return false;
  }
}

/** Pushes a register as a float; whether a single is boxed is asked later. */
function operand(code: UnitCode, register: number, isDouble: boolean): void {
  code.f(register);
  if (!isDouble) code.op(w.W_I32_WRAP_I64);
  code.op(isDouble ? w.W_F64_REINTERPRET_I64 : w.W_F32_REINTERPRET_I32);
}

/** NX is raised, and the dynamic mode, where it is asked for, is to nearest even. */
function isRoundingKnown(code: UnitCode, rm: number): void {
  code.get(HART);
  code.memory(w.W_I32_LOAD, HART_FCSR);
  code.i32(rm === RM_DYNAMIC ? NX | FRM : NX);
  code.op(w.W_I32_AND);
  code.i32(NX);
  code.op(w.W_I32_EQ);
}

/** TEMP's exponent is neither that of infinities and NaNs nor one of the two smallest. */
function isOrdinary(code: UnitCode, isDouble: boolean): void {
  const most = isDouble ? 0x7ff : 0xff;
  code.get(TEMP);
  code.i64(isDouble ? 52 : 23);
  code.op(w.W_I64_SHR_U);
  code.op(w.W_I32_WRAP_I64);
  code.i32(most);
  code.op(w.W_I32_AND);
  code.i32(2);
  code.op(w.W_I32_SUB);
  code.i32(most - 2);
  code.op(w.W_I32_LT_U);
}

/** Adds to a condition that both registers hold boxed singles. */
function isBoxed(code: UnitCode, a: number, b: number): void {
  code.f(a);
  code.f(b);
  code.op(w.W_I64_AND);
  code.i64(32);
  code.op(w.W_I64_SHR_S);
  code.i64(-1);
  code.op(w.W_I64_EQ);
  code.op(w.W_I32_AND);
}

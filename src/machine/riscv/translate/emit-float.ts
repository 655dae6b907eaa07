import * as op from '../ops.ts';
import type { Located } from './discover.ts';
import { tryFast } from './emit-float-fast.ts';
import { TEMP, type UnitCode } from './unit-code.ts';
import * as w from './wasm-opcodes.ts';

/**
 * F, D and the floating-point CSRs. Moves and sign injection are inline, and so is what rounds when it surely raises no
 * new flag; the rest is executed by the interpreter's handlers through the imported step, which see only the registers
 * they need.
 * @returns false when the instruction is of another kind
 */
export function emitFloat(code: UnitCode, at: Located): boolean {
  const { insn } = at;
  if (insn.op >= op.OP_CSRRW && insn.op <= op.OP_CSRRCI) {
    code.step(at, insn.op <= op.OP_CSRRC ? [insn.rs1] : [], insn.rd);
    return true;
  }
  if (insn.op < op.OP_FMADD_S || insn.op > op.OP_FCVT_D_S) return false;
  if (emitMove(code, at) || emitSign(code, at)) return true;
  if (!tryFast(code, at)) {
    stepFloat(code, at);
    return true;
  }
  code.open(w.W_IF, w.T_VOID);
  code.get(TEMP);
  if (isComparison(insn.op)) code.setX(insn.rd);
  else code.setF(insn.rd);
  code.op(w.W_ELSE);
  stepFloat(code, at);
  code.end();
  return true;
}

function isComparison(code: number): boolean {
  const single = code < op.OP_FMADD_D ? code : code - op.OP_D_FROM_S;
  return single >= op.OP_FLE_S && single <= op.OP_FEQ_S;
}

function emitMove(code: UnitCode, { insn }: Located): boolean {
  switch (insn.op) {
    case op.OP_FMV_X_D:
      code.f(insn.rs1);
      code.setX(insn.rd);
      return true;
    case op.OP_FMV_D_X:
      code.x(insn.rs1);
      code.setF(insn.rd);
      return true;
    case op.OP_FMV_X_W:
      code.f(insn.rs1);
      code.op(w.W_I64_EXTEND32_S);
      code.setX(insn.rd);
      return true;
    case op.OP_FMV_W_X:
      code.x(insn.rs1);
      code.i64(BOX);
      code.op(w.W_I64_OR);
      code.setF(insn.rd);
      return true;
    default:
      return false;
  }
}

/** The upper half of a NaN-boxed single (chapter 12.2). */
const BOX = -(2 ** 32);
const CANONICAL_NAN_S = 0x7fc00000;
const MIN_I64 = -(2 ** 63);
const SIGN_S = 0x80000000 | 0;

/** FSGNJ, FSGNJN, FSGNJX: the magnitude of rs1 with a sign. */
function emitSign(code: UnitCode, { insn }: Located): boolean {
  const isDouble = insn.op >= op.OP_FSGNJ_D && insn.op <= op.OP_FSGNJX_D;
  if (!isDouble && (insn.op < op.OP_FSGNJ_S || insn.op > op.OP_FSGNJX_S)) return false;
  const kind = isDouble ? insn.op - op.OP_FSGNJ_D : insn.op - op.OP_FSGNJ_S;
  const and = isDouble ? w.W_I64_AND : w.W_I32_AND;
  const xor = isDouble ? w.W_I64_XOR : w.W_I32_XOR;
  const or = isDouble ? w.W_I64_OR : w.W_I32_OR;
  const operand = (register: number): void => {
    if (isDouble) code.f(register);
    else unbox(code, register);
  };
  const constant = (whole: number): void => {
    if (isDouble) code.i64(whole);
    else code.i32(whole === MIN_I64 ? SIGN_S : whole);
  };
  operand(insn.rs1);
  if (kind !== SIGN_XOR) {
    // Clears the sign: xor with it does so when it is set, and it is what `and` isolates.
    operand(insn.rs1);
    constant(MIN_I64);
    code.op(and);
    code.op(xor);
  }
  operand(insn.rs2);
  if (kind === SIGN_NEGATED) {
    constant(-1);
    code.op(xor);
  }
  constant(MIN_I64);
  code.op(and);
  code.op(kind === SIGN_XOR ? xor : or);
  if (!isDouble) {
    code.op(w.W_I64_EXTEND_I32_U);
    code.i64(BOX);
    code.op(w.W_I64_OR);
  }
  code.setF(insn.rd);
  return true;
}

const SIGN_NEGATED = 1;
const SIGN_XOR = 2;

/** Pushes a single (i32); one that is not boxed counts as the canonical NaN. */
function unbox(code: UnitCode, register: number): void {
  code.f(register);
  code.op(w.W_I32_WRAP_I64);
  code.i32(CANONICAL_NAN_S);
  code.f(register);
  code.i64(32);
  code.op(w.W_I64_SHR_S);
  code.i64(-1);
  code.op(w.W_I64_EQ);
  code.op(w.W_SELECT);
}

const F = 32;

function stepFloat(code: UnitCode, at: Located): void {
  const { insn } = at;
  const single = insn.op < op.OP_FMADD_D ? insn.op : insn.op - op.OP_D_FROM_S;
  const a = F + insn.rs1;
  const b = F + insn.rs2;
  if (insn.op >= op.OP_FCVT_S_D || single === op.OP_FSQRT_S) code.step(at, [a], F + insn.rd);
  else if (single <= op.OP_FNMADD_S) code.step(at, [a, b, F + insn.rs3], F + insn.rd);
  else if (single <= op.OP_FMAX_S) code.step(at, [a, b], F + insn.rd);
  else if (single <= op.OP_FEQ_S) code.step(at, [a, b], insn.rd);
  else if (single <= op.OP_FCVT_LU_S) code.step(at, [a], insn.rd);
  else code.step(at, [insn.rs1], F + insn.rd);
}

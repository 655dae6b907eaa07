/**
 * RV64F and RV64D: rounding mode, NaN-boxing and flags around the operations of fpu/. Operations
 * that the host's own doubles compute exactly as RISC-V does take that way (fpu/native.ts); the
 * result and the flags are the same.
 */
import type { Insn } from './decode.ts';
import * as arithmetic from './fpu/arithmetic.ts';
import * as compare from './fpu/compare.ts';
import { fpConvert, fpFromInt, fpToInt } from './fpu/convert.ts';
import { F32, F64, FLAG_NX, type Format, type FpFlags, RNE, RTZ } from './fpu/format.ts';
import * as native from './fpu/native.ts';
import type { Handler, HandlerRow } from './handler.ts';
import { HART_FCSR } from './hart-layout.ts';
import { type HartState, NO_TRAP } from './hart-state.ts';
import { locateLoad, locateStore, readPair, readWord, writePair, writeWord } from './memory.ts';
import * as op from './ops.ts';
import { TRAP_ILLEGAL, TRAP_LOAD, TRAP_STORE } from './trap.ts';

/** One of the two precisions: its format and how its values lie in the registers. */
interface Precision {
  readonly format: Format;
  /** Added to a single-precision operation's number. */
  readonly opOffset: number;
  /** The operand's bits; an ill-boxed single is the canonical NaN. */
  bits(h: HartState, register: number): bigint;
  setBits(h: HartState, register: number, bits: bigint): void;
  /** The operand as a host number; any NaN for any NaN. */
  value(h: HartState, register: number): number;
  /** Never given a NaN. */
  setValue(h: HartState, register: number, value: number): void;
  /** Which of a register's two words holds the sign. */
  readonly signWord: number;
  fma(a: number, b: number, c: number, flags: FpFlags): number;
}

const SINGLE: Precision = {
  format: F32,
  opOffset: 0,
  bits: (h, register) => compare.unboxSingle(h.u64[(h.f >>> 1) + register] as bigint),
  setBits: (h, register, bits) => {
    h.u64[(h.f >>> 1) + register] = compare.boxSingle(bits);
  },
  value: (h, register) => {
    const at = h.f + 2 * register;
    return h.i32[at + 1] === -1 ? (h.f32[at] as number) : Number.NaN;
  },
  setValue: (h, register, value) => {
    h.f32[h.f + 2 * register] = value;
    h.i32[h.f + 2 * register + 1] = -1;
  },
  signWord: 0,
  fma: native.fmaSingle,
};

const DOUBLE: Precision = {
  format: F64,
  opOffset: op.OP_D_FROM_S,
  bits: (h, register) => h.u64[(h.f >>> 1) + register] as bigint,
  setBits: (h, register, bits) => {
    h.u64[(h.f >>> 1) + register] = bits;
  },
  value: (h, register) => h.f64[(h.f >>> 1) + register] as number,
  setValue: (h, register, value) => {
    h.f64[(h.f >>> 1) + register] = value;
  },
  signWord: 1,
  fma: native.fmaDouble,
};

/**
 * The instruction's rounding mode, or -1 for an invalid one in frm (§11.2: then the instruction is
 * illegal).
 */
function rounding(h: HartState, i: Insn): number {
  const rm = i.rm === 7 ? (h.word(HART_FCSR) >>> 5) & 7 : i.rm;
  return rm <= 4 ? rm : -1;
}

function accrue(h: HartState): number {
  if (h.flags.bits !== 0) h.setWord(HART_FCSR, h.word(HART_FCSR) | h.flags.bits);
  h.flags.bits = 0;
  return NO_TRAP;
}

type Native = (a: number, b: number, flags: FpFlags) => number;
type Exact = (f: Format, a: bigint, b: bigint, rm: number, flags: FpFlags) => bigint;

/** An arithmetic operation of two operands; one of one operand ignores the second. */
function rounded(p: Precision, fast: Native, exact: Exact): Handler {
  return (h, i) => {
    const rm = rounding(h, i);
    if (rm < 0) return TRAP_ILLEGAL;
    if (rm === RNE) {
      const result = fast(p.value(h, i.rs1), p.value(h, i.rs2), h.flags);
      if (!Number.isNaN(result)) {
        p.setValue(h, i.rd, result);
        return accrue(h);
      }
    }
    p.setBits(h, i.rd, exact(p.format, p.bits(h, i.rs1), p.bits(h, i.rs2), rm, h.flags));
    return accrue(h);
  };
}

/**
 * FMADD and its three sign variants (§11.6: FNMADD negates product and addend, FNMSUB the product).
 */
function fused(p: Precision, negatesProduct: boolean, negatesAddend: boolean): Handler {
  const productSign = negatesProduct ? p.format.signBit : 0n;
  const addendSign = negatesAddend ? p.format.signBit : 0n;
  return (h, i) => {
    const rm = rounding(h, i);
    if (rm < 0) return TRAP_ILLEGAL;
    if (rm === RNE) {
      const left = negatesProduct ? -p.value(h, i.rs1) : p.value(h, i.rs1);
      const addend = negatesAddend ? -p.value(h, i.rs3) : p.value(h, i.rs3);
      const result = p.fma(left, p.value(h, i.rs2), addend, h.flags);
      if (!Number.isNaN(result)) {
        p.setValue(h, i.rd, result);
        return accrue(h);
      }
    }
    const a = p.bits(h, i.rs1) ^ productSign;
    const c = p.bits(h, i.rs3) ^ addendSign;
    p.setBits(h, i.rd, arithmetic.fpFma(p.format, a, p.bits(h, i.rs2), c, rm, h.flags));
    return accrue(h);
  };
}

function minMax(
  p: Precision,
  fast: (a: number, b: number) => number,
  exact: typeof compare.fpMin,
): Handler {
  return (h, i) => {
    const result = fast(p.value(h, i.rs1), p.value(h, i.rs2));
    if (!Number.isNaN(result)) {
      p.setValue(h, i.rd, result);
      return NO_TRAP;
    }
    p.setBits(h, i.rd, exact(p.format, p.bits(h, i.rs1), p.bits(h, i.rs2), h.flags));
    return accrue(h);
  };
}

/** FMV, FNEG and FABS are sign injections, so this is hot. */
function signInject(p: Precision, kind: number): Handler {
  return (h, i) => {
    const a = h.f + 2 * i.rs1;
    const b = h.f + 2 * i.rs2;
    if (p.signWord === 1 || (h.i32[a + 1] === -1 && h.i32[b + 1] === -1)) {
      const top = h.i32[a + p.signWord] as number;
      const other = h.i32[b + p.signWord] as number;
      const sign = kind === 0 ? other : kind === 1 ? ~other : top ^ other;
      const rd = h.f + 2 * i.rd;
      h.i32[rd + 1 - p.signWord] = h.i32[a + 1 - p.signWord] as number;
      h.i32[rd + p.signWord] = (top & 0x7fffffff) | (sign & 0x80000000);
      return NO_TRAP;
    }
    const bits = compare.fpSignInject(p.format, kind, p.bits(h, i.rs1), p.bits(h, i.rs2));
    p.setBits(h, i.rd, bits);
    return NO_TRAP;
  };
}

function comparison(
  p: Precision,
  fast: (a: number, b: number) => boolean,
  exact: typeof compare.fpLt,
): Handler {
  return (h, i) => {
    const a = p.value(h, i.rs1);
    const b = p.value(h, i.rs2);
    const isUnordered = Number.isNaN(a) || Number.isNaN(b);
    const holds = isUnordered
      ? exact(p.format, p.bits(h, i.rs1), p.bits(h, i.rs2), h.flags)
      : fast(a, b);
    h.set(i.rd, holds ? 1 : 0, 0);
    return accrue(h);
  };
}

function classify(p: Precision): Handler {
  return (h, i) => {
    h.set(i.rd, compare.fpClass(p.format, p.bits(h, i.rs1)), 0);
    return NO_TRAP;
  };
}

/** 32-bit results are sign-extended, FCVT.WU's too (§11.7). */
function toInteger(p: Precision, width: number, isSigned: boolean): Handler {
  return (h, i) => {
    const rm = rounding(h, i);
    if (rm < 0) return TRAP_ILLEGAL;
    const whole = Math.trunc(p.value(h, i.rs1));
    const limit = width === 32 ? 2 ** 31 : 2 ** 53;
    // C's casts truncate; NaN fails the comparison.
    if (rm === RTZ && Math.abs(whole) < limit && (isSigned || whole >= 0)) {
      if (whole !== p.value(h, i.rs1)) h.flags.bits |= FLAG_NX;
      h.set(i.rd, whole | 0, Math.floor(whole / 2 ** 32));
      return accrue(h);
    }
    const value = fpToInt(p.format, p.bits(h, i.rs1), width, isSigned, rm, h.flags);
    h.setBig(i.rd, BigInt.asIntN(width, value));
    return accrue(h);
  };
}

function fromInteger(p: Precision, width: number, isSigned: boolean): Handler {
  return (h, i) => {
    const rm = rounding(h, i);
    if (rm < 0) return TRAP_ILLEGAL;
    const small = smallInteger(h, i.rs1, width, isSigned);
    if (p.signWord === 1 ? !Number.isNaN(small) : Math.fround(small) === small) {
      p.setValue(h, i.rd, small);
      return NO_TRAP;
    }
    const signed = BigInt.asIntN(width, h.signed(i.rs1));
    const value = isSigned ? signed : BigInt.asUintN(width, signed);
    p.setBits(h, i.rd, fpFromInt(p.format, value, rm, h.flags));
    return accrue(h);
  };
}

/** The integer as a host number, or NaN when it may not be exact. */
function smallInteger(h: HartState, register: number, width: number, isSigned: boolean): number {
  const lo = h.lo(register);
  if (width === 32) return isSigned ? lo : lo >>> 0;
  const hi = h.hi(register);
  if (hi >= 2 ** 20 || hi < (isSigned ? -(2 ** 20) : 0)) return Number.NaN;
  return hi * 2 ** 32 + (lo >>> 0);
}

function convert(from: Precision, to: Precision): Handler {
  return (h, i) => {
    const rm = rounding(h, i);
    if (rm < 0) return TRAP_ILLEGAL;
    const value = from.value(h, i.rs1);
    const result =
      to.signWord === 1 ? value : rm === RNE ? native.doubleToSingle(value, h.flags) : Number.NaN;
    if (!Number.isNaN(result)) {
      to.setValue(h, i.rd, result);
      return accrue(h);
    }
    const bits = fpConvert(from.format, to.format, from.bits(h, i.rs1), rm, h.flags);
    to.setBits(h, i.rd, bits);
    return accrue(h);
  };
}

function rows(p: Precision, fast: Readonly<Record<FastName, Native>>): readonly HandlerRow[] {
  const all: readonly HandlerRow[] = [
    [op.OP_FMADD_S, fused(p, false, false)],
    [op.OP_FMSUB_S, fused(p, false, true)],
    [op.OP_FNMSUB_S, fused(p, true, false)],
    [op.OP_FNMADD_S, fused(p, true, true)],
    [op.OP_FADD_S, rounded(p, fast.add, arithmetic.fpAdd)],
    [op.OP_FSUB_S, rounded(p, (a, b, flags) => fast.add(a, -b, flags), arithmetic.fpSub)],
    [op.OP_FMUL_S, rounded(p, fast.mul, arithmetic.fpMul)],
    [op.OP_FDIV_S, rounded(p, fast.div, arithmetic.fpDiv)],
    [
      op.OP_FSQRT_S,
      rounded(p, fast.sqrt, (f, a, _b, rm, flags) => arithmetic.fpSqrt(f, a, rm, flags)),
    ],
    [op.OP_FSGNJ_S, signInject(p, 0)],
    [op.OP_FSGNJN_S, signInject(p, 1)],
    [op.OP_FSGNJX_S, signInject(p, 2)],
    [op.OP_FMIN_S, minMax(p, Math.min, compare.fpMin)],
    [op.OP_FMAX_S, minMax(p, Math.max, compare.fpMax)],
    [op.OP_FLE_S, comparison(p, (a, b) => a <= b, compare.fpLe)],
    [op.OP_FLT_S, comparison(p, (a, b) => a < b, compare.fpLt)],
    [op.OP_FEQ_S, comparison(p, (a, b) => a === b, compare.fpEq)],
    [op.OP_FCLASS_S, classify(p)],
    [op.OP_FCVT_W_S, toInteger(p, 32, true)],
    [op.OP_FCVT_WU_S, toInteger(p, 32, false)],
    [op.OP_FCVT_L_S, toInteger(p, 64, true)],
    [op.OP_FCVT_LU_S, toInteger(p, 64, false)],
    [op.OP_FCVT_S_W, fromInteger(p, 32, true)],
    [op.OP_FCVT_S_WU, fromInteger(p, 32, false)],
    [op.OP_FCVT_S_L, fromInteger(p, 64, true)],
    [op.OP_FCVT_S_LU, fromInteger(p, 64, false)],
  ];
  return all.map(([code, handler]): HandlerRow => [code + p.opOffset, handler]);
}

type FastName = 'add' | 'mul' | 'div' | 'sqrt';

function loadSingle(h: HartState, i: Insn): number {
  if (!locateLoad(h, i.rs1, i.imm, 4)) return TRAP_LOAD;
  h.i32[h.f + 2 * i.rd] = readWord(h, 4);
  h.i32[h.f + 2 * i.rd + 1] = -1;
  return NO_TRAP;
}

function loadDouble(h: HartState, i: Insn): number {
  if (!locateLoad(h, i.rs1, i.imm, 8)) return TRAP_LOAD;
  readPair(h, h.f + 2 * i.rd);
  return NO_TRAP;
}

/** Stores the low word as it is, boxed or not (§12.2). */
function storeSingle(h: HartState, i: Insn): number {
  if (!locateStore(h, i.rs1, i.imm, 4)) return TRAP_STORE;
  writeWord(h, 4, h.i32[h.f + 2 * i.rs2] as number);
  return NO_TRAP;
}

function storeDouble(h: HartState, i: Insn): number {
  if (!locateStore(h, i.rs1, i.imm, 8)) return TRAP_STORE;
  const at = h.f + 2 * i.rs2;
  writePair(h, h.i32[at] as number, h.i32[at + 1] as number);
  return NO_TRAP;
}

function moveToInteger(h: HartState, i: Insn): number {
  const at = h.f + 2 * i.rs1;
  h.set(i.rd, h.i32[at] as number, h.i32[at + 1] as number);
  return NO_TRAP;
}

function moveWordToInteger(h: HartState, i: Insn): number {
  h.setWide(i.rd, h.i32[h.f + 2 * i.rs1] as number);
  return NO_TRAP;
}

function moveFromInteger(h: HartState, i: Insn): number {
  const at = h.f + 2 * i.rd;
  h.i32[at] = h.lo(i.rs1);
  h.i32[at + 1] = h.hi(i.rs1);
  return NO_TRAP;
}

function moveWordFromInteger(h: HartState, i: Insn): number {
  const at = h.f + 2 * i.rd;
  h.i32[at] = h.lo(i.rs1);
  h.i32[at + 1] = -1;
  return NO_TRAP;
}

const NATIVE_SINGLE: Readonly<Record<FastName, Native>> = {
  add: native.addSingle,
  mul: native.mulSingle,
  div: native.divSingle,
  sqrt: (a, _b, flags) => native.sqrtSingle(a, flags),
};

const NATIVE_DOUBLE: Readonly<Record<FastName, Native>> = {
  add: native.addDouble,
  mul: native.mulDouble,
  div: native.divDouble,
  sqrt: (a, _b, flags) => native.sqrtDouble(a, flags),
};

export const FP_HANDLERS: readonly HandlerRow[] = [
  [op.OP_FLW, loadSingle],
  [op.OP_FLD, loadDouble],
  [op.OP_FSW, storeSingle],
  [op.OP_FSD, storeDouble],
  ...rows(SINGLE, NATIVE_SINGLE),
  ...rows(DOUBLE, NATIVE_DOUBLE),
  [op.OP_FMV_X_W, moveWordToInteger],
  [op.OP_FMV_W_X, moveWordFromInteger],
  [op.OP_FMV_X_D, moveToInteger],
  [op.OP_FMV_D_X, moveFromInteger],
  [op.OP_FCVT_S_D, convert(DOUBLE, SINGLE)],
  [op.OP_FCVT_D_S, convert(SINGLE, DOUBLE)],
];

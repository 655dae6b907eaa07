import * as op from './ops.ts';

/**
 * Turns a 32-bit instruction word into plain fields. Encodings: RISC-V Unprivileged ISA 20191213,
 * chapter 24 ("RV32/64G Instruction Set Listings"); the tables below are indexed by the
 * funct3/funct5/funct7 columns printed there.
 */
export interface Insn {
  /** One of the OP_ constants of ops.ts; OP_ILLEGAL for what a user program may not execute. */
  readonly op: number;
  readonly rd: number;
  /** Register number, or the 5-bit immediate of CSRRWI, CSRRSI and CSRRCI. */
  readonly rs1: number;
  readonly rs2: number;
  readonly rs3: number;
  /**
   * Signed 32 bits: the immediate sign-extended (LUI and AUIPC already shifted by 12), or the shift
   * amount.
   */
  readonly imm: number;
  /** Rounding mode 0..4, or 7 for the one in fcsr; 0 where the instruction has none. */
  readonly rm: number;
  /** The CSR's number, for CSRR* only. */
  readonly csr: number;
}

/** The rounding mode that means "the one in fcsr" (table 11.1). */
export const RM_DYN = 7;

/**
 * Decodes one uncompressed instruction; a compressed one goes through `expand` first.
 * @param word the 32 bits, signed or unsigned; reserved and privileged encodings give OP_ILLEGAL
 */
export function decode(word: number): Insn {
  const funct3 = (word >>> 12) & 7;
  switch (word & 0x7f) {
    case 0x03:
      return iType(word, pick(LOAD, funct3));
    case 0x07:
      return iType(word, pick(LOAD_FP, funct3));
    case 0x0f:
      return iType(word, pick(MISC_MEM, funct3));
    case 0x13:
      return opImm(word, funct3);
    case 0x17:
      return make(op.OP_AUIPC, word, word & ~0xfff);
    case 0x1b:
      return opImm32(word, funct3);
    case 0x23:
      return make(pick(STORE, funct3), word, immS(word));
    case 0x27:
      return make(pick(STORE_FP, funct3), word, immS(word));
    case 0x2f:
      return amo(word, funct3);
    case 0x33:
      return make(pick(pickTable(OP, word >>> 25), funct3), word, 0);
    case 0x37:
      return make(op.OP_LUI, word, word & ~0xfff);
    case 0x3b:
      return make(pick(pickTable(OP_32, word >>> 25), funct3), word, 0);
    case 0x43:
    case 0x47:
    case 0x4b:
    case 0x4f:
      return fusedMultiplyAdd(word, funct3);
    case 0x53:
      return opFp(word, funct3);
    case 0x63:
      return make(pick(BRANCH, funct3), word, immB(word));
    case 0x67:
      return iType(word, funct3 === 0 ? op.OP_JALR : op.OP_ILLEGAL);
    case 0x6f:
      return make(op.OP_JAL, word, immJ(word));
    case 0x73:
      return system(word, funct3);
    default:
      return make(op.OP_ILLEGAL, word, 0);
  }
}

/**
 * How many bytes the instruction has whose first 16 bits these are; longer formats do not occur in
 * RV64GC.
 */
export function insnLength(half: number): number {
  return (half & 3) === 3 ? 4 : 2;
}

const ILL = op.OP_ILLEGAL;
type Table = readonly number[];

const LOAD: Table = [op.OP_LB, op.OP_LH, op.OP_LW, op.OP_LD, op.OP_LBU, op.OP_LHU, op.OP_LWU];
const STORE: Table = [op.OP_SB, op.OP_SH, op.OP_SW, op.OP_SD];
const LOAD_FP: Table = [ILL, ILL, op.OP_FLW, op.OP_FLD];
const STORE_FP: Table = [ILL, ILL, op.OP_FSW, op.OP_FSD];
/**
 * FENCE ignores its fields (§2.7: reserved ones are treated as normal fences); PAUSE is a FENCE.
 */
const MISC_MEM: Table = [op.OP_FENCE, op.OP_FENCE_I];
const BRANCH: Table = [
  op.OP_BEQ,
  op.OP_BNE,
  ILL,
  ILL,
  op.OP_BLT,
  op.OP_BGE,
  op.OP_BLTU,
  op.OP_BGEU,
];
const OP_IMM: Table = [
  op.OP_ADDI,
  ILL,
  op.OP_SLTI,
  op.OP_SLTIU,
  op.OP_XORI,
  ILL,
  op.OP_ORI,
  op.OP_ANDI,
];
const CSR: Table = [
  ILL,
  op.OP_CSRRW,
  op.OP_CSRRS,
  op.OP_CSRRC,
  ILL,
  op.OP_CSRRWI,
  op.OP_CSRRSI,
  op.OP_CSRRCI,
];

/** By funct7, then funct3. */
const OP: ReadonlyMap<number, Table> = new Map([
  [0x00, [op.OP_ADD, op.OP_SLL, op.OP_SLT, op.OP_SLTU, op.OP_XOR, op.OP_SRL, op.OP_OR, op.OP_AND]],
  [0x20, [op.OP_SUB, ILL, ILL, ILL, ILL, op.OP_SRA]],
  [
    0x01,
    [
      op.OP_MUL,
      op.OP_MULH,
      op.OP_MULHSU,
      op.OP_MULHU,
      op.OP_DIV,
      op.OP_DIVU,
      op.OP_REM,
      op.OP_REMU,
    ],
  ],
]);
const OP_32: ReadonlyMap<number, Table> = new Map([
  [0x00, [op.OP_ADDW, op.OP_SLLW, ILL, ILL, ILL, op.OP_SRLW]],
  [0x20, [op.OP_SUBW, ILL, ILL, ILL, ILL, op.OP_SRAW]],
  [0x01, [op.OP_MULW, ILL, ILL, ILL, op.OP_DIVW, op.OP_DIVUW, op.OP_REMW, op.OP_REMUW]],
]);

/** By funct5; the 64-bit twin is OP_ATOMIC_D_FROM_W further. */
const AMO: ReadonlyMap<number, number> = new Map([
  [0x02, op.OP_LR_W],
  [0x03, op.OP_SC_W],
  [0x01, op.OP_AMOSWAP_W],
  [0x00, op.OP_AMOADD_W],
  [0x04, op.OP_AMOXOR_W],
  [0x0c, op.OP_AMOAND_W],
  [0x08, op.OP_AMOOR_W],
  [0x10, op.OP_AMOMIN_W],
  [0x14, op.OP_AMOMAX_W],
  [0x18, op.OP_AMOMINU_W],
  [0x1c, op.OP_AMOMAXU_W],
]);

const FUSED: Table = [op.OP_FMADD_S, op.OP_FMSUB_S, op.OP_FNMSUB_S, op.OP_FNMADD_S];

/** OP-FP by funct5, single precision: operations whose funct3 is the rounding mode. */
const FP_ROUNDED: ReadonlyMap<number, number> = new Map([
  [0x00, op.OP_FADD_S],
  [0x01, op.OP_FSUB_S],
  [0x02, op.OP_FMUL_S],
  [0x03, op.OP_FDIV_S],
]);
/** OP-FP by funct5, single precision: operations that funct3 selects. */
const FP_SELECTED: ReadonlyMap<number, Table> = new Map([
  [0x04, [op.OP_FSGNJ_S, op.OP_FSGNJN_S, op.OP_FSGNJX_S]],
  [0x05, [op.OP_FMIN_S, op.OP_FMAX_S]],
  [0x14, [op.OP_FLE_S, op.OP_FLT_S, op.OP_FEQ_S]],
]);
/** Conversions by rs2. */
const FROM_FP: Table = [op.OP_FCVT_W_S, op.OP_FCVT_WU_S, op.OP_FCVT_L_S, op.OP_FCVT_LU_S];
const TO_FP: Table = [op.OP_FCVT_S_W, op.OP_FCVT_S_WU, op.OP_FCVT_S_L, op.OP_FCVT_S_LU];

function pick(table: Table, index: number): number {
  return table[index] ?? ILL;
}

const NONE: Table = [];
function pickTable(tables: ReadonlyMap<number, Table>, key: number): Table {
  return tables.get(key) ?? NONE;
}

function make(code: number, word: number, imm: number, rm = 0, csr = 0): Insn {
  return {
    op: code,
    rd: (word >>> 7) & 31,
    rs1: (word >>> 15) & 31,
    rs2: (word >>> 20) & 31,
    rs3: word >>> 27,
    imm: imm | 0,
    rm,
    csr,
  };
}

function iType(word: number, code: number): Insn {
  return make(code, word, word >> 20);
}

function immS(word: number): number {
  return ((word >> 25) << 5) | ((word >>> 7) & 31);
}

function immB(word: number): number {
  const low = ((word << 4) & 0x800) | ((word >>> 20) & 0x7e0) | ((word >>> 7) & 0x1e);
  return ((word >> 31) << 12) | low;
}

function immJ(word: number): number {
  const low = (word & 0xff000) | ((word >>> 9) & 0x800) | ((word >>> 20) & 0x7fe);
  return ((word >> 31) << 20) | low;
}

/** Shifts have six bits of amount on RV64 (§5.2), so the selector above it is funct6. */
function opImm(word: number, funct3: number): Insn {
  const funct6 = word >>> 26;
  const shamt = (word >>> 20) & 63;
  if (funct3 === 1) return make(funct6 === 0 ? op.OP_SLLI : ILL, word, shamt);
  if (funct3 === 5) {
    const code = funct6 === 0 ? op.OP_SRLI : funct6 === 0x10 ? op.OP_SRAI : ILL;
    return make(code, word, shamt);
  }
  return iType(word, pick(OP_IMM, funct3));
}

function opImm32(word: number, funct3: number): Insn {
  const funct7 = word >>> 25;
  const shamt = (word >>> 20) & 31;
  if (funct3 === 0) return iType(word, op.OP_ADDIW);
  if (funct3 === 1) return make(funct7 === 0 ? op.OP_SLLIW : ILL, word, shamt);
  if (funct3 !== 5) return make(ILL, word, 0);
  return make(funct7 === 0 ? op.OP_SRLIW : funct7 === 0x20 ? op.OP_SRAIW : ILL, word, shamt);
}

/** aq and rl are ignored: the machine is sequentially consistent. */
function amo(word: number, funct3: number): Insn {
  const code = AMO.get(word >>> 27) ?? ILL;
  const isLr = code === op.OP_LR_W;
  if (code === ILL || (isLr && ((word >>> 20) & 31) !== 0)) return make(ILL, word, 0);
  if (funct3 === 2) return make(code, word, 0);
  return make(funct3 === 3 ? code + op.OP_ATOMIC_D_FROM_W : ILL, word, 0);
}

function fusedMultiplyAdd(word: number, rm: number): Insn {
  return fp(word, pick(FUSED, (word >>> 2) & 3), (word >>> 25) & 3, rm);
}

/**
 * An operation with a rounding mode: single- or double-precision by `fmt`; modes 5 and 6 are
 * reserved.
 */
function fp(word: number, single: number, fmt: number, rm: number): Insn {
  if (single === ILL || fmt > 1 || rm === 5 || rm === 6) return make(ILL, word, 0);
  return make(single + fmt * op.OP_D_FROM_S, word, 0, rm);
}

function opFp(word: number, funct3: number): Insn {
  const funct5 = word >>> 27;
  const fmt = (word >>> 25) & 3;
  const rs2 = (word >>> 20) & 31;
  const rounded = FP_ROUNDED.get(funct5);
  if (rounded !== undefined) return fp(word, rounded, fmt, funct3);
  const selected = FP_SELECTED.get(funct5);
  if (selected !== undefined) return fp(word, pick(selected, funct3), fmt, 0);
  switch (funct5) {
    case 0x08:
      return betweenFormats(word, fmt, rs2, funct3);
    case 0x0b:
      return fp(word, rs2 === 0 ? op.OP_FSQRT_S : ILL, fmt, funct3);
    case 0x18:
      return fp(word, pick(FROM_FP, rs2), fmt, funct3);
    case 0x1a:
      return fp(word, pick(TO_FP, rs2), fmt, funct3);
    case 0x1c: {
      const code = funct3 === 0 ? op.OP_FMV_X_W : funct3 === 1 ? op.OP_FCLASS_S : ILL;
      return fp(word, rs2 === 0 ? code : ILL, fmt, 0);
    }
    case 0x1e:
      return fp(word, rs2 === 0 && funct3 === 0 ? op.OP_FMV_W_X : ILL, fmt, 0);
    default:
      return make(ILL, word, 0);
  }
}

function betweenFormats(word: number, to: number, from: number, rm: number): Insn {
  if (rm === 5 || rm === 6) return make(ILL, word, 0);
  if (to === 0 && from === 1) return make(op.OP_FCVT_S_D, word, 0, rm);
  return make(to === 1 && from === 0 ? op.OP_FCVT_D_S : ILL, word, 0, rm);
}

function system(word: number, funct3: number): Insn {
  if (word === 0x00000073) return make(op.OP_ECALL, word, 0);
  if (word === 0x00100073) return make(op.OP_EBREAK, word, 0);
  return make(pick(CSR, funct3), word, 0, 0, word >>> 20);
}

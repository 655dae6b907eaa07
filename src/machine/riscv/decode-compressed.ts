/**
 * Compressed instructions as the 32-bit words they stand for, so that everything behind the decoder
 * knows one instruction set. RISC-V Unprivileged ISA 20191213, chapter 16; the RV64 column of
 * tables 16.5–16.7.
 */

/**
 * The 32-bit word equivalent to a 16-bit instruction.
 * @param half the 16 bits, whose low two are not 11
 * @returns the word, or 0 for a reserved encoding (0 itself is no instruction)
 */
export function expand(half: number): number {
  const funct3 = (half >>> 13) & 7;
  switch (half & 3) {
    case 0:
      return quadrant0(half, funct3);
    case 1:
      return quadrant1(half, funct3);
    case 2:
      return quadrant2(half, funct3);
    default:
      return 0;
  }
}

const LOAD = 0x03;
const LOAD_FP = 0x07;
const OP_IMM = 0x13;
const OP_IMM_32 = 0x1b;
const STORE = 0x23;
const STORE_FP = 0x27;
const OP = 0x33;
const LUI = 0x37;
const OP_32 = 0x3b;
const BRANCH = 0x63;
const JALR = 0x67;
const JAL = 0x6f;
const EBREAK = 0x00100073;
const RA = 1;
const SP = 2;

/**
 * Table 16.5: stack-pointer-relative address, and loads and stores between the popular registers
 * x8..x15.
 */
function quadrant0(half: number, funct3: number): number {
  const rd = popular(half >>> 2);
  const rs1 = popular(half >>> 7);
  switch (funct3) {
    case 0: {
      // C.ADDI4SPN; an immediate of 0 is reserved, and so is the all-zero instruction.
      const imm =
        field(half, 11, 2, 4) | field(half, 7, 4, 6) | field(half, 6, 1, 2) | field(half, 5, 1, 3);
      return imm === 0 ? 0 : iType(OP_IMM, 0, rd, SP, imm);
    }
    case 1:
      return iType(LOAD_FP, 3, rd, rs1, offsetD(half));
    case 2:
      return iType(LOAD, 2, rd, rs1, offsetW(half));
    case 3:
      return iType(LOAD, 3, rd, rs1, offsetD(half));
    case 5:
      return sType(STORE_FP, 3, rs1, rd, offsetD(half));
    case 6:
      return sType(STORE, 2, rs1, rd, offsetW(half));
    case 7:
      return sType(STORE, 3, rs1, rd, offsetD(half));
    default:
      return 0;
  }
}

/** Table 16.6: immediates, arithmetic, jumps and branches. */
function quadrant1(half: number, funct3: number): number {
  const rd = (half >>> 7) & 31;
  const imm = signed6(half);
  switch (funct3) {
    case 0: // C.NOP, C.ADDI
      return iType(OP_IMM, 0, rd, rd, imm);
    case 1: // C.ADDIW; rd = 0 is reserved
      return rd === 0 ? 0 : iType(OP_IMM_32, 0, rd, rd, imm);
    case 2: // C.LI
      return iType(OP_IMM, 0, rd, 0, imm);
    case 3:
      if (imm === 0) return 0;
      return rd === SP ? addi16sp(half) : (imm << 12) | (rd << 7) | LUI;
    case 4:
      return arithmetic(half);
    case 5: // C.J
      return jType(0, offsetJ(half));
    case 6: // C.BEQZ
      return bType(0, popular(half >>> 7), offsetB(half));
    default: // C.BNEZ
      return bType(1, popular(half >>> 7), offsetB(half));
  }
}

/** Table 16.7: stack-pointer-relative loads and stores, register moves, indirect jumps. */
function quadrant2(half: number, funct3: number): number {
  const rd = (half >>> 7) & 31;
  const rs2 = (half >>> 2) & 31;
  const loadD = field(half, 12, 1, 5) | field(half, 5, 2, 3) | field(half, 2, 3, 6);
  const loadW = field(half, 12, 1, 5) | field(half, 4, 3, 2) | field(half, 2, 2, 6);
  const storeD = field(half, 10, 3, 3) | field(half, 7, 3, 6);
  const storeW = field(half, 9, 4, 2) | field(half, 7, 2, 6);
  switch (funct3) {
    case 0: // C.SLLI
      return iType(OP_IMM, 1, rd, rd, signed6(half) & 63);
    case 1:
      return iType(LOAD_FP, 3, rd, SP, loadD);
    case 2:
      return rd === 0 ? 0 : iType(LOAD, 2, rd, SP, loadW);
    case 3:
      return rd === 0 ? 0 : iType(LOAD, 3, rd, SP, loadD);
    case 4:
      return jumpMoveAdd((half >>> 12) & 1, rd, rs2);
    case 5:
      return sType(STORE_FP, 3, SP, rs2, storeD);
    case 6:
      return sType(STORE, 2, SP, rs2, storeW);
    default:
      return sType(STORE, 3, SP, rs2, storeD);
  }
}

function jumpMoveAdd(bit12: number, rd: number, rs2: number): number {
  if (bit12 === 0) {
    if (rs2 !== 0) return rType(OP, 0, 0, rd, 0, rs2); // C.MV
    return rd === 0 ? 0 : iType(JALR, 0, 0, rd, 0); // C.JR
  }
  if (rs2 !== 0) return rType(OP, 0, 0, rd, rd, rs2); // C.ADD
  return rd === 0 ? EBREAK : iType(JALR, 0, RA, rd, 0); // C.JALR
}

function addi16sp(half: number): number {
  const low =
    field(half, 6, 1, 4) | field(half, 5, 1, 6) | field(half, 3, 2, 7) | field(half, 2, 1, 5);
  return iType(OP_IMM, 0, SP, SP, (signed6(half) < 0 ? -512 : 0) | low);
}

/** C.SRLI, C.SRAI, C.ANDI, and by bit 12 and bits 6:5 the register forms. */
function arithmetic(half: number): number {
  const rd = popular(half >>> 7);
  const rs2 = popular(half >>> 2);
  const imm = signed6(half);
  switch ((half >>> 10) & 3) {
    case 0:
      return iType(OP_IMM, 5, rd, rd, imm & 63);
    case 1:
      return iType(OP_IMM, 5, rd, rd, (imm & 63) | 0x400);
    case 2:
      return iType(OP_IMM, 7, rd, rd, imm);
  }
  switch (((half >>> 10) & 4) | ((half >>> 5) & 3)) {
    case 0:
      return rType(OP, 0, 0x20, rd, rd, rs2); // C.SUB
    case 1:
      return rType(OP, 4, 0, rd, rd, rs2); // C.XOR
    case 2:
      return rType(OP, 6, 0, rd, rd, rs2); // C.OR
    case 3:
      return rType(OP, 7, 0, rd, rd, rs2); // C.AND
    case 4:
      return rType(OP_32, 0, 0x20, rd, rd, rs2); // C.SUBW
    case 5:
      return rType(OP_32, 0, 0, rd, rd, rs2); // C.ADDW
    default:
      return 0;
  }
}

/** `count` bits of `half` from bit `from` up, moved to bit `to` of the immediate. */
function field(half: number, from: number, count: number, to: number): number {
  return ((half >>> from) & ((1 << count) - 1)) << to;
}

/** One of x8..x15 from three bits (table 16.2). */
function popular(bits: number): number {
  return 8 + (bits & 7);
}

/** The CI format's immediate: bit 12 is the sign, bits 6:2 the rest. */
function signed6(half: number): number {
  return (((half << 19) >> 31) << 5) | ((half >>> 2) & 31);
}

function offsetW(half: number): number {
  return field(half, 10, 3, 3) | field(half, 6, 1, 2) | field(half, 5, 1, 6);
}

function offsetD(half: number): number {
  return field(half, 10, 3, 3) | field(half, 5, 2, 6);
}

/** offset[11|4|9:8|10|6|7|3:1|5] in bits 12:2 (§16.4). */
function offsetJ(half: number): number {
  const low =
    field(half, 11, 1, 4) | field(half, 9, 2, 8) | field(half, 8, 1, 10) | field(half, 7, 1, 6);
  const rest = field(half, 6, 1, 7) | field(half, 3, 3, 1) | field(half, 2, 1, 5);
  return (((half << 19) >> 31) << 11) | low | rest;
}

/** offset[8|4:3] in bits 12:10 and offset[7:6|2:1|5] in bits 6:2 (§16.4). */
function offsetB(half: number): number {
  const low = field(half, 10, 2, 3) | field(half, 5, 2, 6) | field(half, 3, 2, 1);
  return (((half << 19) >> 31) << 8) | low | field(half, 2, 1, 5);
}

function iType(opcode: number, funct3: number, rd: number, rs1: number, imm: number): number {
  return (imm << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode;
}

function rType(
  opcode: number,
  funct3: number,
  funct7: number,
  rd: number,
  rs1: number,
  rs2: number,
): number {
  return (funct7 << 25) | (rs2 << 20) | iType(opcode, funct3, rd, rs1, 0);
}

function sType(opcode: number, funct3: number, rs1: number, rs2: number, imm: number): number {
  return ((imm >>> 5) << 25) | (rs2 << 20) | iType(opcode, funct3, imm & 31, rs1, 0);
}

function bType(funct3: number, rs1: number, offset: number): number {
  const high = ((offset >>> 12) << 31) | (((offset >>> 5) & 63) << 25);
  const low = (((offset >>> 1) & 15) << 1) | ((offset >>> 11) & 1);
  return high | iType(BRANCH, funct3, low, rs1, 0);
}

function jType(rd: number, offset: number): number {
  const imm =
    (((offset >>> 20) & 1) << 31) |
    (((offset >>> 1) & 0x3ff) << 21) |
    (((offset >>> 11) & 1) << 20) |
    (((offset >>> 12) & 0xff) << 12);
  return imm | (rd << 7) | JAL;
}

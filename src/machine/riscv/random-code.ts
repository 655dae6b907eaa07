import { at } from '../../base/assert.ts';
import type { Prng } from '../../base/prng.ts';
import { decode } from './decode.ts';
import { expand } from './decode-compressed.ts';
import {
  OP_BEQ,
  OP_BGEU,
  OP_EBREAK,
  OP_ILLEGAL,
  OP_JAL,
  OP_JALR,
  OP_LB,
  OP_LWU,
  OP_SB,
  OP_SD,
} from './ops.ts';

/**
 * Random RV64GC code for comparing engines: every 32-bit operation of the unprivileged ISA, compressed halves, and
 * jumps that mostly stay near, so that loops arise.
 * @returns `size` bytes; an instruction begins at every multiple of 16
 */
export function randomCode(prng: Prng, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  while (offset + 4 <= size) {
    const room = ALIGNED - (offset % ALIGNED);
    if (room === 2) {
      view.setUint16(offset, NOP, true);
      offset += 2;
    } else if (prng.below(30) === 0 && room >= 12) {
      for (const insn of reservation(prng)) {
        view.setUint32(offset, insn, true);
        offset += 4;
      }
    } else if (prng.below(5) === 0) {
      view.setUint16(offset, compressed(prng), true);
      offset += 2;
    } else {
      view.setUint32(offset, word(prng, offset), true);
      offset += 4;
    }
  }
  return bytes;
}

/** An instruction begins at each multiple of this. */
const ALIGNED = 16;
/** c.nop */
const NOP = 1;

/** @param offset where the instruction will lie, for jumps */
type Make = (prng: Prng, offset: number) => number;

/** How often each kind occurs. */
const KINDS: readonly (readonly [weight: number, make: Make])[] = [
  [14, immediate],
  [5, (p) => 0x1b | rd(p) | (at([0, 0, 1, 5], p.below(4)) << 12) | rs1(p) | (p.below(32) << 20)],
  [12, registers],
  [8, registersW],
  [3, (p) => at([0x37, 0x17], p.below(2)) | rd(p) | (p.next32() & ~0xfff)],
  [10, (p) => 0x03 | rd(p) | (p.below(7) << 12) | pointer(p) | near(p)],
  [8, (p) => 0x23 | (p.below(4) << 12) | pointer(p) | rs2(p) | nearStore(p)],
  [3, (p) => 0x07 | rd(p, true) | ((2 + p.below(2)) << 12) | pointer(p) | near(p)],
  [3, (p) => 0x27 | ((2 + p.below(2)) << 12) | pointer(p) | rs2(p) | nearStore(p)],
  [12, branch],
  [2, jal],
  [1, (p) => 0x67 | rd(p) | (at([1, 1, 5, 6], p.below(4)) << 15)],
  [3, atomic],
  [8, float],
  [1, (p) => 0x43 | (p.below(4) << 2) | rd(p, true) | rs1(p) | rs2(p) | fused(p)],
  [1, (p) => 0x73 | rd(p) | (at([1, 2, 3, 5, 6, 7], p.below(6)) << 12) | rs1(p) | csr(p)],
  [1, system],
];
const TOTAL = KINDS.reduce((sum, [weight]) => sum + weight, 0);

function word(prng: Prng, at: number): number {
  let left = prng.below(TOTAL);
  for (const [weight, make] of KINDS) {
    if (left < weight) return make(prng, at) >>> 0;
    left -= weight;
  }
  return 0;
}

/** sp, s0, s1, a0 and a1: memory is addressed through them, so they are rarely written. */
function isPointer(register: number): boolean {
  return register === 2 || (register >= 8 && register <= 11);
}

/** Mostly a legal one that keeps the pointers and does not jump far. */
function compressed(prng: Prng): number {
  for (;;) {
    const half = prng.next32() & 0xffff;
    if ((half & 3) === 3) continue;
    if (prng.below(500) === 0) return half;
    const insn = decode(expand(half));
    const isStore = insn.op >= OP_SB && insn.op <= OP_SD;
    const isLoad = insn.op >= OP_LB && insn.op <= OP_LWU;
    const writes = insn.op < OP_BEQ || (insn.op > OP_BGEU && !isStore);
    if (insn.op === OP_ILLEGAL || insn.op === OP_EBREAK) continue;
    if ((insn.op === OP_JAL || insn.op === OP_JALR) && prng.below(8) !== 0) continue;
    if (writes && isPointer(insn.rd)) continue;
    if ((isLoad || isStore) && !isPointer(insn.rs1)) continue;
    return half;
  }
}

function registers(prng: Prng): number {
  const funct7 = at([0, 0, 0x20, 1, 1], prng.below(5));
  const funct3 = funct7 === 0x20 ? at([0, 5], prng.below(2)) : prng.below(8);
  return 0x33 | rd(prng) | (funct3 << 12) | rs1(prng) | rs2(prng) | (funct7 << 25);
}

function registersW(prng: Prng): number {
  const funct7 = at([0, 0x20, 1], prng.below(3));
  const funct3 = funct7 === 1 ? at([0, 4, 5, 6, 7], prng.below(5)) : at([0, 5], prng.below(2));
  return 0x3b | rd(prng) | (funct3 << 12) | rs1(prng) | rs2(prng) | (funct7 << 25);
}

function rd(prng: Prng, isFloat = false): number {
  const register = prng.below(32);
  return (!isFloat && isPointer(register) && prng.below(100) !== 0 ? 5 : register) << 7;
}

function rs1(prng: Prng): number {
  return prng.below(32) << 15;
}

function rs2(prng: Prng): number {
  return prng.below(32) << 20;
}

function pointer(prng: Prng): number {
  return (prng.below(60) === 0 ? prng.below(32) : at([2, 8, 9, 10, 11], prng.below(5))) << 15;
}

function immediate(prng: Prng): number {
  const funct3 = prng.below(8);
  const amount = prng.below(64) | (funct3 === 5 ? prng.below(2) << 10 : 0);
  const imm = (funct3 & 3) === 1 ? amount : prng.next32();
  return 0x13 | rd(prng) | (funct3 << 12) | rs1(prng) | (imm << 20);
}

/** Mostly aligned to 8, sometimes across the end of a page. */
function near(prng: Prng): number {
  const offset = prng.below(4096) - 2048;
  return (prng.below(6) === 0 ? offset : offset & ~7) << 20;
}

function nearStore(prng: Prng): number {
  const offset = (near(prng) >> 20) & 0xfff;
  return ((offset >>> 5) << 25) | ((offset & 31) << 7);
}

/** From an instruction to another that surely begins one, a number of ALIGNED away. */
function distance(from: number, steps: number): number {
  return (Math.floor(from / ALIGNED) + steps) * ALIGNED - from;
}

function branch(prng: Prng, from: number): number {
  const offset = distance(from, prng.below(3) === 0 ? -prng.below(6) : 1 + prng.below(8));
  const funct3 = at([0, 1, 4, 5, 6, 7], prng.below(6));
  const low = (((offset >> 1) & 15) << 8) | (((offset >> 11) & 1) << 7);
  const high = (((offset >> 12) & 1) << 31) | (((offset >> 5) & 63) << 25);
  return 0x63 | low | (funct3 << 12) | rs1(prng) | rs2(prng) | high;
}

function jal(prng: Prng, from: number): number {
  const offset = distance(from, prng.below(400) - 200);
  const low = (((offset >> 12) & 0xff) << 12) | (((offset >> 11) & 1) << 20);
  const high = (((offset >> 1) & 0x3ff) << 21) | (((offset >> 20) & 1) << 31);
  return 0x6f | (at([0, 1, 1, 5], prng.below(4)) << 7) | low | high;
}

const ATOMICS: readonly number[] = [2, 3, 3, 1, 0, 4, 12, 8, 16, 20, 24, 28];

function atomic(prng: Prng): number {
  const funct5 = at(ATOMICS, prng.below(ATOMICS.length));
  const source = funct5 === 2 ? 0 : rs2(prng);
  const width = (2 + prng.below(2)) << 12;
  return 0x2f | rd(prng) | width | pointer(prng) | source | (funct5 << 27);
}

/** LR, perhaps a store to the same place or elsewhere, SC. */
function reservation(prng: Prng): number[] {
  const base = pointer(prng);
  const width = (2 + prng.below(2)) << 12;
  const other = prng.below(2) === 0 ? base : pointer(prng);
  const between = prng.below(2) === 0 ? 0x13 : 0x23 | (prng.below(4) << 12) | other | rs2(prng);
  const lr = 0x2f | rd(prng) | width | base | (2 << 27);
  return [lr, between, 0x2f | rd(prng) | width | base | rs2(prng) | (3 << 27)];
}

const FLOATS: readonly (readonly [funct5: number, rs2: number, funct3: number])[] = [
  [0, 32, 8],
  [1, 32, 8],
  [2, 32, 8],
  [3, 32, 8],
  [4, 32, 3],
  [5, 32, 2],
  [0x14, 32, 3],
  [0x0b, 1, 8],
  [0x08, 2, 8],
  [0x18, 4, 8],
  [0x1a, 4, 8],
  [0x1c, 1, 2],
  [0x1e, 1, 1],
];

function float(prng: Prng): number {
  const [funct5, sources, funct3] = at(FLOATS, prng.below(FLOATS.length));
  const rounding = at([0, 0, 1, 2, 3, 4, 7, 7, 7, 7], prng.below(10));
  const selector = funct3 === 8 ? rounding : prng.below(funct3);
  const format = prng.below(2) << 25;
  return (
    0x53 |
    rd(prng, funct5 < 0x14) |
    (selector << 12) |
    rs1(prng) |
    (prng.below(sources) << 20) |
    format |
    (funct5 << 27)
  );
}

function fused(prng: Prng): number {
  return (at([0, 7, 1], prng.below(3)) << 12) | (prng.below(2) << 25) | (prng.below(32) << 27);
}

function csr(prng: Prng): number {
  return at([1, 1, 1, 1, 1, 3, 3, 0xc00, 0xc02, 0x300], prng.below(10)) << 20;
}

function system(prng: Prng): number {
  return at([0x73, 0x100073, 0x0f, 0x100f, 0, 0xffffffff], prng.below(6));
}

/**
 * RV64A (RISC-V Unprivileged ISA 20191213, chapter 8). Sequentially consistent, so aq and rl say
 * nothing.
 */
import type { Insn } from './decode.ts';
import type { Handler, HandlerRow } from './handler.ts';
import * as layout from './hart-layout.ts';
import { type HartState, NO_TRAP } from './hart-state.ts';
import { locate, missTrap, readWord, writePair, writeWord } from './memory.ts';
import * as op from './ops.ts';
import { TRAP_MISALIGNED } from './trap.ts';

/** The address in rs1, checked and located; alignment comes before translation. */
function reach(h: HartState, i: Insn, size: number, tag: number): number {
  const lo = h.lo(i.rs1);
  if ((lo & (size - 1)) !== 0) {
    h.setPair(layout.HART_TRAP_ADDR, lo, h.hi(i.rs1));
    return TRAP_MISALIGNED;
  }
  return locate(h, lo, h.hi(i.rs1), size, tag) ? NO_TRAP : missTrap(tag);
}

/** What lies at the located address: 64 bits, or 32 sign-extended. */
function current(h: HartState, size: number): bigint {
  return size === 8 ? (h.i64[h.host / 8] as bigint) : BigInt(readWord(h, 4));
}

function storeBig(h: HartState, size: number, value: bigint): void {
  if (size === 8) h.i64[h.host / 8] = value;
  else writeWord(h, 4, Number(BigInt.asIntN(32, value)));
}

function loadReserved(size: number): Handler {
  return (h, i) => {
    const trap = reach(h, i, size, layout.TLB_TAG_R);
    if (trap !== NO_TRAP) return trap;
    const value = current(h, size);
    h.setPair(layout.HART_RES_ADDR, h.lo(i.rs1), h.hi(i.rs1));
    h.i64[(h.base + layout.HART_RES_VALUE) / 8] = value;
    h.setWord(layout.HART_RES_SIZE, size);
    h.setBig(i.rd, value);
    return NO_TRAP;
  };
}

/**
 * Traps on a page that is not writable even when it would fail; having run, it ends the reservation
 * either way.
 */
function storeConditional(size: number): Handler {
  return (h, i) => {
    const trap = reach(h, i, size, layout.TLB_TAG_W);
    if (trap !== NO_TRAP) return trap;
    const isHeld =
      h.word(layout.HART_RES_ADDR) === h.lo(i.rs1) &&
      h.word(layout.HART_RES_ADDR + 4) === h.hi(i.rs1) &&
      h.word(layout.HART_RES_SIZE) === size &&
      h.i64[(h.base + layout.HART_RES_VALUE) / 8] === current(h, size);
    if (isHeld) {
      if (size === 8) writePair(h, h.lo(i.rs2), h.hi(i.rs2));
      else writeWord(h, 4, h.lo(i.rs2));
    }
    h.setPair(layout.HART_RES_ADDR, -1, -1);
    h.set(i.rd, isHeld ? 0 : 1, 0);
    return NO_TRAP;
  };
}

type Combine = (memory: bigint, register: bigint) => bigint;

/**
 * @param combine on sign-extended values of the operation's width; only the low bits of its result
 *   are stored
 */
function readModifyWrite(size: number, combine: Combine): Handler {
  return (h, i) => {
    const trap = reach(h, i, size, layout.TLB_TAG_W);
    if (trap !== NO_TRAP) return trap;
    const memory = current(h, size);
    const register = size === 8 ? h.signed(i.rs2) : BigInt(h.lo(i.rs2));
    storeBig(h, size, combine(memory, register));
    h.setBig(i.rd, memory);
    return NO_TRAP;
  };
}

/** Sign extension keeps unsigned order once both are read as 64 unsigned bits. */
function below(a: bigint, b: bigint): boolean {
  return BigInt.asUintN(64, a) < BigInt.asUintN(64, b);
}

function choose(isMemory: boolean, memory: bigint, register: bigint): bigint {
  return isMemory ? memory : register;
}

const COMBINE: readonly (readonly [number, Combine])[] = [
  [op.OP_AMOSWAP_W, (_m, r) => r],
  [op.OP_AMOADD_W, (m, r) => m + r],
  [op.OP_AMOXOR_W, (m, r) => m ^ r],
  [op.OP_AMOAND_W, (m, r) => m & r],
  [op.OP_AMOOR_W, (m, r) => m | r],
  [op.OP_AMOMIN_W, (m, r) => choose(m < r, m, r)],
  [op.OP_AMOMAX_W, (m, r) => choose(m > r, m, r)],
  [op.OP_AMOMINU_W, (m, r) => choose(below(m, r), m, r)],
  [op.OP_AMOMAXU_W, (m, r) => choose(below(r, m), m, r)],
];

export const ATOMIC_HANDLERS: readonly HandlerRow[] = [
  [op.OP_LR_W, loadReserved(4)],
  [op.OP_LR_D, loadReserved(8)],
  [op.OP_SC_W, storeConditional(4)],
  [op.OP_SC_D, storeConditional(8)],
  ...COMBINE.map(([code, combine]): HandlerRow => [code, readModifyWrite(4, combine)]),
  ...COMBINE.map(
    ([code, combine]): HandlerRow => [code + op.OP_ATOMIC_D_FROM_W, readModifyWrite(8, combine)],
  ),
];

/**
 * Zicsr for a user program: the floating-point state and the three counters; every other CSR is
 * illegal.
 */
import type { Insn } from './decode.ts';
import type { Handler, HandlerRow } from './handler.ts';
import { HART_FCSR, HART_INSTRET } from './hart-layout.ts';
import { type HartState, NO_TRAP } from './hart-state.ts';
import * as op from './ops.ts';
import { TRAP_ILLEGAL } from './trap.ts';

export const CSR_FFLAGS = 0x001;
export const CSR_FRM = 0x002;
export const CSR_FCSR = 0x003;
export const CSR_CYCLE = 0xc00;
export const CSR_TIME = 0xc01;
export const CSR_INSTRET = 0xc02;

/** The CSR's value, or -1 when a user program has no such CSR. */
function read(h: HartState, csr: number): bigint {
  const fcsr = h.word(HART_FCSR);
  switch (csr) {
    case CSR_FFLAGS:
      return BigInt(fcsr & 31);
    case CSR_FRM:
      return BigInt((fcsr >>> 5) & 7);
    case CSR_FCSR:
      return BigInt(fcsr & 255);
    case CSR_CYCLE:
    case CSR_TIME:
    case CSR_INSTRET: // One deterministic counter: instructions retired before this one.
      return (h.u64[(h.base + HART_INSTRET) / 8] as bigint) + BigInt(h.retired);
    default:
      return -1n;
  }
}

/** False for a read-only CSR (the top two bits of its number, privileged ISA §2.1). */
function write(h: HartState, csr: number, value: number): boolean {
  const fcsr = h.word(HART_FCSR);
  switch (csr) {
    case CSR_FFLAGS:
      h.setWord(HART_FCSR, (fcsr & ~31) | (value & 31));
      return true;
    case CSR_FRM:
      h.setWord(HART_FCSR, (fcsr & 31) | ((value & 7) << 5));
      return true;
    case CSR_FCSR:
      h.setWord(HART_FCSR, value & 255);
      return true;
    default:
      return false;
  }
}

/** Every writable CSR fits in the low word, so new values are words. */
function access(
  isImmediate: boolean,
  isSwap: boolean,
  combine: (old: number, operand: number) => number,
): Handler {
  return (h: HartState, i: Insn): number => {
    const old = read(h, i.csr);
    if (old < 0n) return TRAP_ILLEGAL;
    const operand = isImmediate ? i.rs1 : h.lo(i.rs1);
    const writes = isSwap || i.rs1 !== 0;
    if (writes && !write(h, i.csr, combine(Number(BigInt.asIntN(32, old)), operand))) {
      return TRAP_ILLEGAL;
    }
    h.setBig(i.rd, old);
    return NO_TRAP;
  };
}

export const CSR_HANDLERS: readonly HandlerRow[] = [
  [op.OP_CSRRW, access(false, true, (_old, operand) => operand)],
  [op.OP_CSRRS, access(false, false, (old, operand) => old | operand)],
  [op.OP_CSRRC, access(false, false, (old, operand) => old & ~operand)],
  [op.OP_CSRRWI, access(true, true, (_old, operand) => operand)],
  [op.OP_CSRRSI, access(true, false, (old, operand) => old | operand)],
  [op.OP_CSRRCI, access(true, false, (old, operand) => old & ~operand)],
];

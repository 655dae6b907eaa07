/** A task's user registers as kernel code sees them, wherever they are kept at the moment. */
export interface UserRegs {
  /** x0..x31. */
  get(register: number): bigint;
  set(register: number, value: bigint): void;
  pc: bigint;
  /** f0..f31, raw bits. */
  getF(register: number): bigint;
  setF(register: number, value: bigint): void;
  fcsr: number;
  /** The same registers for a new task. */
  clone(): UserRegs;
}

/** riscv64 register numbers by ABI name. RISC-V ELF psABI, chapter 1. */
export const REG_RA = 1;
export const REG_SP = 2;
export const REG_TP = 4;
export const REG_A0 = 10;
export const REG_A1 = 11;
export const REG_A2 = 12;
export const REG_A7 = 17;

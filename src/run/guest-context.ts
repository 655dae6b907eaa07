/** A task's user registers: in its hart's state while loaded there, in a buffer of its own otherwise. */
import type { UserRegs } from '../kernel/core/regs.ts';
import {
  HART_F,
  HART_FCSR,
  HART_INSTRET,
  HART_PC,
  HART_RES_ADDR,
  HART_TRAP_ADDR,
  HART_X,
} from '../machine/riscv/hart-layout.ts';
import type { LastFault } from './death.ts';

/** Bytes of a hart's state that belong to the task: x, f, pc and fcsr. */
const CONTEXT_BYTES = 528;

export class GuestContext implements UserRegs {
  readonly #memory: ArrayBuffer;
  readonly #own: ArrayBuffer = new ArrayBuffer(CONTEXT_BYTES);
  #view: DataView = new DataView(this.#own);
  #hart = -1;
  /** What a signal needs to know of the system call it interrupted; null outside system calls. */
  syscall: { readonly nr: number; readonly a0: bigint } | null = null;
  /** For the report when a signal ends the program. */
  lastFault: LastFault | null = null;

  constructor(memory: ArrayBuffer) {
    this.#memory = memory;
  }

  /** Moves the registers into a hart's state. A reservation of whoever was there is lost, as on real context switches. */
  load(hart: number): void {
    new Uint8Array(this.#memory, hart, CONTEXT_BYTES).set(new Uint8Array(this.#own));
    this.#hart = hart;
    this.#view = new DataView(this.#memory, hart);
    this.#view.setBigInt64(HART_RES_ADDR, -1n, true);
  }

  unload(): void {
    new Uint8Array(this.#own).set(new Uint8Array(this.#memory, this.#hart, CONTEXT_BYTES));
    this.#view = new DataView(this.#own);
    this.#hart = -1;
  }

  get(register: number): bigint {
    return this.#view.getBigInt64(HART_X + register * 8, true);
  }
  set(register: number, value: bigint): void {
    this.#view.setBigInt64(HART_X + register * 8, value, true);
  }
  /** A register as a signed number: exact to 2^53, which covers every address and length. */
  number(register: number): number {
    const low = this.#view.getUint32(HART_X + register * 8, true);
    return this.#view.getInt32(HART_X + register * 8 + 4, true) * 0x1_0000_0000 + low;
  }
  setNumber(register: number, value: number): void {
    this.#view.setUint32(HART_X + register * 8, value >>> 0, true);
    this.#view.setInt32(HART_X + register * 8 + 4, Math.floor(value / 0x1_0000_0000), true);
  }
  get pc(): bigint {
    return this.#view.getBigInt64(HART_PC, true);
  }
  set pc(value: bigint) {
    this.#view.setBigInt64(HART_PC, value, true);
  }
  getF(register: number): bigint {
    return this.#view.getBigUint64(HART_F + register * 8, true);
  }
  setF(register: number, value: bigint): void {
    this.#view.setBigUint64(HART_F + register * 8, value, true);
  }
  get fcsr(): number {
    return this.#view.getInt32(HART_FCSR, true);
  }
  set fcsr(value: number) {
    this.#view.setInt32(HART_FCSR, value, true);
  }

  /** All registers zero, as a program finds them. */
  reset(): void {
    for (let register = 0; register < 32; register++) {
      this.set(register, 0n);
      this.setF(register, 0n);
    }
    this.fcsr = 0;
  }

  /** The address, or for an illegal instruction the word, of the trap just taken. Only while loaded. */
  trapAddress(): number {
    return Number(this.#view.getBigUint64(HART_TRAP_ADDR, true));
  }
  /** Instructions retired by the hart. Only while loaded. */
  instret(): number {
    return Number(this.#view.getBigInt64(HART_INSTRET, true));
  }

  clone(): GuestContext {
    const copy = new GuestContext(this.#memory);
    const from =
      this.#hart < 0
        ? new Uint8Array(this.#own)
        : new Uint8Array(this.#memory, this.#hart, CONTEXT_BYTES);
    new Uint8Array(copy.#own).set(from);
    return copy;
  }
}

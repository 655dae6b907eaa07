import {
  HART_F,
  HART_FUEL,
  HART_PC,
  HART_TLB,
  HART_X,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  TLB_HOST,
} from '../hart-layout.ts';
import type { Located } from './discover.ts';
import { Code, type FunctionBody, IMPORT_STEP, type Label } from './wasm-encoder.ts';
import * as w from './wasm-opcodes.ts';

/** Why a unit returned to the dispatcher; pc, fuel and all registers are in the hart's words. */
export const LEFT_JUMP = 0; /** pc is an instruction that the jump cache does not know. */
export const LEFT_STEP = 1; /** The interpreter has to execute the instruction at pc. */
export const LEFT_FUEL = 2; /** Too little fuel to reach the next check. */

/** The locals of every unit; registers follow from FIRST_REGISTER on. */
export const HART = 0;
export const NEXT = 1;
export const FUEL = 2;
export const ADDRESS = 3;
export const PC = 4;
export const TEMP = 5;
export const TEMP2 = 6;
export const ENTRY = 7;
export const SLOT = 8;
export const TEMP32 = 9;
const FIRST_REGISTER = 10;

const TLB_INDEX_MASK = (TLB_ENTRIES - 1) * TLB_ENTRY_BYTES;
const TLB_INDEX_SHIFT = 12 - Math.log2(TLB_ENTRY_BYTES);

/**
 * The code of a unit being written, with what all instructions need: registers as locals, the two ways out, address
 * translation. A register gets its local when it is first named; all named ones are loaded at the unit's entry and the
 * written ones stored at its exit.
 */
export class UnitCode extends Code {
  /** The virtual address of the unit's page. */
  readonly page: number;
  /** Takes (i32) an exit word, see `exitWord`. */
  exit: Label = 0;
  /** Takes (i64) the pc to go on at; fuel is already counted. */
  jump: Label = 0;
  /** How many instructions of the block come before the current one. */
  before = 0;
  readonly #locals: Map<number, number> = new Map();
  readonly #written: Set<number> = new Set();

  constructor(page: number) {
    super();
    this.page = page;
  }

  /** Pushes xN (i64). */
  x(register: number): void {
    if (register === 0) this.i64(0);
    else this.get(this.#local(register));
  }

  /** Pushes the low half of xN (i32). */
  x32(register: number): void {
    if (register === 0) {
      this.i32(0);
      return;
    }
    this.get(this.#local(register));
    this.op(w.W_I32_WRAP_I64);
  }

  /** Pops xN (i64); x0 swallows it. */
  setX(register: number): void {
    if (register === 0) this.op(w.W_DROP);
    else this.#set(register);
  }

  /** Pops xN (i32), sign-extended. */
  setX32(register: number): void {
    this.op(w.W_I64_EXTEND_I32_S);
    this.setX(register);
  }

  /** Pushes the 64 bits of fN. */
  f(register: number): void {
    this.get(this.#local(32 + register));
  }

  setF(register: number): void {
    this.#set(32 + register);
  }

  /** Pops a condition (i32) above an exit word, and leaves at the current instruction if it is true. */
  leaveIf(): void {
    this.brIf(this.exit);
    this.op(w.W_DROP);
  }

  /** Pushes what `leaveIf` takes to have the interpreter execute this instruction. */
  pushStep(at: Located): void {
    this.i32(exitWord(LEFT_STEP, at.offset, this.before));
  }

  /**
   * Translates xN + imm: sets ADDRESS, leaves unless the TLB permits the whole access, and pushes the byte address in
   * memory (i32). An access over the end of a page misses too, because its last byte has another page number than
   * the entry of its first.
   * @param tag TLB_TAG_R or TLB_TAG_W
   */
  translate(at: Located, base: number, imm: number, size: number, tag: number): void {
    this.pushStep(at);
    this.x(base);
    if (imm !== 0) {
      this.i64(imm);
      this.op(w.W_I64_ADD);
    }
    this.set(ADDRESS);
    this.tlbEntry(ADDRESS);
    this.memory(w.W_I64_LOAD, HART_TLB + tag);
    this.get(ADDRESS);
    if (size > 1) {
      this.i64(size - 1);
      this.op(w.W_I64_ADD);
    }
    this.i64(12);
    this.op(w.W_I64_SHR_U);
    this.op(w.W_I64_NE);
    this.leaveIf();
    this.get(ENTRY);
    this.memory(w.W_I32_LOAD, HART_TLB + TLB_HOST);
    this.get(ADDRESS);
    this.op(w.W_I32_WRAP_I64);
    this.i32(4095);
    this.op(w.W_I32_AND);
    this.op(w.W_I32_ADD);
  }

  /** Sets ENTRY to what HART_TLB has to be added to for the entry of an address, and pushes it. */
  tlbEntry(address: number): void {
    this.get(address);
    this.op(w.W_I32_WRAP_I64);
    this.i32(TLB_INDEX_SHIFT);
    this.op(w.W_I32_SHR_U);
    this.i32(TLB_INDEX_MASK);
    this.op(w.W_I32_AND);
    this.get(HART);
    this.op(w.W_I32_ADD);
    this.tee(ENTRY);
  }

  /**
   * Has the interpreter execute one instruction from within the unit; leaves before it if it would trap.
   * @param sources registers it reads: N for xN, 32 + N for fN
   * @param target the register it writes, or 0
   */
  step(at: Located, sources: readonly number[], target: number): void {
    for (const source of sources) if (source !== 0) this.#store(source);
    this.pushStep(at);
    this.get(HART);
    this.i32(at.word);
    this.call(IMPORT_STEP);
    this.leaveIf();
    if (target === 0) return;
    this.#load(target);
    this.#set(target);
  }

  /** Stores pc, fuel and the registers for whoever runs next. */
  spill(): void {
    for (const register of sorted(this.#written)) this.#store(register);
    this.get(HART);
    this.get(PC);
    this.memory(w.W_I64_STORE, HART_PC);
    this.get(HART);
    this.get(FUEL);
    this.memory(w.W_I64_STORE, HART_FUEL);
  }

  /** The function, with the loads of its registers before the code. */
  finish(): FunctionBody {
    const whole = new UnitCode(this.page);
    whole.get(HART);
    whole.memory(w.W_I64_LOAD, HART_FUEL);
    whole.set(FUEL);
    for (const [register, local] of this.#locals) {
      whole.get(HART);
      whole.memory(w.W_I64_LOAD, registerOffset(register));
      whole.set(local);
    }
    whole.bytes(this.view());
    const locals = [
      [ENTRY - FUEL, w.T_I64],
      [FIRST_REGISTER - ENTRY, w.T_I32],
      [this.#locals.size, w.T_I64],
    ] as const;
    return { locals, code: whole };
  }

  #local(register: number): number {
    let local = this.#locals.get(register);
    if (local === undefined) {
      local = FIRST_REGISTER + this.#locals.size;
      this.#locals.set(register, local);
    }
    return local;
  }

  #set(register: number): void {
    this.#written.add(register);
    this.set(this.#local(register));
  }

  #store(register: number): void {
    this.get(HART);
    this.get(this.#local(register));
    this.memory(w.W_I64_STORE, registerOffset(register));
  }

  #load(register: number): void {
    this.get(HART);
    this.memory(w.W_I64_LOAD, registerOffset(register));
  }
}

/**
 * What a way out needs to know, in one constant: no code runs for it until it is taken.
 * @param offset of the instruction to go on at, in the page
 * @param retired instructions of the block that are not yet subtracted from the fuel
 */
export function exitWord(why: number, offset: number, retired: number): number {
  return (why << 24) | (retired << 12) | offset;
}

function registerOffset(register: number): number {
  return register < 32 ? HART_X + 8 * register : HART_F + 8 * (register - 32);
}

function sorted(registers: ReadonlySet<number>): number[] {
  return [...registers].sort((a, b) => a - b);
}

import { at } from '../../src/base/assert.ts';
import * as layout from '../../src/machine/riscv/hart-layout.ts';
import type { Engine } from '../../src/machine/riscv/trap.ts';

const PAGE = 4096n;
/** The first frame begins on the page after the hart's state. */
const FIRST_FRAME = Math.ceil(layout.HART_BYTES / 4096);

/** What a page may be used for, as letters: 'r', 'rw', 'rx', 'rwx'. */
export type Permissions = 'r' | 'rw' | 'rx' | 'rwx' | 'x';

/**
 * A hart and some frames without a kernel: tests fill the TLB by hand. Frames are handed out in
 * order, so neighbouring guest pages are neighbours in memory only if mapped one after the other.
 */
export class BareGuest {
  readonly memory: WebAssembly.Memory;
  readonly hart = 0;
  readonly #pages = new Map<bigint, number>();
  #nextFrame: number;

  /** @param firstFrame the frame that is handed out first, beyond the hart's own */
  constructor(frames: number, firstFrame = FIRST_FRAME) {
    this.#nextFrame = firstFrame;
    this.memory = new WebAssembly.Memory({ initial: Math.ceil((firstFrame + frames) / 16) });
    const tlb = new Uint8Array(this.memory.buffer, layout.HART_TLB, layout.HART_BYTES - 1024);
    tlb.fill(0xff);
    this.view.setBigInt64(layout.HART_RES_ADDR, -1n, true);
  }

  get view(): DataView {
    return new DataView(this.memory.buffer);
  }

  buffer = (): ArrayBuffer => this.memory.buffer;

  /** Gives the page of `address` a frame, or new permissions if it has one. */
  map(address: bigint, permissions: Permissions): number {
    const vpn = BigInt.asUintN(64, address) / PAGE;
    const frame = this.#pages.get(vpn) ?? this.#nextFrame++;
    this.#pages.set(vpn, frame);
    const entry = this.#entry(vpn);
    const tag = (letter: string) => (permissions.includes(letter) ? vpn : -1n);
    this.view.setBigInt64(entry + layout.TLB_TAG_R, tag('r'), true);
    this.view.setBigInt64(entry + layout.TLB_TAG_W, tag('w'), true);
    this.view.setBigInt64(entry + layout.TLB_TAG_X, tag('x'), true);
    this.view.setUint32(entry + layout.TLB_HOST, frame * 4096, true);
    this.view.setUint32(entry + layout.TLB_X_HOST, frame * 4096, true);
    this.view.setUint32(entry + layout.TLB_PFN, frame, true);
    this.view.setUint32(entry + layout.TLB_X_PFN, frame, true);
    return frame;
  }

  /** Takes the TLB entry away; the frame and its content stay. */
  unmap(address: bigint): void {
    const entry = this.#entry(BigInt.asUintN(64, address) / PAGE);
    for (const tag of [layout.TLB_TAG_R, layout.TLB_TAG_W, layout.TLB_TAG_X]) {
      this.view.setBigInt64(entry + tag, -1n, true);
    }
  }

  /** Writes bytes at a guest address whose pages have frames. */
  write(address: bigint, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      this.view.setUint8(this.#host(address + BigInt(i)), at(bytes, i));
    }
  }

  read(address: bigint, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) =>
      this.view.getUint8(this.#host(address + BigInt(i))),
    );
  }

  /** Writes instructions; numbers below 0x10000 are compressed. */
  code(address: bigint, words: readonly number[]): void {
    const bytes: number[] = [];
    for (const word of words) {
      bytes.push(word & 255, (word >>> 8) & 255);
      if ((word & 3) === 3) bytes.push((word >>> 16) & 255, word >>> 24);
    }
    this.write(address, Uint8Array.from(bytes));
  }

  x(register: number): bigint {
    return this.view.getBigUint64(layout.HART_X + 8 * register, true);
  }

  setX(register: number, value: bigint): void {
    this.view.setBigUint64(layout.HART_X + 8 * register, BigInt.asUintN(64, value), true);
  }

  f(register: number): bigint {
    return this.view.getBigUint64(layout.HART_F + 8 * register, true);
  }

  setF(register: number, value: bigint): void {
    this.view.setBigUint64(layout.HART_F + 8 * register, BigInt.asUintN(64, value), true);
  }

  get pc(): bigint {
    return this.view.getBigUint64(layout.HART_PC, true);
  }

  set pc(value: bigint) {
    this.view.setBigUint64(layout.HART_PC, BigInt.asUintN(64, value), true);
  }

  get fcsr(): number {
    return this.view.getUint32(layout.HART_FCSR, true);
  }

  set fcsr(value: number) {
    this.view.setUint32(layout.HART_FCSR, value, true);
  }

  get trapAddress(): bigint {
    return this.view.getBigUint64(layout.HART_TRAP_ADDR, true);
  }

  get instret(): bigint {
    return this.view.getBigUint64(layout.HART_INSTRET, true);
  }

  /** Everything a program can see of the hart, to compare two moments. */
  architecturalState(): string {
    const bytes = new Uint8Array(this.memory.buffer, this.hart, layout.HART_TRAP);
    const reservation = new Uint8Array(this.memory.buffer, layout.HART_RES_ADDR, 24);
    return `${bytes.join()} ${reservation.join()} ${this.instret}`;
  }

  run(engine: Engine, budget = 1_000_000): number {
    return engine.run(this.hart, budget, 1);
  }

  #entry(vpn: bigint): number {
    const index = Number(vpn & BigInt(layout.TLB_ENTRIES - 1));
    return layout.HART_TLB + index * layout.TLB_ENTRY_BYTES;
  }

  #host(address: bigint): number {
    const frame = this.#pages.get(BigInt.asUintN(64, address) / PAGE);
    if (frame === undefined) throw new Error(`no frame at ${address.toString(16)}`);
    return frame * 4096 + Number(address % PAGE);
  }
}

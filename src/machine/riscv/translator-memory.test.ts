import { expect, test } from 'vitest';
import * as layout from './hart-layout.ts';
import { Interpreter } from './interpreter.ts';
import { TRANSLATOR_BYTES, Translator } from './translator.ts';
import { TRAP_BUDGET } from './trap.ts';

// What random programs do not reach: who may write to code, and memory that several harts share.

const PAGE = 4096;
const HART_STRIDE = 0x110000;
const AREA = 2 * HART_STRIDE;
const FRAMES = AREA + TRANSLATOR_BYTES;
const CODE = 0x10000;
const ALIAS = 0x20000;

const ADDI_A0_1 = 0x00150513;
const ADDI_A0_2 = 0x00250513;
const BACK_4 = 0xffdff06f; // j -4
const BACK_8 = 0xff9ff06f; // j -8
const STORE = 0x0055a023; // sw t0, 0(a1)
const NOP = 0x13;

class World {
  readonly memory = new WebAssembly.Memory({ initial: 48 });
  readonly translator = new Translator(
    this.memory,
    AREA,
    new Interpreter(() => this.memory.buffer),
    1,
  );

  constructor() {
    for (const hart of [0, HART_STRIDE]) {
      const end = hart + layout.HART_BYTES;
      new Uint8Array(this.memory.buffer).fill(0xff, hart + layout.HART_TLB, end);
      this.view.setBigUint64(hart + layout.HART_PC, BigInt(CODE), true);
    }
  }

  get view(): DataView {
    return new DataView(this.memory.buffer);
  }

  code(words: readonly number[]): void {
    words.forEach((word, n) => {
      this.view.setUint32(FRAMES + 4 * n, word, true);
    });
  }

  map(hart: number, address: number, permissions: string): void {
    const vpn = BigInt(address / PAGE);
    const entry =
      hart + layout.HART_TLB + (Number(vpn) % layout.TLB_ENTRIES) * layout.TLB_ENTRY_BYTES;
    const tag = (letter: string): bigint => (permissions.includes(letter) ? vpn : -1n);
    this.view.setBigInt64(entry + layout.TLB_TAG_R, tag('r'), true);
    this.view.setBigInt64(entry + layout.TLB_TAG_W, tag('w'), true);
    this.view.setBigInt64(entry + layout.TLB_TAG_X, tag('x'), true);
    this.view.setUint32(entry + layout.TLB_HOST, FRAMES, true);
    this.view.setUint32(entry + layout.TLB_X_HOST, FRAMES, true);
    this.view.setUint32(entry + layout.TLB_PFN, 7, true);
    this.view.setUint32(entry + layout.TLB_X_PFN, 7, true);
  }

  x(hart: number, register: number): number {
    return Number(this.view.getBigInt64(hart + layout.HART_X + 8 * register, true));
  }

  set(hart: number, register: number, value: number): void {
    this.view.setBigInt64(hart + layout.HART_X + 8 * register, BigInt(value), true);
  }

  run(hart: number, budget: number): void {
    expect(this.translator.run(hart, budget, 1)).toBe(TRAP_BUDGET);
  }
}

for (const where of ['the same page', 'an alias of its frame']) {
  test(`code that writes its next instruction through ${where} executes what it wrote`, () => {
    const world = new World();
    world.code([STORE, ADDI_A0_1, NOP, 0xff5ff06f]); // … j -12
    world.map(0, CODE, where === 'the same page' ? 'rwx' : 'rx');
    world.map(0, ALIAS, where === 'the same page' ? '' : 'rw');
    world.set(0, 5, ADDI_A0_2);
    world.set(0, 11, (where === 'the same page' ? CODE : ALIAS) + 4);
    world.run(0, 4000);
    expect(world.x(0, 10)).toBe(2000);
  });
}

test('a frame that was translated is translated anew after invalidateFrame', () => {
  const world = new World();
  world.code([ADDI_A0_1, BACK_4]);
  world.map(0, CODE, 'rx');
  world.run(0, 2000);
  expect(world.translator.counts.units).toBe(1);
  world.code([ADDI_A0_2]);
  world.translator.invalidateFrame(7);
  world.run(0, 2000);
  expect(world.x(0, 10)).toBe(3000);
  expect(world.translator.counts.units).toBe(2);
});

test('two harts run the same translation with their own registers', () => {
  const world = new World();
  world.code([ADDI_A0_1, BACK_4]);
  for (const hart of [0, HART_STRIDE]) world.map(hart, CODE, 'rx');
  for (let turn = 0; turn < 10; turn++) {
    world.run(0, 200);
    world.run(HART_STRIDE, 400);
  }
  expect([world.x(0, 10), world.x(HART_STRIDE, 10)]).toEqual([1000, 2000]);
  expect(world.translator.counts.units).toBe(1);
});

test('memory that grows between runs is found again', () => {
  const world = new World();
  world.code([ADDI_A0_1, NOP, BACK_8]);
  world.map(0, CODE, 'rx');
  world.run(0, 3000);
  world.memory.grow(10);
  world.run(0, 3000);
  expect(world.x(0, 10)).toBe(2000);
});

test('instret and fuel carry into their upper words', () => {
  const world = new World();
  world.code([ADDI_A0_1, BACK_4]);
  world.map(0, CODE, 'rx');
  world.view.setBigUint64(layout.HART_INSTRET, 2n ** 32n - 100n, true);
  world.run(0, 1001);
  expect(world.view.getBigUint64(layout.HART_INSTRET, true)).toBe(2n ** 32n + 901n);
  expect(world.view.getBigUint64(layout.HART_FUEL, true)).toBe(0n);
});

test('a trap late in a budget beyond 32 bits leaves the rest as fuel', () => {
  const world = new World();
  world.code([ADDI_A0_1, 0x73]);
  world.map(0, CODE, 'rx');
  const budget = 2 ** 40;
  world.translator.run(0, budget, 1);
  expect(world.view.getBigUint64(layout.HART_FUEL, true)).toBe(BigInt(budget - 1));
});

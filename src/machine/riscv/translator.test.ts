import { expect, test } from 'vitest';
import { at } from '../../base/assert.ts';
import { Prng } from '../../base/prng.ts';
import * as layout from './hart-layout.ts';
import { Interpreter } from './interpreter.ts';
import { randomCode } from './random-code.ts';
import { TRANSLATOR_BYTES, Translator } from './translator.ts';
import * as trap from './trap.ts';

// One memory:  0 hart | AREA jump cache | FRAMES code and data frames
const AREA = 0x110000;
const FRAMES = 0x120000;
const PAGE = 4096;
const CODE_PAGES = 3;
const DATA_PAGES = 6;
const FRAME_COUNT = CODE_PAGES + DATA_PAGES + 1;
const CODE_VPN = 0x10100;
const DATA_VPN = 0x40000;
/** Same TLB index as DATA_VPN, another page. */
const DATA_ALIAS_VPN = DATA_VPN + layout.TLB_ENTRIES;
/** The registers that randomCode addresses memory through. */
const POINTERS = [2, 8, 9, 10, 11];
/** The code frames a second time, elsewhere. */
const CODE_ALIAS_VPN = 0x7ffff0200;

const PROGRAMS = Number(process.env['FAULTLINE_DIFF_PROGRAMS'] ?? 8);
const FIRST_SEED = Number(process.env['FAULTLINE_DIFF_SEED'] ?? 1);
const LEAVES = 2500;

/** A hart, its memory and a page-table-less kernel: the same for both engines. */
class Machine {
  readonly memory = new WebAssembly.Memory({ initial: 24 });
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly view = new DataView(this.memory.buffer);
  readonly engine: trap.Engine;
  /** Code pages change places now and then: the same address, other code, and no frame's content changes. */
  rotation = 0;

  /** @param hot the translator's threshold, or 0 for the interpreter */
  constructor(hot: number) {
    const interpreter = new Interpreter(() => this.memory.buffer);
    this.engine = hot === 0 ? interpreter : new Translator(this.memory, AREA, interpreter, hot);
    this.flush();
    this.view.setBigInt64(layout.HART_RES_ADDR, -1n, true);
  }

  /** Neighbours in virtual memory are never neighbours here. */
  frame(pfn: number): number {
    return FRAMES + (FRAME_COUNT - 1 - pfn) * PAGE;
  }

  /** Which frame holds a code page. */
  codeFrame(index: number): number {
    return (index + this.rotation) % CODE_PAGES;
  }

  flush(): void {
    for (let n = 0; n < layout.TLB_ENTRIES; n++) this.evict(n);
  }

  evict(index: number): void {
    const entry = layout.HART_TLB + index * layout.TLB_ENTRY_BYTES;
    this.bytes.fill(0xff, entry, entry + layout.TLB_HOST);
    this.bytes.fill(0xff, entry + layout.TLB_TAG_X, entry + layout.TLB_X_HOST);
  }

  /** Which frame lies at a page, and what may be done with it; the third data page is read-only. */
  fill(vpn: number): boolean {
    const table: [first: number, count: number, pfn: number, isCode: boolean][] = [
      [CODE_VPN, CODE_PAGES, 0, true],
      [CODE_ALIAS_VPN, CODE_PAGES, 0, true],
      [DATA_VPN, DATA_PAGES, CODE_PAGES, false],
      [DATA_ALIAS_VPN, DATA_PAGES, CODE_PAGES + 1, false],
    ];
    for (const [first, count, frame, isCode] of table) {
      if (vpn < first || vpn >= first + count) continue;
      const pfn = isCode ? this.codeFrame(vpn - first) : frame + vpn - first;
      const entry = layout.HART_TLB + (vpn & (layout.TLB_ENTRIES - 1)) * layout.TLB_ENTRY_BYTES;
      const isReadOnly = pfn === CODE_PAGES + 2;
      this.view.setBigInt64(entry + layout.TLB_TAG_R, BigInt(isCode ? -1 : vpn), true);
      this.view.setBigInt64(
        entry + layout.TLB_TAG_W,
        BigInt(isCode || isReadOnly ? -1 : vpn),
        true,
      );
      this.view.setBigInt64(entry + layout.TLB_TAG_X, BigInt(isCode ? vpn : -1), true);
      this.view.setUint32(entry + layout.TLB_HOST, this.frame(pfn), true);
      this.view.setUint32(entry + layout.TLB_X_HOST, this.frame(pfn), true);
      this.view.setUint32(entry + layout.TLB_PFN, pfn, true);
      this.view.setUint32(entry + layout.TLB_X_PFN, pfn, true);
      return true;
    }
    return false;
  }

  get pc(): bigint {
    return this.view.getBigInt64(layout.HART_PC, true);
  }

  set pc(value: bigint) {
    this.view.setBigInt64(layout.HART_PC, value, true);
  }

  set(register: number, value: bigint): void {
    if (register !== 0) this.view.setBigInt64(layout.HART_X + 8 * register, value, true);
  }

  /** Everything architectural, as text that shows a difference. */
  dump(): string {
    const lines: string[] = [];
    const hex = (offset: number): string =>
      this.view.getBigUint64(offset, true).toString(16).padStart(16, '0');
    for (let n = 0; n < 32; n++) {
      lines.push(`x${n} ${hex(layout.HART_X + 8 * n)} f${n} ${hex(layout.HART_F + 8 * n)}`);
    }
    lines.push(`pc ${hex(layout.HART_PC)} fcsr ${this.view.getInt32(layout.HART_FCSR, true)}`);
    lines.push(`trap ${this.view.getInt32(layout.HART_TRAP, true)}`);
    lines.push(`trapAddr ${hex(layout.HART_TRAP_ADDR)}`);
    lines.push(`reservation ${hex(layout.HART_RES_ADDR)} ${hex(layout.HART_RES_VALUE)}`);
    lines.push(`instret ${hex(layout.HART_INSTRET)} fuel ${hex(layout.HART_FUEL)}`);
    return lines.join('\n');
  }

  /** All words of the hart before the TLB. */
  state(): Uint8Array {
    return this.bytes.subarray(0, layout.HART_TLB);
  }

  content(): Uint8Array {
    return this.bytes.subarray(FRAMES, FRAMES + FRAME_COUNT * PAGE);
  }
}

/** What the kernel does after a leave, from the hart's state and the generator alone. */
function resume(machine: Machine, cause: trap.TrapCause, prng: Prng): void {
  const random = prng.next32();
  const address = machine.view.getBigUint64(layout.HART_TRAP_ADDR, true);
  if (cause === trap.TRAP_BUDGET) {
    if (random % 8 === 0) evictSome(machine, prng);
    if (random % 32 === 1) machine.flush();
    if (random % 16 === 2) rewrite(machine);
    if (random % 64 === 10) {
      machine.rotation++;
      machine.flush();
    }
    if (random % 2 === 1) disturb(machine, prng);
    return;
  }
  const isMiss = cause === trap.TRAP_FETCH || cause === trap.TRAP_LOAD || cause === trap.TRAP_STORE;
  if (isMiss) {
    const tag =
      cause === trap.TRAP_FETCH
        ? layout.TLB_TAG_X
        : cause === trap.TRAP_LOAD
          ? layout.TLB_TAG_R
          : layout.TLB_TAG_W;
    const vpn = Number(address >> 12n);
    if (machine.fill(vpn)) {
      const entry = layout.HART_TLB + (vpn & (layout.TLB_ENTRIES - 1)) * layout.TLB_ENTRY_BYTES;
      if (machine.view.getBigInt64(entry + tag, true) === BigInt(vpn)) return;
    }
  }
  if (cause === trap.TRAP_FETCH) {
    const page = random % 5 === 0 ? CODE_ALIAS_VPN : CODE_VPN;
    machine.pc = BigInt(page * PAGE + ((random >>> 4) % (CODE_PAGES * PAGE)));
    return;
  }
  if (random % 4 === 0) disturb(machine, prng);
  const pc = Number(machine.pc) & (PAGE - 1);
  const frame = machine.frame(machine.codeFrame(Number(machine.pc >> 12n) % 16));
  const half = machine.bytes[frame + pc] as number;
  machine.pc += (half & 3) === 3 ? 4n : 2n;
}

/** A data page, or all code pages but the current one, so that the next jump out of it has to miss. */
function evictSome(machine: Machine, prng: Prng): void {
  if (prng.below(2) === 0) {
    machine.evict((DATA_VPN % layout.TLB_ENTRIES) + prng.below(DATA_PAGES));
    return;
  }
  for (const first of [CODE_VPN, CODE_ALIAS_VPN]) {
    for (let vpn = first; vpn < first + CODE_PAGES; vpn++) {
      if (BigInt(vpn) !== machine.pc >> 12n) machine.evict(vpn % layout.TLB_ENTRIES);
    }
  }
}

/** Gets a hart out of endless loops and short circles of traps, as a signal would, to one of a few places. */
function disturb(machine: Machine, prng: Prng): void {
  const page = prng.below(5) === 0 ? CODE_ALIAS_VPN : CODE_VPN;
  const place = prng.below(16) === 0 ? prng.below(CODE_PAGES * PAGE) : prng.below(48) * 256;
  machine.pc = BigInt(page * PAGE + place);
  for (let n = 0; n < 6; n++) machine.set(1 + prng.below(31), interesting(prng));
  for (let n = 0; n < 2; n++) {
    machine.view.setBigInt64(layout.HART_F + 8 * prng.below(32), interesting(prng), true);
  }
  machine.view.setInt32(layout.HART_FCSR, prng.below(5 * 32), true);
  for (const register of POINTERS) machine.set(register, somewhere(prng));
  machine.set(at([1, 5, 6], prng.below(3)), machine.pc + BigInt(prng.below(40) * 16 - 320));
}

/** Values of all sizes, and those at which arithmetic is special. */
function interesting(prng: Prng): bigint {
  const wide = BigInt.asIntN(64, (BigInt(prng.next32()) << 32n) | BigInt(prng.next32()));
  const special = [0n, -1n, -(2n ** 63n), 2n ** 63n - 1n, -(2n ** 31n), 2n ** 31n, 1n];
  switch (prng.below(6)) {
    case 0:
      return at(special, prng.below(special.length));
    case 1:
      return BigInt(prng.below(2000) - 1000);
    case 2:
      return wide | (0xffffffffn << 32n) | -(2n ** 63n); // a boxed single
    case 3:
      return BigInt.asIntN(64, (wide & (2n ** 52n - 1n)) | (0x3ffn << 52n)); // a double in [1, 2)
    default:
      return wide;
  }
}

/** An address in the data pages, often so near to a page's end that an access reaches over it. */
function somewhere(prng: Prng): bigint {
  const vpn = at([DATA_VPN, DATA_ALIAS_VPN], prng.below(2)) + prng.below(DATA_PAGES);
  const offset = prng.below(4) === 0 ? PAGE - prng.below(8) : prng.below(PAGE / 8) * 8;
  return BigInt(vpn * PAGE + offset);
}

/** Changes an instruction under the engine, as a debugger would. */
function rewrite(machine: Machine): void {
  const page = Number((machine.pc >> 12n) % 16n);
  if (page >= CODE_PAGES) return;
  const pfn = machine.codeFrame(page);
  const offset = Number(machine.pc) & (PAGE - 4);
  machine.view.setUint32(machine.frame(pfn) + offset, 0x00150513, true); // addi a0,a0,1
  machine.engine.invalidateFrame(pfn);
}

function prepare(machine: Machine, seed: number): void {
  const prng = new Prng(seed);
  const code = randomCode(prng, CODE_PAGES * PAGE);
  for (let n = 0; n < CODE_PAGES; n++) {
    machine.bytes.set(code.subarray(n * PAGE, (n + 1) * PAGE), machine.frame(n));
  }
  for (let pfn = CODE_PAGES; pfn < FRAME_COUNT; pfn++) {
    for (let n = 0; n < PAGE; n++) machine.bytes[machine.frame(pfn) + n] = prng.next32();
  }
  for (let n = 1; n < 32; n++) machine.set(n, interesting(prng));
  disturb(machine, prng);
}

function budget(prng: Prng): number {
  const most = at([8, 60, 60, 400, 400, 3000], prng.below(6));
  return 1 + prng.below(most);
}

/** Runs one program on both; throws at the first difference. */
function compare(seed: number): Translator {
  const hot = at([1, 1, 3, 24], seed % 4);
  const oracle = new Machine(0);
  const machine = new Machine(hot);
  for (const one of [oracle, machine]) prepare(one, seed);
  const choices = new Prng(seed ^ 0x5eed);
  for (let leave = 0; leave < LEAVES; leave++) {
    const amount = budget(choices);
    const kernelSeed = choices.next32();
    const expected = oracle.engine.run(0, amount, 1);
    const got = machine.engine.run(0, amount, 1);
    const isSame =
      expected === got &&
      Buffer.compare(oracle.state(), machine.state()) === 0 &&
      Buffer.compare(oracle.content(), machine.content()) === 0;
    if (!isSame) {
      const where = `program ${seed}, hot ${hot}, leave ${leave}, budget ${amount}, `;
      expect(`${where}${got}\n${machine.dump()}`).toBe(`${where}${expected}\n${oracle.dump()}`);
      expect.fail(`${where}memory differs`);
    }
    for (const one of [oracle, machine]) resume(one, expected, new Prng(kernelSeed));
  }
  return machine.engine as Translator;
}

test(`translator and interpreter agree after every leave of ${PROGRAMS} random programs`, () => {
  const sum = { units: 0, modules: 0, retired: 0, entered: 0 };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + PROGRAMS; seed++) {
    const { counts } = compare(seed);
    if (process.env['FAULTLINE_DIFF_SHOW']) console.log(seed, JSON.stringify(counts));
    sum.units += counts.units;
    sum.entered += counts.entered;
    sum.retired += counts.retired;
  }
  // Evidence only if translated code ran, in several units, left and entered often.
  expect(sum.units).toBeGreaterThan(5 * PROGRAMS);
  expect(sum.entered).toBeGreaterThan(50 * PROGRAMS);
  expect(sum.retired).toBeGreaterThan(1000 * PROGRAMS);
}, 3_600_000);

test('TRANSLATOR_BYTES fits between the hart and the frames of these tests', () => {
  expect(layout.HART_BYTES).toBeLessThanOrEqual(AREA);
  expect(AREA + TRANSLATOR_BYTES).toBeLessThanOrEqual(FRAMES);
});

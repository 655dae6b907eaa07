/**
 * How fast the hart is: each kernel of bench/cpu natively, under qemu-riscv64 and on Faultline's two engines, in one
 * run, because only ratios from one run can be compared. Prints native time / time; 1 is native speed.
 *
 * `npm run build`, then `node dist/bench/cpu.js` in the repository.
 * Arguments: names of kernels, `-n RUNS` (each figure is the median of so many; default 3).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { at } from '../src/base/assert.ts';
import * as layout from '../src/machine/riscv/hart-layout.ts';
import { Interpreter } from '../src/machine/riscv/interpreter.ts';
import { TRANSLATOR_BYTES, Translator } from '../src/machine/riscv/translator.ts';
import * as trap from '../src/machine/riscv/trap.ts';

const PAGE = 4096;
const AREA = Math.ceil(layout.HART_BYTES / PAGE) * PAGE;
const FRAMES = AREA + Math.ceil(TRANSLATOR_BYTES / PAGE) * PAGE;
const STACK_TOP = 0x7fff0000;
const FLAGS = ['-O2', '-fno-tree-vectorize', '-static', '-Wall'];
/** The interpreter is timed on so many instructions only. */
const INTERPRETED = 10_000_000;

/** A hart whose pages appear when touched: no permissions, no kernel. */
class Guest {
  readonly memory = new WebAssembly.Memory({ initial: 512 });
  readonly view = new DataView(this.memory.buffer);
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly #frames = new Map<number, number>();
  output = '';

  constructor(elf: Uint8Array) {
    this.bytes.fill(0xff, layout.HART_TLB, layout.HART_BYTES);
    const file = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
    const table = Number(file.getBigUint64(32, true));
    for (let n = 0; n < file.getUint16(56, true); n++) {
      const header = table + n * file.getUint16(54, true);
      if (file.getUint32(header, true) !== 1) continue; // PT_LOAD
      const field = (offset: number): number => Number(file.getBigUint64(header + offset, true));
      const address = field(16);
      const content = elf.subarray(field(8), field(8) + field(32));
      content.forEach((byte, k) => {
        this.bytes[this.host(address + k)] = byte;
      });
    }
    this.view.setBigUint64(layout.HART_PC, file.getBigUint64(24, true), true);
    this.view.setBigUint64(layout.HART_X + 8 * 2, BigInt(STACK_TOP), true);
  }

  /** Byte address of a guest address in memory. */
  host(address: number): number {
    const vpn = Math.floor(address / PAGE);
    let frame = this.#frames.get(vpn);
    if (frame === undefined) {
      frame = this.#frames.size;
      this.#frames.set(vpn, frame);
    }
    return FRAMES + frame * PAGE + (address % PAGE);
  }

  /** @returns false when the program has exited */
  handle(cause: trap.TrapCause): boolean {
    if (cause === trap.TRAP_BUDGET) return true;
    if (cause === trap.TRAP_ECALL) return this.#systemCall();
    const address = Number(this.view.getBigUint64(layout.HART_TRAP_ADDR, true));
    if (cause < trap.TRAP_FETCH || cause > trap.TRAP_STORE) {
      throw new Error(`trap ${cause} at ${this.view.getBigUint64(layout.HART_PC, true)}`);
    }
    this.#fill(Math.floor(address / PAGE), cause === trap.TRAP_FETCH);
    return true;
  }

  #fill(vpn: number, isCode: boolean): void {
    const entry = layout.HART_TLB + (vpn % layout.TLB_ENTRIES) * layout.TLB_ENTRY_BYTES;
    const host = this.host(vpn * PAGE);
    this.view.setBigInt64(entry + layout.TLB_TAG_R, BigInt(vpn), true);
    this.view.setBigInt64(entry + layout.TLB_TAG_W, BigInt(isCode ? -1 : vpn), true);
    this.view.setBigInt64(entry + layout.TLB_TAG_X, BigInt(isCode ? vpn : -1), true);
    this.view.setUint32(entry + layout.TLB_HOST, host, true);
    this.view.setUint32(entry + layout.TLB_X_HOST, host, true);
    this.view.setUint32(entry + layout.TLB_PFN, (host - FRAMES) / PAGE, true);
    this.view.setUint32(entry + layout.TLB_X_PFN, (host - FRAMES) / PAGE, true);
  }

  #systemCall(): boolean {
    const x = (n: number): number => Number(this.view.getBigInt64(layout.HART_X + 8 * n, true));
    if (x(17) === 93) return false;
    for (let k = 0; k < x(12); k++) {
      this.output += String.fromCharCode(at(this.bytes, this.host(x(11) + k)));
    }
    const pc = this.view.getBigUint64(layout.HART_PC, true);
    this.view.setBigUint64(layout.HART_PC, pc + 4n, true);
    return true;
  }
}

interface Figure {
  readonly seconds: number;
  readonly output: string;
  readonly instructions: number;
}

function run(program: string, args: readonly string[]): Figure {
  const began = performance.now();
  const { status, stdout, error } = spawnSync(program, args, { encoding: 'utf8' });
  const seconds = (performance.now() - began) / 1000;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error ?? `status ${status}`}`);
  return { seconds, output: stdout, instructions: 0 };
}

/** @param limit stop after so many instructions */
function faultline(elf: Uint8Array, kind: 'translator' | 'interpreter', limit: number): Figure {
  const guest = new Guest(elf);
  const interpreter = new Interpreter(() => guest.memory.buffer);
  const engine: trap.Engine =
    kind === 'interpreter' ? interpreter : new Translator(guest.memory, AREA, interpreter);
  const retired = (): number => Number(guest.view.getBigUint64(layout.HART_INSTRET, true));
  const began = performance.now();
  while (retired() < limit && guest.handle(engine.run(0, Math.min(limit, 1e7), 1)));
  const seconds = (performance.now() - began) / 1000;
  return { seconds, output: guest.output, instructions: retired() };
}

/** The run of median duration; all must have printed the same. */
function median(runs: number, once: () => Figure): Figure {
  const figures = Array.from({ length: runs }, once).sort((a, b) => a.seconds - b.seconds);
  return at(figures, figures.length >> 1);
}

function compile(compiler: string, source: string, target: string, more: readonly string[]): void {
  run(compiler, [...FLAGS, ...more, source, '-o', target]);
}

function measure(name: string, folder: string, runs: number): number {
  const source = join('bench/cpu', `${name}.c`);
  const host = join(folder, `${name}.host`);
  const riscv = join(folder, `${name}.rv64`);
  compile('gcc', source, host, []);
  compile('riscv64-linux-gnu-gcc', source, riscv, ['-march=rv64gc', '-nostdlib', '-ffreestanding']);
  const elf = readFileSync(riscv);
  const native = median(runs, () => run(host, []));
  const qemu = has(QEMU) ? median(runs, () => run(QEMU, [riscv])) : undefined;
  const translator = median(runs, () => faultline(elf, 'translator', Number.MAX_SAFE_INTEGER));
  const part = median(runs, () => faultline(elf, 'interpreter', INTERPRETED));
  for (const { output } of [qemu ?? native, translator]) {
    if (output !== native.output) throw new Error(`${name}: ${output} is not ${native.output}`);
  }
  const { instructions } = translator;
  const interpreted = part.seconds * (instructions / part.instructions);
  const ratio = native.seconds / translator.seconds;
  const columns = [
    native.seconds.toFixed(3),
    (instructions / 1e6).toFixed(0),
    qemu === undefined ? '-' : (native.seconds / qemu.seconds).toFixed(3),
    ratio.toFixed(3),
    (instructions / translator.seconds / 1e6).toFixed(0),
    (native.seconds / interpreted).toFixed(4),
    (part.instructions / part.seconds / 1e6).toFixed(1),
  ];
  console.log(name.padEnd(10) + columns.map((column) => column.padStart(12)).join(''));
  return ratio;
}

const QEMU = 'qemu-riscv64-static';

function has(command: string): boolean {
  return spawnSync(command, ['--version']).status === 0;
}

function main(): void {
  const { values, positionals } = parseArgs({
    options: { n: { type: 'string', short: 'n', default: '3' } },
    allowPositionals: true,
  });
  const missing = ['gcc', 'riscv64-linux-gnu-gcc', QEMU].filter((command) => !has(command));
  if (missing.length > 0) console.log(`not here: ${missing.join(', ')}`);
  if (missing.some((command) => command !== QEMU)) return;
  const all = readdirSync('bench/cpu').filter((file) => file.endsWith('.c'));
  const names = positionals.length > 0 ? positionals : all.map((file) => file.slice(0, -2));
  const folder = mkdtempSync(join(tmpdir(), 'faultline-cpu-'));
  console.log(
    '            native s   M instr.        qemu  translator        MIPS interpreter        MIPS',
  );
  try {
    const ratios = names.map((name) => measure(name, folder, Number(values.n)));
    const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
    console.log(`translator, geometric mean: ${mean.toFixed(3)} of native`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

main();

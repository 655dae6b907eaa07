import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { at } from '../../src/base/assert.ts';
import { Prng } from '../../src/base/prng.ts';
import { Interpreter } from '../../src/machine/riscv/interpreter.ts';
import { TRANSLATOR_BYTES, Translator } from '../../src/machine/riscv/translator.ts';
import { type Engine, TRAP_ECALL } from '../../src/machine/riscv/trap.ts';
import { BareGuest } from '../riscv/bare-guest.ts';
import { type Program, randomProgram, SCRATCH_BYTES, SLOT_BYTES } from './riscv-programs.ts';

/**
 * Development test: both engines against qemu-riscv64 on random programs, every register
 * compared after every block. FAULTLINE_ORACLE_PROGRAMS=N runs N programs, FAULTLINE_ORACLE_SEED=S
 * begins at another seed.
 */
const GCC = 'riscv64-linux-gnu-gcc';
const QEMU = 'qemu-riscv64-static';
const BLOCKS = 250;
const PROGRAMS = Number(process.env['FAULTLINE_ORACLE_PROGRAMS'] ?? 8);
const FIRST_SEED = Number(process.env['FAULTLINE_ORACLE_SEED'] ?? 1);
const SYS_WRITE = 64n;
const FRAMES = 1024;
const TURNS = 5;
/** Translation takes long, so only each of so many programs goes through it. */
const TRANSLATED = 8;

const missing = [GCC, QEMU].find((tool) => spawnSync(tool, ['--version']).error !== undefined);
const title = missing === undefined ? '' : ` (skipped: ${missing} is not installed)`;

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'faultline-oracle-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test.skipIf(missing !== undefined)(
  `do both engines agree with qemu-riscv64 on ${PROGRAMS} random programs?${title}`,
  { timeout: 3_600_000 },
  () => {
    const totals = new Map<string, number>();
    for (let seed = FIRST_SEED; seed < FIRST_SEED + PROGRAMS; seed++) {
      const program = randomProgram(new Prng(seed), BLOCKS);
      const elf = build(program);
      const expected = execFileSync(QEMU, [elf], { maxBuffer: 1 << 24 });
      expect(expected.length).toBe(BLOCKS * SLOT_BYTES + SCRATCH_BYTES);
      for (const [name, actual] of execute(
        readFileSync(elf),
        (seed - FIRST_SEED) % TRANSLATED === 0,
      )) {
        expect(differences(program, expected, actual), `${name}, seed ${seed}`).toEqual([]);
      }
      for (const [kind, n] of program.counts) totals.set(kind, (totals.get(kind) ?? 0) + n);
    }
    if (PROGRAMS > 8) console.log('instructions compared:', Object.fromEntries(totals));
  },
);

function build(program: Program): string {
  const source = join(directory, 'program.s');
  const elf = join(directory, 'program');
  writeFileSync(source, program.assembly);
  execFileSync(GCC, ['-march=rv64gc', '-nostdlib', '-static', '-o', elf, source]);
  return elf;
}

/**
 * The result by engine; the translator goes several times, since it translates what has run before.
 */
function* execute(elf: Buffer, translates: boolean): Generator<readonly [string, Uint8Array]> {
  const interpreted = new BareGuest(FRAMES);
  yield ['interpreter', result(interpreted, new Interpreter(interpreted.buffer), elf)];
  if (!translates) return;
  const guest = new BareGuest(FRAMES);
  const area = guest.memory.grow(Math.ceil(TRANSLATOR_BYTES / 0x10000)) * 0x10000;
  const translator = new Translator(guest.memory, area, new Interpreter(guest.buffer), 1);
  for (let turn = 1; turn <= TURNS; turn++) {
    yield [`translator, turn ${turn}`, result(guest, translator, elf)];
  }
  expect(translator.counts.retired).toBeGreaterThan(Number(guest.instret) / 4);
}

/** Runs the ELF's segments until its first system call, which writes the result. */
function result(guest: BareGuest, engine: Engine, elf: Buffer): Uint8Array {
  const headers = Number(elf.readBigUInt64LE(32));
  for (let n = 0; n < elf.readUInt16LE(56); n++) {
    const header = headers + 56 * n;
    if (elf.readUInt32LE(header) === 1) loadSegment(guest, elf, header);
  }
  guest.pc = elf.readBigUInt64LE(24);
  const cause = guest.run(engine);
  expect({ cause, pc: guest.pc.toString(16) }).toMatchObject({ cause: TRAP_ECALL });
  expect(guest.x(17)).toBe(SYS_WRITE);
  return guest.read(guest.x(11), Number(guest.x(12)));
}

function loadSegment(guest: BareGuest, elf: Buffer, header: number): void {
  const offset = Number(elf.readBigUInt64LE(header + 8));
  const address = elf.readBigUInt64LE(header + 16);
  const fileSize = Number(elf.readBigUInt64LE(header + 32));
  const permissions = (elf.readUInt32LE(header + 4) & 2) === 0 ? 'rx' : 'rw';
  const end = address + elf.readBigUInt64LE(header + 40);
  for (let page = address & ~0xfffn; page < end; page += 4096n) guest.map(page, permissions);
  guest.write(address, new Uint8Array(Number(end - address)));
  guest.write(address, elf.subarray(offset, offset + fileSize));
}

/** The first blocks whose registers differ, with what they executed. */
function differences(program: Program, expected: Buffer, actual: Uint8Array): string[] {
  const found: string[] = [];
  const ours = Buffer.from(actual);
  for (let at8 = 0; at8 < expected.length && found.length < 4; at8 += 8) {
    const want = expected.readBigUInt64LE(at8);
    const got = ours.readBigUInt64LE(at8);
    if (want === got) continue;
    const block = Math.floor(at8 / SLOT_BYTES);
    const where = block < BLOCKS ? registerName((at8 % SLOT_BYTES) / 8) : `scratch+${at8}`;
    const insns = block < BLOCKS ? at(program.blocks, block).join('\n  ') : '';
    found.push(`block ${block} ${where}: ${hex(want)} wanted, ${hex(got)} got\n  ${insns}`);
  }
  return found;
}

function registerName(slot: number): string {
  return slot < 32 ? `x${slot}` : slot < 64 ? `f${slot - 32}` : 'fcsr';
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0');
}

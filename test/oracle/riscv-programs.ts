import { at } from '../../src/base/assert.ts';
import type { Prng } from '../../src/base/prng.ts';

/**
 * Random riscv64 programs for comparing engines. A program is a row of blocks; each loads every
 * register with chosen values, executes a few random instructions, and writes every register and
 * fcsr to its slot of the result. x2 and x8 always point into the scratch buffer and x4 to the
 * result slot; no instruction writes them.
 */

/** Bytes of result per block: x0..x31, f0..f31, fcsr. */
export const SLOT_BYTES = 65 * 8;
/** Bytes of scratch memory, dumped after the slots. */
export const SCRATCH_BYTES = 8192;
const INSNS_PER_BLOCK = 24;

export type Kind = 'integer' | 'muldiv' | 'fp' | 'compressed' | 'memory' | 'atomic' | 'jump';

export interface Program {
  readonly assembly: string;
  /** The random instructions of each block, for the report of a difference. */
  readonly blocks: readonly (readonly string[])[];
  readonly counts: ReadonlyMap<Kind, number>;
}

const FIXED = [2, 4, 8];
const KINDS: readonly Kind[] = [
  'integer',
  'integer',
  'integer',
  'muldiv',
  'muldiv',
  'fp',
  'fp',
  'fp',
  'fp',
  'fp',
  'fp',
  'compressed',
  'compressed',
  'compressed',
  'memory',
  'memory',
  'atomic',
  'jump',
];

export function randomProgram(prng: Prng, blockCount: number): Program {
  const counts = new Map<Kind, number>();
  const blocks: string[][] = [];
  const text: string[] = [];
  const data: string[] = [];
  for (let b = 0; b < blockCount; b++) {
    const insns: string[] = [];
    for (let k = 0; k < INSNS_PER_BLOCK; k++) {
      const kind = one(prng, KINDS);
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      insns.push(...GENERATE[kind](prng));
    }
    blocks.push(insns);
    text.push(`block${b}:`, ...loadRegisters(b), ...insns, ...storeRegisters());
    data.push(...initialState(prng, b));
  }
  return { assembly: whole(text, data, blockCount), blocks, counts };
}

function whole(text: readonly string[], data: readonly string[], blockCount: number): string {
  return `
.option norelax
.globl _start
.text
_start:
lla x2, scratch+2048
lla x8, scratch+4096
lla x4, slots
${text.join('\n')}
li a0, 1
lla a1, slots
li a2, ${blockCount * SLOT_BYTES + SCRATCH_BYTES}
li a7, 64
ecall
li a0, 0
li a7, 93
ecall
.data
.balign 16
${data.join('\n')}
slots: .space ${blockCount * SLOT_BYTES}
scratch: .space ${SCRATCH_BYTES}
`;
}

function loadRegisters(block: number): string[] {
  const out = [`lla x1, state${block}`];
  for (let n = 0; n < 32; n++) out.push(`fld f${n}, ${8 * n}(x1)`);
  out.push(`ld x3, ${8 * 64}(x1)`, 'fscsr x3');
  for (let n = 3; n < 32; n++) if (!FIXED.includes(n)) out.push(`ld x${n}, ${256 + 8 * n}(x1)`);
  out.push('ld x1, 264(x1)');
  return out;
}

function storeRegisters(): string[] {
  const out: string[] = [];
  for (let n = 0; n < 32; n++) out.push(`sd x${n}, ${8 * n}(x4)`);
  for (let n = 0; n < 32; n++) out.push(`fsd f${n}, ${256 + 8 * n}(x4)`);
  out.push('frcsr x1', 'sd x1, 512(x4)', `addi x4, x4, ${SLOT_BYTES}`);
  return out;
}

function initialState(prng: Prng, block: number): string[] {
  const words: bigint[] = [];
  // Operands near each other make cancellation and ties likely.
  const centre = prng.below(2000) + 20;
  for (let n = 0; n < 32; n++) words.push(floatBits(prng, centre));
  for (let n = 0; n < 32; n++) words.push(integerBits(prng));
  words.push(BigInt(prng.below(5) << 5));
  return [`state${block}:`, ...words.map((w) => `.dword 0x${BigInt.asUintN(64, w).toString(16)}`)];
}

function random64(prng: Prng): bigint {
  return (BigInt(prng.next32()) << 32n) | BigInt(prng.next32());
}

function integerBits(prng: Prng): bigint {
  switch (prng.below(6)) {
    case 0:
      return BigInt(prng.below(64)) - 32n;
    case 1:
      return 1n << BigInt(prng.below(64));
    case 2:
      return one(
        prng,
        [31n, 32n, 63n, 64n].map((n) => (1n << n) - 1n - BigInt(prng.below(3))),
      );
    case 3:
      return BigInt(prng.next32() | 0);
    case 4:
      return random64(prng) >> BigInt(prng.below(64));
    default:
      return random64(prng);
  }
}

function floatBits(prng: Prng, centre: number): bigint {
  if (prng.below(20) === 0) return random64(prng);
  if (prng.below(2) === 0) {
    return 0xffffffff00000000n | formatBits(prng, 23n, 255, 1 + (centre % 250));
  }
  return formatBits(prng, 52n, 2047, centre);
}

function formatBits(prng: Prng, fraction: bigint, expMax: number, centre: number): bigint {
  const sign = BigInt(prng.below(2)) << (fraction === 23n ? 31n : 63n);
  const pack = (exponent: number, low: bigint) =>
    sign | (BigInt(exponent) << fraction) | BigInt.asUintN(Number(fraction), low);
  const bias = expMax >> 1;
  // Fractions with long runs of zeros and ones lie near ties.
  const runs = () => (random64(prng) & 7n) << BigInt(prng.below(Number(fraction)));
  const sparse = prng.below(2) === 0 ? runs() : ~runs();
  const low = one(prng, [random64(prng), sparse, 0n]);
  switch (prng.below(14)) {
    case 0:
      return pack(0, 0n);
    case 1:
      return pack(expMax, one(prng, [0n, 0n, 1n, 1n << (fraction - 1n), random64(prng) | 1n]));
    case 2:
      return pack(0, low | 1n);
    case 3:
      return pack(1 + prng.below(3), low);
    case 4:
      return pack(expMax - 1 - prng.below(3), low);
    case 5:
      return pack(bias + one(prng, [7, 30, 31, 32, 62, 63, 64]), low);
    case 6:
    case 7:
      return pack(bias + prng.below(5) - 2, low);
    case 8: // Products of two such are near the smallest normal number.
      return pack((bias >> 1) + prng.below(Number(fraction) + 4) - 2, low);
    case 9:
      return pack(bias + prng.below(Number(fraction) + 2), low);
    default:
      return pack(Math.min(expMax - 1, centre + prng.below(6)), low);
  }
}

const GENERATE: Readonly<Record<Kind, (prng: Prng) => readonly string[]>> = {
  integer,
  muldiv,
  fp,
  compressed,
  memory,
  atomic,
  jump,
};

const R_TYPE = words(
  'add sub sll slt sltu xor srl sra or and addw subw sllw srlw sraw add sub slt sltu',
);
const I_TYPE = words('addi slti sltiu xori ori andi addiw addi');
const SHIFTS = words('slli srli srai slliw srliw sraiw');
const MULDIV = words('mul mulh mulhsu mulhu div divu rem remu mulw divw divuw remw remuw');

function integer(prng: Prng): string[] {
  const rd = dest(prng);
  switch (prng.below(5)) {
    case 0:
    case 1:
      return [`${one(prng, R_TYPE)} ${rd}, ${source(prng)}, ${source(prng)}`];
    case 2:
      return [`${one(prng, I_TYPE)} ${rd}, ${source(prng)}, ${imm12(prng)}`];
    case 3: {
      const name = one(prng, SHIFTS);
      return [`${name} ${rd}, ${source(prng)}, ${prng.below(name.endsWith('w') ? 32 : 64)}`];
    }
    default:
      return [`${one(prng, ['lui', 'auipc'])} ${rd}, ${prng.below(1 << 20)}`];
  }
}

function muldiv(prng: Prng): string[] {
  return [`${one(prng, MULDIV)} ${dest(prng)}, ${source(prng)}, ${source(prng)}`];
}

const FP2 = words('fadd fsub fmul fdiv');
const FP3 = words('fmadd fmsub fnmsub fnmadd');
const FP2_UNROUNDED = words('fsgnj fsgnjn fsgnjx fmin fmax');
const INTEGERS = words('w wu l lu');

function fp(prng: Prng): string[] {
  const out = [fpInsn(prng)];
  // Reading and clearing the flags shows those of single instructions.
  if (prng.below(2) === 0) out.push(`csrrwi ${dest(prng)}, fflags, 0`);
  if (prng.below(12) === 0) out.push(csr(prng));
  return out;
}

function fpInsn(prng: Prng): string {
  const p = one(prng, ['s', 'd']);
  const f = () => `f${prng.below(32)}`;
  const rm = one(prng, ['rne', 'rne', 'rne', 'rtz', 'rdn', 'rup', 'rmm', 'dyn']);
  switch (prng.below(14)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return `${one(prng, FP2)}.${p} ${f()}, ${f()}, ${f()}, ${rm}`;
    case 4:
    case 5:
    case 6:
      return `${one(prng, FP3)}.${p} ${f()}, ${f()}, ${f()}, ${f()}, ${rm}`;
    case 7:
      return `fsqrt.${p} ${f()}, ${f()}, ${rm}`;
    case 8:
      return `${one(prng, FP2_UNROUNDED)}.${p} ${f()}, ${f()}, ${f()}`;
    case 9:
      return `${one(prng, words('feq flt fle'))}.${p} ${dest(prng)}, ${f()}, ${f()}`;
    case 10:
      return `fcvt.${one(prng, INTEGERS)}.${p} ${dest(prng)}, ${f()}, ${rm}`;
    case 11: {
      const from = one(prng, INTEGERS);
      const isExact = p === 'd' && from.startsWith('w');
      return `fcvt.${p}.${from} ${f()}, ${source(prng)}${isExact ? '' : `, ${rm}`}`;
    }
    case 12:
      return one(prng, [`fcvt.s.d ${f()}, ${f()}, ${rm}`, `fcvt.d.s ${f()}, ${f()}`]);
    default:
      return one(prng, [
        `fclass.${p} ${dest(prng)}, ${f()}`,
        `fmv.x.${p === 's' ? 'w' : 'd'} ${dest(prng)}, ${f()}`,
        `fmv.${p === 's' ? 'w' : 'd'}.x ${f()}, ${source(prng)}`,
      ]);
  }
}

function csr(prng: Prng): string {
  return one(prng, [
    `csrrwi ${dest(prng)}, frm, ${prng.below(5)}`,
    `csrrsi ${dest(prng)}, fflags, ${prng.below(32)}`,
    `csrrci ${dest(prng)}, fcsr, ${prng.below(32)}`,
    `csrrs ${dest(prng)}, fcsr, x0`,
    `csrrw ${dest(prng)}, fflags, ${source(prng)}`,
    `csrrc ${dest(prng)}, fflags, ${source(prng)}`,
  ]);
}

function compressed(prng: Prng): string[] {
  const rd = dest(prng, 1);
  const low = () => `x${9 + prng.below(7)}`;
  const anyLow = () => `x${8 + prng.below(8)}`;
  const imm6 = prng.below(64) - 32;
  const nonZero = imm6 === 0 ? 1 : imm6;
  const w = 4 * prng.below(32);
  const d = 8 * prng.below(32);
  return [
    one(prng, [
      `c.addi4spn ${low()}, sp, ${4 + 4 * prng.below(255)}`,
      `c.fld f${8 + prng.below(8)}, ${d}(x8)`,
      `c.lw ${low()}, ${w}(x8)`,
      `c.ld ${low()}, ${d}(x8)`,
      `c.fsd f${8 + prng.below(8)}, ${d}(x8)`,
      `c.sw ${anyLow()}, ${w}(x8)`,
      `c.sd ${anyLow()}, ${d}(x8)`,
      `c.addi ${rd}, ${nonZero}`,
      `c.addiw ${rd}, ${imm6}`,
      `c.li ${rd}, ${imm6}`,
      `c.lui ${rd}, ${nonZero < 0 ? 0x100000 + nonZero : nonZero}`,
      `c.srli ${low()}, ${1 + prng.below(63)}`,
      `c.srai ${low()}, ${1 + prng.below(63)}`,
      `c.andi ${low()}, ${imm6}`,
      `c.${one(prng, words('sub xor or and subw addw'))} ${low()}, ${anyLow()}`,
      `c.slli ${rd}, ${1 + prng.below(63)}`,
      `c.fldsp f${prng.below(32)}, ${d}(sp)`,
      `c.lwsp ${rd}, ${w}(sp)`,
      `c.ldsp ${rd}, ${d}(sp)`,
      `c.mv ${rd}, x${1 + prng.below(31)}`,
      `c.add ${rd}, x${1 + prng.below(31)}`,
      `c.fsdsp f${prng.below(32)}, ${d}(sp)`,
      `c.swsp ${source(prng)}, ${w}(sp)`,
      `c.sdsp ${source(prng)}, ${d}(sp)`,
      `c.addi16sp sp, 16\nc.sdsp x9, 0(sp)\nc.addi16sp sp, -16`,
    ]),
  ];
}

function memory(prng: Prng): string[] {
  const place = `${prng.below(2040)}(${one(prng, ['x2', 'x8'])})`;
  switch (prng.below(4)) {
    case 0:
    case 1:
      return [`${one(prng, words('lb lh lw ld lbu lhu lwu'))} ${dest(prng)}, ${place}`];
    case 2:
      return [`${one(prng, words('sb sh sw sd'))} ${source(prng)}, ${place}`];
    default:
      return [`${one(prng, words('flw fld fsw fsd'))} f${prng.below(32)}, ${place}`];
  }
}

const AMO = words('swap add xor and or min max minu maxu');

function atomic(prng: Prng): string[] {
  const size = one(prng, ['w', 'd']);
  const base = one(prng, ['x2', 'x8']);
  const order = one(prng, ['', '.aq', '.rl', '.aqrl']);
  const sc = `sc.${size} ${dest(prng)}, ${source(prng)}, (${base})`;
  switch (prng.below(4)) {
    case 0:
      return [`lr.${size} ${dest(prng)}, (${base})`, sc];
    case 1:
      return [
        `lr.${size} ${dest(prng)}, (${base})`,
        `sd ${source(prng)}, 0(${base})`,
        `sc.${size} ${dest(prng)}, ${source(prng)}, (${base})`,
        sc,
      ];
    default:
      return [`amo${one(prng, AMO)}.${size}${order} ${dest(prng)}, ${source(prng)}, (${base})`];
  }
}

function jump(prng: Prng): string[] {
  const skipped = integer(prng)[0] ?? 'nop';
  const low = `x${8 + prng.below(8)}`;
  const branches = words('beq bne blt bge bltu bgeu');
  const rd = dest(prng, 1);
  return one(prng, [
    [`${one(prng, branches)} ${source(prng)}, ${source(prng)}, 1f`, skipped, '1:'],
    [`c.beqz ${low}, 1f`, skipped, '1:'],
    [`c.bnez ${low}, 1f`, skipped, '1:'],
    ['c.j 1f', skipped, '1:'],
    [`jal ${dest(prng)}, 1f`, skipped, '1:'],
    [`lla ${rd}, 1f`, `jalr ${dest(prng)}, 0(${rd})`, skipped, '1:'],
    [`lla ${rd}, 1f`, `c.jr ${rd}`, skipped, '1:'],
    [`lla ${rd}, 1f`, `c.jalr ${rd}`, skipped, '1:'],
  ]);
}

function words(list: string): readonly string[] {
  return list.split(' ');
}

function one<T>(prng: Prng, items: readonly T[]): T {
  return at(items, prng.below(items.length));
}

/** A register that an instruction may write. */
function dest(prng: Prng, from = 0): string {
  for (;;) {
    const n = from + prng.below(32 - from);
    if (!FIXED.includes(n)) return `x${n}`;
  }
}

function source(prng: Prng): string {
  return `x${prng.below(32)}`;
}

function imm12(prng: Prng): number {
  return prng.below(4096) - 2048;
}

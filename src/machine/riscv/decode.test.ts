import { expect, test } from 'vitest';
import { decode, insnLength } from './decode.ts';
import * as op from './ops.ts';

// Words from `riscv64-linux-gnu-as -march=rv64gc`, GNU Binutils 2.40; the assembly is the title.
test.each([
  ['lui a0,0xfffff', 0xfffff537, { op: op.OP_LUI, rd: 10, imm: -4096 }],
  ['auipc t0,0x12345', 0x12345297, { op: op.OP_AUIPC, rd: 5, imm: 0x12345000 }],
  ['jal ra,.-2048', 0x801ff0ef, { op: op.OP_JAL, rd: 1, imm: -2048 }],
  ['jalr t1,-1(a2)', 0xfff60367, { op: op.OP_JALR, rd: 6, rs1: 12, imm: -1 }],
  ['beq a0,a1,.+4094', 0x7eb50fe3, { op: op.OP_BEQ, rs1: 10, rs2: 11, imm: 4094 }],
  ['bgeu s0,s1,.-4096', 0x80947063, { op: op.OP_BGEU, rs1: 8, rs2: 9, imm: -4096 }],
  ['lbu a0,-2048(sp)', 0x80014503, { op: op.OP_LBU, rd: 10, rs1: 2, imm: -2048 }],
  ['ld s11,2047(t6)', 0x7fffbd83, { op: op.OP_LD, rd: 27, rs1: 31, imm: 2047 }],
  ['sb a0,-1(a1)', 0xfea58fa3, { op: op.OP_SB, rs1: 11, rs2: 10, imm: -1 }],
  ['sd t6,-2048(gp)', 0x81f1b023, { op: op.OP_SD, rs1: 3, rs2: 31, imm: -2048 }],
  ['slli a0,a1,63', 0x03f59513, { op: op.OP_SLLI, rd: 10, rs1: 11, imm: 63 }],
  ['srai a0,a1,32', 0x4205d513, { op: op.OP_SRAI, rd: 10, rs1: 11, imm: 32 }],
  ['sraiw a0,a1,31', 0x41f5d51b, { op: op.OP_SRAIW, rd: 10, rs1: 11, imm: 31 }],
  ['sub ra,sp,gp', 0x403100b3, { op: op.OP_SUB, rd: 1, rs1: 2, rs2: 3 }],
  ['mulhsu tp,t0,t1', 0x0262a233, { op: op.OP_MULHSU, rd: 4, rs1: 5, rs2: 6 }],
  ['remuw t2,s0,s1', 0x029473bb, { op: op.OP_REMUW, rd: 7, rs1: 8, rs2: 9 }],
  ['lr.w.aqrl a0,(a1)', 0x1605a52f, { op: op.OP_LR_W, rd: 10, rs1: 11 }],
  ['sc.d a0,a2,(a1)', 0x18c5b52f, { op: op.OP_SC_D, rd: 10, rs1: 11, rs2: 12 }],
  ['amomaxu.w a0,a2,(a1)', 0xe0c5a52f, { op: op.OP_AMOMAXU_W, rd: 10, rs1: 11, rs2: 12 }],
  ['amominu.d a0,a2,(a1)', 0xc0c5b52f, { op: op.OP_AMOMINU_D, rd: 10, rs1: 11, rs2: 12 }],
  ['flw fa0,4(a0)', 0x00452507, { op: op.OP_FLW, rd: 10, rs1: 10, imm: 4 }],
  ['fsd fs11,-8(sp)', 0xffb13c27, { op: op.OP_FSD, rs1: 2, rs2: 27, imm: -8 }],
  [
    'fmadd.s ft1,ft2,ft3,ft4,rtz',
    0x203110c3,
    { op: op.OP_FMADD_S, rd: 1, rs1: 2, rs2: 3, rs3: 4, rm: 1 },
  ],
  [
    'fnmadd.d ft11,ft10,ft9,ft8',
    0xe3df7fcf,
    { op: op.OP_FNMADD_D, rd: 31, rs1: 30, rs2: 29, rs3: 28, rm: 7 },
  ],
  ['fsqrt.d ft1,ft2,rmm', 0x5a0140d3, { op: op.OP_FSQRT_D, rd: 1, rs1: 2, rm: 4 }],
  ['fsgnjx.s ft1,ft2,ft3', 0x203120d3, { op: op.OP_FSGNJX_S, rd: 1, rs1: 2, rs2: 3 }],
  ['fmax.d ft1,ft2,ft3', 0x2a3110d3, { op: op.OP_FMAX_D, rd: 1, rs1: 2, rs2: 3 }],
  ['fle.d a0,fa1,fa2', 0xa2c58553, { op: op.OP_FLE_D, rd: 10, rs1: 11, rs2: 12 }],
  ['fclass.s a0,fa1', 0xe0059553, { op: op.OP_FCLASS_S, rd: 10, rs1: 11 }],
  ['fcvt.lu.d a0,fa0,rup', 0xc2353553, { op: op.OP_FCVT_LU_D, rd: 10, rs1: 10, rm: 3 }],
  ['fcvt.s.wu fa0,a0,rdn', 0xd0152553, { op: op.OP_FCVT_S_WU, rd: 10, rs1: 10, rm: 2 }],
  ['fcvt.s.d fa0,fa1,rne', 0x40158553, { op: op.OP_FCVT_S_D, rd: 10, rs1: 11, rm: 0 }],
  ['fcvt.d.s fa0,fa1', 0x42058553, { op: op.OP_FCVT_D_S, rd: 10, rs1: 11, rm: 0 }],
  ['fmv.x.d a0,fa0', 0xe2050553, { op: op.OP_FMV_X_D, rd: 10, rs1: 10 }],
  ['fmv.w.x fa0,a0', 0xf0050553, { op: op.OP_FMV_W_X, rd: 10, rs1: 10 }],
  ['fence.i', 0x0000100f, { op: op.OP_FENCE_I }],
  ['fence rw,rw', 0x0330000f, { op: op.OP_FENCE }],
  ['ecall', 0x00000073, { op: op.OP_ECALL }],
  ['ebreak', 0x00100073, { op: op.OP_EBREAK }],
  ['csrrw a0,fcsr,a1', 0x00359573, { op: op.OP_CSRRW, rd: 10, rs1: 11, csr: 3 }],
  ['csrrci a0,instret,0', 0xc0207573, { op: op.OP_CSRRCI, rd: 10, rs1: 0, csr: 0xc02 }],
] as const)('%s', (_assembly, word, fields) => {
  expect(decode(word)).toMatchObject(fields);
  expect(decode(word | 0)).toEqual(decode(word));
});

test.each([
  ['all zeros', 0],
  ['all ones', 0xffffffff],
  ['mret, which is privileged', 0x30200073],
  ['wfi, which is privileged', 0x10500073],
  ['slli with a seventh bit of amount', 0x05f59513],
  ['slliw by 32', 0x0205951b],
  ['fadd.s with reserved rounding mode 5', 0x003150d3],
  ['fadd.q', 0x063100d3],
  ['lr.w with rs2', 0x1015a52f],
  ['jalr with funct3 1', 0xfff61367],
  ['ld with funct3 7', 0x7ffffd83],
])('is %s illegal?', (_what, word) => {
  expect(decode(word).op).toBe(op.OP_ILLEGAL);
});

test('every operation is reached from some word', () => {
  const seen = new Set<number>();
  // Opcode, funct3 and the upper twelve bits select; the register fields between them do not.
  for (let opcode = 3; opcode < 128; opcode += 4) {
    for (let funct3 = 0; funct3 < 8; funct3++) {
      for (let upper = 0; upper < 4096; upper++) {
        seen.add(decode((upper << 20) | (funct3 << 12) | opcode).op);
      }
    }
  }
  expect(seen.size).toBe(op.OP_COUNT);
});

test('the low two bits tell the length', () => {
  expect([0, 1, 2, 3].map(insnLength)).toEqual([2, 2, 2, 4]);
});

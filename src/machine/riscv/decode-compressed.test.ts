import { expect, test } from 'vitest';
import { decode } from './decode.ts';
import { expand } from './decode-compressed.ts';
import { OP_ILLEGAL } from './ops.ts';

// Both encodings from `riscv64-linux-gnu-as -march=rv64gc`, GNU Binutils 2.40.
test.each([
  ['c.addi4spn a0,sp,1020', 0x1fe8, 0x3fc10513],
  ['c.fld fa0,248(a5)', 0x3fe8, 0x0f87b507],
  ['c.lw a0,124(a5)', 0x5fe8, 0x07c7a503],
  ['c.ld a0,248(a5)', 0x7fe8, 0x0f87b503],
  ['c.fsd fa0,8(a0)', 0xa508, 0x00a53427],
  ['c.sw a0,64(a1)', 0xc1a8, 0x04a5a023],
  ['c.sd a0,200(a1)', 0xe5e8, 0x0ca5b423],
  ['c.nop', 0x0001, 0x00000013],
  ['c.addi a0,-32', 0x1501, 0xfe050513],
  ['c.addiw a0,31', 0x257d, 0x01f5051b],
  ['c.li t6,-1', 0x5ffd, 0xfff00f93],
  ['c.addi16sp sp,-512', 0x7101, 0xe0010113],
  ['c.addi16sp sp,496', 0x617d, 0x1f010113],
  ['c.lui a0,0xfffe0', 0x7501, 0xfffe0537],
  ['c.srli a0,63', 0x917d, 0x03f55513],
  ['c.srai a0,32', 0x9501, 0x42055513],
  ['c.andi a0,-1', 0x997d, 0xfff57513],
  ['c.sub a0,a1', 0x8d0d, 0x40b50533],
  ['c.xor a0,a1', 0x8d2d, 0x00b54533],
  ['c.or a0,a1', 0x8d4d, 0x00b56533],
  ['c.and a0,a1', 0x8d6d, 0x00b57533],
  ['c.subw a0,a1', 0x9d0d, 0x40b5053b],
  ['c.addw a0,a1', 0x9d2d, 0x00b5053b],
  ['c.j .-2048', 0xb001, 0x801ff06f],
  ['c.j .+2046', 0xaffd, 0x7fe0006f],
  ['c.beqz a0,.-256', 0xd101, 0xf00500e3],
  ['c.bnez a5,.+254', 0xeffd, 0x0e079f63],
  ['c.slli a0,63', 0x157e, 0x03f51513],
  ['c.fldsp fa0,504(sp)', 0x357e, 0x1f813507],
  ['c.lwsp a0,252(sp)', 0x557e, 0x0fc12503],
  ['c.ldsp a0,504(sp)', 0x757e, 0x1f813503],
  ['c.jr a0', 0x8502, 0x00050067],
  ['c.mv a0,a1', 0x852e, 0x00b00533],
  ['c.ebreak', 0x9002, 0x00100073],
  ['c.jalr a0', 0x9502, 0x000500e7],
  ['c.add a0,a1', 0x952e, 0x00b50533],
  ['c.fsdsp fa0,504(sp)', 0xbfaa, 0x1ea13c27],
  ['c.swsp a0,252(sp)', 0xdfaa, 0x0ea12e23],
  ['c.sdsp a0,504(sp)', 0xffaa, 0x1ea13c23],
])('%s', (_assembly, half, word) => {
  expect(expand(half) >>> 0).toBe(word);
});

test.each([
  ['the all-zero instruction', 0x0000],
  ['c.addi4spn by 0', 0x0008],
  ['c.addiw to x0', 0x2005],
  ['c.lui by 0', 0x6501],
  ['c.addi16sp by 0', 0x6101],
  ['c.lwsp to x0', 0x4002],
  ['c.ldsp to x0', 0x6002],
  ['c.jr x0', 0x8002],
  ['quadrant 0, funct3 100', 0x8000],
  ['quadrant 1, two of the word operations', 0x9c41],
])('is %s reserved?', (_what, half) => {
  expect(expand(half)).toBe(0);
});

test('every expansion is an instruction, and reserved encodings are few', () => {
  let reserved = 0;
  for (let half = 0; half < 0x10000; half++) {
    if ((half & 3) === 3) continue;
    const word = expand(half);
    if (word === 0) reserved++;
    else expect(decode(word).op, half.toString(16)).not.toBe(OP_ILLEGAL);
  }
  // funct3 100 of quadrant 0: 2048; C.ADDI4SPN by 0: 8; C.ADDIW to x0: 64; C.LUI and C.ADDI16SP by
  // 0: 32; the two word operations: 128; C.LWSP and C.LDSP to x0: 128; C.JR x0: 1.
  expect(reserved).toBe(2048 + 8 + 64 + 32 + 128 + 128 + 1);
});

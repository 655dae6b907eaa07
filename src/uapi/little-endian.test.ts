import { expect, test } from 'vitest';
import { get32, get64, put32, put64 } from './little-endian.ts';

const VALUES = [0, 1, 255, 0xfffff000, 0xffffffff, 0x1_0000_0000, 0x7fff_ffff_f000, 2 ** 53 - 1];

test.each(VALUES)('%d in 64 bits is what a DataView says', (value) => {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const signed of [value, -value]) {
    put64(bytes, 4, signed);
    expect(view.getBigInt64(4, true)).toBe(BigInt(signed));
    expect(get64(bytes, 4)).toBe(Number(view.getBigUint64(4, true)));
  }
  expect([bytes[3], bytes[12]]).toEqual([0, 0]);
});

test('32 bits wrap; bytes past the end count as 0', () => {
  const bytes = new Uint8Array(6);
  put32(bytes, 0, -2);
  put32(bytes, 4, 0x0807_0605);
  expect(get32(bytes, 0)).toBe(0xffff_fffe);
  expect([...bytes.subarray(4)]).toEqual([5, 6]);
  expect(get32(bytes, 4)).toBe(0x0605);
});

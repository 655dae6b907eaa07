import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeStruct,
  decodeUffdMsg,
  encodeField,
  encodeStruct,
  encodeUffdMsg,
  UFFDIO_API_STRUCT,
  UFFDIO_CONTINUE_STRUCT,
  UFFDIO_COPY_STRUCT,
  UFFDIO_MOVE_STRUCT,
  UFFDIO_POISON_STRUCT,
  UFFDIO_RANGE_STRUCT,
  UFFDIO_REGISTER_STRUCT,
  UFFDIO_WRITEPROTECT_STRUCT,
  UFFDIO_ZEROPAGE_STRUCT,
  type UffdMsg,
} from './userfaultfd.ts';

const address = fc.integer({ min: 0, max: 2 ** 47 });

describe('structs', () => {
  // The size in an ioctl number is bits 16-29; layouts and numbers must agree (semantics.md section 9.3).
  test.each([
    [0xc018aa3f, UFFDIO_API_STRUCT],
    [0xc020aa00, UFFDIO_REGISTER_STRUCT],
    [0x8010aa01, UFFDIO_RANGE_STRUCT],
    [0xc028aa03, UFFDIO_COPY_STRUCT],
    [0xc020aa04, UFFDIO_ZEROPAGE_STRUCT],
    [0xc028aa05, UFFDIO_MOVE_STRUCT],
    [0xc018aa06, UFFDIO_WRITEPROTECT_STRUCT],
    [0xc020aa07, UFFDIO_CONTINUE_STRUCT],
    [0xc020aa08, UFFDIO_POISON_STRUCT],
  ])('ioctl %i carries the size of its struct', (cmd, layout) => {
    expect((cmd >>> 16) & 0x3fff).toBe(layout.size);
  });

  test('what is encoded is decoded, negative out-fields included', () => {
    fc.assert(
      fc.property(
        address,
        address,
        address,
        fc.integer({ min: -4095, max: 1 }),
        (dst, src, len, copy) => {
          const values = { dst, src, len, mode: 3, copy };
          expect(
            decodeStruct(UFFDIO_COPY_STRUCT, encodeStruct(UFFDIO_COPY_STRUCT, values)),
          ).toEqual(values);
        },
      ),
    );
  });

  test('fields lie in order, 8 bytes each, little-endian', () => {
    const bytes = encodeStruct(UFFDIO_COPY_STRUCT, { dst: 0x0102, copy: -2 });
    expect([...bytes.slice(0, 8)]).toEqual([2, 1, 0, 0, 0, 0, 0, 0]);
    expect([...bytes.slice(32)]).toEqual([0xfe, 255, 255, 255, 255, 255, 255, 255]);
    expect(encodeField(UFFDIO_COPY_STRUCT, 'copy', -2)).toEqual({
      offset: 32,
      bytes: bytes.slice(32),
    });
  });

  test('a value too large for a number is never mistaken for a valid one', () => {
    const bytes = encodeStruct(UFFDIO_API_STRUCT, { features: (1n << 63n) + 1n });
    expect(decodeStruct(UFFDIO_API_STRUCT, bytes).features).toBeGreaterThan(0x1ffff);
  });
});

describe('messages', () => {
  const message: fc.Arbitrary<UffdMsg> = fc.oneof(
    fc.record({
      event: fc.constant('pagefault' as const),
      flags: fc.integer({ min: 0, max: 7 }),
      address,
      ptid: fc.integer({ min: 0, max: 0xffffffff }),
    }),
    fc.record({ event: fc.constant('fork' as const), ufd: fc.nat() }),
    fc.record({ event: fc.constant('remap' as const), from: address, to: address, len: address }),
    fc.record({
      event: fc.constantFrom('remove' as const, 'unmap' as const),
      start: address,
      end: address,
    }),
  );
  test('every message survives the trip through 32 bytes', () => {
    fc.assert(
      fc.property(message, (msg) => {
        const bytes = encodeUffdMsg(msg);
        expect(bytes.length).toBe(32);
        expect(decodeUffdMsg(bytes)).toEqual(msg);
      }),
    );
  });
  test('a page fault lies as struct uffd_msg has it', () => {
    const bytes = encodeUffdMsg({ event: 'pagefault', flags: 3, address: 0x7000, ptid: 9 });
    expect([bytes[0], bytes[8], bytes[17], bytes[24]]).toEqual([0x12, 3, 0x70, 9]);
  });
  test('bytes of no event are no message', () => {
    expect(decodeUffdMsg(new Uint8Array(32))).toBeNull();
  });
});

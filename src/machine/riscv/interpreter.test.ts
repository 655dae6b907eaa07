import { describe, expect, test } from 'vitest';
import { BareGuest, type Permissions } from '../../../test/riscv/bare-guest.ts';
import { decode } from './decode.ts';
import { HART_FUEL, HART_INSTRET, HART_RES_ADDR, HART_TRAP } from './hart-layout.ts';
import { Interpreter } from './interpreter.ts';
import * as trap from './trap.ts';

const CODE = 0x1_0000n;
const DATA = 0x2_0000n;
const ECALL = 0x00000073;

/**
 * A guest with one page of code, two neighbouring pages of data in frames that are not neighbours.
 */
function guestWith(words: readonly number[], data: Permissions = 'rw'): [BareGuest, Interpreter] {
  const guest = new BareGuest(16);
  guest.map(CODE, 'rx');
  guest.map(DATA, data);
  guest.map(0x9_0000n, 'r');
  guest.map(DATA + 4096n, data);
  guest.code(CODE, words);
  guest.pc = CODE;
  return [guest, new Interpreter(guest.buffer)];
}

// Assembled with riscv64-linux-gnu-as; a0 = x10, a1 = x11, a2 = x12.
const ADDI_A0_1 = 0x00150513; // addi a0,a0,1
const LD_A0_A1 = 0x0005b503; // ld a0,0(a1)
const SD_A0_A1 = 0x00a5b023; // sd a0,0(a1)
const LR_D_A0_A1 = 0x1005b52f; // lr.d a0,(a1)
const SC_D_A2_A0_A1 = 0x18a5b62f; // sc.d a2,a0,(a1)
const AMOADD_W_A2_A0_A1 = 0x00a5a62f; // amoadd.w a2,a0,(a1)
const J_SELF_MINUS_4 = 0xffdff06f; // j .-4

describe('budget', () => {
  test('is met exactly, and a run goes on where the last one stopped', () => {
    const [guest, engine] = guestWith([ADDI_A0_1, J_SELF_MINUS_4]);
    expect(guest.run(engine, 5)).toBe(trap.TRAP_BUDGET);
    expect([guest.x(10), guest.pc, guest.instret]).toEqual([3n, CODE + 4n, 5n]);
    expect(guest.run(engine, 1)).toBe(trap.TRAP_BUDGET);
    expect([guest.x(10), guest.pc, guest.instret]).toEqual([3n, CODE, 6n]);
  });

  test('is not consumed by an instruction that traps', () => {
    const [guest, engine] = guestWith([ADDI_A0_1, ECALL]);
    expect(guest.run(engine, 10)).toBe(trap.TRAP_ECALL);
    expect([guest.pc, guest.instret]).toEqual([CODE + 4n, 1n]);
    expect(guest.view.getUint32(HART_TRAP, true)).toBe(trap.TRAP_ECALL);
    expect(guest.view.getBigInt64(HART_FUEL, true)).toBe(9n);
  });

  test('may exceed 32 bits, and so may instret', () => {
    const [guest, engine] = guestWith([ADDI_A0_1, ECALL]);
    guest.view.setBigUint64(HART_INSTRET, 0xffff_ffffn, true);
    guest.run(engine, 2 ** 40);
    expect(guest.view.getBigInt64(HART_FUEL, true)).toBe(2n ** 40n - 1n);
    expect(guest.instret).toBe(0x1_0000_0000n);
  });

  test('rdinstret counts the instructions before it', () => {
    const [guest, engine] = guestWith([ADDI_A0_1, 0xc02025f3, ECALL]); // csrr a1,instret
    guest.run(engine);
    expect(guest.x(11)).toBe(1n);
  });
});

describe('precise traps', () => {
  test.each([
    ['ld without an entry', LD_A0_A1, 0x7_0008n, trap.TRAP_LOAD, 0x7_0008n],
    ['sd without an entry', SD_A0_A1, 0x7_0008n, trap.TRAP_STORE, 0x7_0008n],
    ['ld whose second page is missing', LD_A0_A1, DATA + 0x1ffdn, trap.TRAP_LOAD, DATA + 0x2000n],
    ['sd whose second page is missing', SD_A0_A1, DATA + 0x1ffdn, trap.TRAP_STORE, DATA + 0x2000n],
    ['ld whose first page is missing', LD_A0_A1, DATA - 3n, trap.TRAP_LOAD, DATA - 3n],
    ['lr.d at 4 mod 8', LR_D_A0_A1, DATA + 4n, trap.TRAP_MISALIGNED, DATA + 4n],
    ['sc.d at 4 mod 8', SC_D_A2_A0_A1, DATA + 4n, trap.TRAP_MISALIGNED, DATA + 4n],
    ['amoadd.w at 2 mod 4', AMOADD_W_A2_A0_A1, DATA + 2n, trap.TRAP_MISALIGNED, DATA + 2n],
    ['lr.d without an entry', LR_D_A0_A1, 0x7_0008n, trap.TRAP_LOAD, 0x7_0008n],
    ['amoadd.w without an entry', AMOADD_W_A2_A0_A1, 0x7_0008n, trap.TRAP_STORE, 0x7_0008n],
    ['an address with all high bits', LD_A0_A1, -8n, trap.TRAP_LOAD, 2n ** 64n - 8n],
    ['the same page 2^58 bytes away', LD_A0_A1, DATA + 2n ** 58n, trap.TRAP_LOAD, DATA + 2n ** 58n],
  ])('%s changes nothing and names the byte', (_what, word, address, cause, trapAddress) => {
    const [guest, engine] = guestWith([word, ECALL]);
    guest.setX(10, 0x1122334455667788n);
    guest.setX(11, address);
    const before = guest.architecturalState();
    const memory = guest.read(DATA, 8192);
    expect(guest.run(engine)).toBe(cause);
    expect(guest.trapAddress).toBe(trapAddress);
    expect(guest.architecturalState()).toBe(before);
    expect(guest.read(DATA, 8192)).toEqual(memory);
  });

  test('stores, SC and AMOs need a writable entry', () => {
    for (const word of [SD_A0_A1, SC_D_A2_A0_A1, AMOADD_W_A2_A0_A1]) {
      const [guest, engine] = guestWith([word, ECALL], 'r');
      guest.setX(11, DATA);
      expect(guest.run(engine)).toBe(trap.TRAP_STORE);
      guest.map(DATA, 'rw');
      expect(guest.run(engine)).toBe(trap.TRAP_ECALL);
    }
  });

  test.each([
    ['a reserved word', 0xffffffff, 0xffffffffn],
    ['a reserved half', 0x8000, 0x8000n],
    ['a CSR that a user program has not', 0x100025f3, 0x100025f3n], // csrr a1,sstatus
    ['a write to a read-only CSR', 0xc0259573, 0xc0259573n], // csrrw a0,instret,a1
    ['fadd.d with the invalid mode in frm', 0x02b57553, 0x02b57553n],
    ['fcvt.d.w with the invalid mode in frm', 0xd2057553, 0xd2057553n],
  ])('%s is illegal and told as it stands in memory', (_what, word, raw) => {
    const [guest, engine] = guestWith([word, ECALL]);
    guest.fcsr = 5 << 5;
    const before = guest.architecturalState();
    expect(guest.run(engine)).toBe(trap.TRAP_ILLEGAL);
    expect(guest.trapAddress).toBe(raw);
    expect(guest.architecturalState()).toBe(before);
  });
});

describe('fetch', () => {
  test('needs an executable entry', () => {
    const [guest, engine] = guestWith([ECALL]);
    guest.pc = DATA + 2n;
    expect(guest.run(engine)).toBe(trap.TRAP_FETCH);
    expect([guest.trapAddress, guest.pc]).toEqual([DATA + 2n, DATA + 2n]);
  });

  test('an instruction may straddle pages, and traps at the second if that is missing', () => {
    const [guest, engine] = guestWith([]);
    guest.map(0xa_0000n, 'r');
    guest.map(CODE + 0x1000n, 'r');
    guest.code(CODE + 0xffen, [ADDI_A0_1, ECALL]);
    guest.pc = CODE + 0xffen;
    expect(guest.run(engine)).toBe(trap.TRAP_FETCH);
    expect([guest.trapAddress, guest.pc, guest.x(10)]).toEqual([CODE + 0x1000n, CODE + 0xffen, 0n]);
    guest.map(CODE + 0x1000n, 'rx');
    expect(guest.run(engine)).toBe(trap.TRAP_ECALL);
    expect([guest.x(10), guest.pc]).toEqual([1n, CODE + 0x1002n]);
  });

  test('does changed code run, told or not?', () => {
    const [guest, engine] = guestWith([ADDI_A0_1, ECALL]);
    const frame = guest.map(CODE, 'rx');
    guest.run(engine);
    guest.code(CODE, [0x00250513]); // addi a0,a0,2
    engine.invalidateFrame(frame);
    guest.pc = CODE;
    guest.run(engine);
    expect(guest.x(10)).toBe(3n);
  });

  test('does growing the memory leave the engine working?', () => {
    const [guest, engine] = guestWith([ADDI_A0_1, ADDI_A0_1, ECALL]);
    guest.run(engine, 1);
    guest.memory.grow(1);
    expect(guest.run(engine)).toBe(trap.TRAP_ECALL);
    expect(guest.x(10)).toBe(2n);
  });
});

describe('memory', () => {
  test('misaligned and page-crossing accesses reach the right bytes', () => {
    for (const offset of [0n, 1n, 2n, 3n, 4n, 5n, 0xff9n, 0xffcn, 0xffdn, 0xfffn]) {
      const [guest, engine] = guestWith([SD_A0_A1, 0x0005b603, ECALL]); // ld a2,0(a1)
      guest.setX(10, 0x8877665544332211n);
      guest.setX(11, DATA + offset);
      expect(guest.run(engine)).toBe(trap.TRAP_ECALL);
      expect(guest.x(12)).toBe(0x8877665544332211n);
      const bytes = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
      expect([...guest.read(DATA + offset, 8)]).toEqual(bytes);
    }
  });

  test('do frames beyond 2 GiB work?', () => {
    const guest = new BareGuest(16, (5 * 2 ** 29) / 4096);
    guest.map(CODE, 'rx');
    guest.map(DATA, 'rw');
    guest.map(DATA + 4096n, 'rw');
    // sd a0,0(a1); ld a2,0(a1); amoadd.w a3,a0,(a4)
    guest.code(CODE, [SD_A0_A1, 0x0005b603, 0x00a726af, ECALL]);
    guest.pc = CODE;
    guest.setX(10, 0x8877665544332211n);
    guest.setX(11, DATA + 0xffdn);
    guest.setX(14, DATA + 0x1000n);
    expect(guest.run(new Interpreter(guest.buffer))).toBe(trap.TRAP_ECALL);
    expect([guest.x(12), guest.x(13)]).toEqual([0x8877665544332211n, 0x77665544n]);
  });

  test('x0 stays zero when an instruction writes it', () => {
    const [guest, engine] = guestWith([0x0005b003, 0x00158013, 0x0205c033, ECALL]);
    guest.setX(11, DATA);
    guest.write(DATA, Uint8Array.of(1));
    expect(guest.run(engine)).toBe(trap.TRAP_ECALL); // ld x0,0(a1); addi x0,a1,1; div x0,a1,x0
    expect(guest.x(0)).toBe(0n);
  });
});

describe('reservations', () => {
  function reserved(
    change: (guest: BareGuest) => void,
    words = [LR_D_A0_A1, SC_D_A2_A0_A1],
  ): bigint {
    const [guest, engine] = guestWith([...words, ECALL]);
    guest.setX(11, DATA);
    guest.run(engine, 1);
    change(guest);
    guest.setX(10, 7n);
    expect(guest.run(engine)).toBe(trap.TRAP_ECALL);
    expect(guest.view.getBigInt64(HART_RES_ADDR, true)).toBe(-1n);
    expect(guest.read(DATA, 1)[0] === 7).toBe(guest.x(12) === 0n);
    return guest.x(12);
  }

  test('SC after LR stores', () => {
    expect(reserved(() => {})).toBe(0n);
  });
  test('SC fails when the memory changed', () => {
    expect(reserved((guest) => guest.write(DATA + 7n, Uint8Array.of(1)))).toBe(1n);
  });
  test('SC fails at another address', () => {
    expect(reserved((guest) => guest.setX(11, DATA + 8n))).toBe(1n);
  });
  test('SC fails with another size', () => {
    expect(reserved(() => {}, [0x1005a52f, SC_D_A2_A0_A1])).toBe(1n); // lr.w a0,(a1)
  });
  test('SC fails when the kernel has cleared the reservation', () => {
    expect(reserved((guest) => guest.view.setBigInt64(HART_RES_ADDR, -1n, true))).toBe(1n);
  });
  test('a trap between LR and SC leaves the reservation', () => {
    const between = [LR_D_A0_A1, SC_D_A2_A0_A1];
    expect(
      reserved((guest) => {
        const engine = new Interpreter(guest.buffer);
        guest.map(DATA, 'r');
        expect(guest.run(engine)).toBe(trap.TRAP_STORE);
        guest.map(DATA, 'rw');
      }, between),
    ).toBe(0n);
  });
});

describe('floating point', () => {
  test('single-precision results are NaN-boxed, and flags accrue', () => {
    const [guest, engine] = guestWith([0x18b57553, ECALL]); // fdiv.s fa0,fa0,fa1
    guest.setF(10, 0xffffffff_3f800000n);
    guest.setF(11, 0xffffffff_40400000n);
    guest.fcsr = 8;
    guest.run(engine);
    expect([guest.f(10), guest.fcsr]).toEqual([0xffffffff_3eaaaaabn, 9]);
  });

  test('an operand that is not boxed counts as a NaN', () => {
    const [guest, engine] = guestWith([0x00b57553, ECALL]); // fadd.s fa0,fa0,fa1
    guest.setF(10, 0x3f800000n);
    guest.setF(11, 0xffffffff_3f800000n);
    guest.run(engine);
    expect([guest.f(10), guest.fcsr]).toEqual([0xffffffff_7fc00000n, 0]);
  });

  test('loads and stores keep a signaling NaN', () => {
    // fld fa0,0(a1); fsd fa0,8(a1); flw fa0,0(a1)
    const [guest, engine] = guestWith([0x0005b507, 0x00a5b427, 0x0005a507, ECALL]);
    guest.setX(11, DATA);
    const bytes = Uint8Array.of(1, 0, 0x80, 0x7f, 0, 0, 0xf0, 0x7f);
    guest.write(DATA, bytes);
    guest.run(engine);
    expect(guest.read(DATA + 8n, 8)).toEqual(bytes);
    expect(guest.f(10)).toBe(0xffffffff_7f800001n);
  });
});

test('execute does one instruction out of line', () => {
  const [guest, engine] = guestWith([]);
  guest.setX(11, 6n);
  expect(engine.execute(guest.hart, decode(0x02b58533))).toBe(-1); // mul a0,a1,a1
  expect([guest.x(10), guest.pc, guest.instret]).toEqual([36n, CODE, 0n]);
});

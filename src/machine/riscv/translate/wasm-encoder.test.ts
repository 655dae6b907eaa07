import { expect, test } from 'vitest';
import { Bytes, Code, encodeModule } from './wasm-encoder.ts';
import * as w from './wasm-opcodes.ts';

function signed(value: number): number[] {
  const bytes = new Bytes();
  bytes.signed(value);
  return [...bytes.view()];
}

/** A module with one unit, called with (2, 3). */
function run(write: (code: Code) => void): number {
  const code = new Code();
  write(code);
  const module = new WebAssembly.Module(encodeModule([{ locals: [[1, w.T_I64]], code }]));
  const env = {
    step: (a: number, b: number) => a * 100 + b,
    memory: new WebAssembly.Memory({ initial: 1 }),
    table: new WebAssembly.Table({ element: 'anyfunc', initial: 1 }),
  };
  const unit = new WebAssembly.Instance(module, { env }).exports['0'];
  return (unit as (hart: number, entry: number) => number)(2, 3);
}

test('signed LEB128 at the edges of its byte counts, as the specification has it', () => {
  expect(signed(0)).toEqual([0]);
  expect(signed(63)).toEqual([63]);
  expect(signed(64)).toEqual([0xc0, 0]);
  expect(signed(-64)).toEqual([0x40]);
  expect(signed(-65)).toEqual([0xbf, 0x7f]);
  expect(signed(-123456)).toEqual([0xc0, 0xbb, 0x78]); // the example of §5.2.2's note
  expect(signed(-(2 ** 63))).toEqual([...new Array<number>(9).fill(0x80), 0x7f]);
});

test('does a 64-bit constant arrive whole?', () => {
  for (const value of [0, -1, 2 ** 31, -(2 ** 31) - 1, 0x7fff_ffff_f000, -(2 ** 63)]) {
    const isEqual = run((code) => {
      code.i64(value);
      code.set(2);
      code.get(2);
      code.i64(Math.floor(value / 2 ** 32));
      code.i64(32);
      code.op(w.W_I64_SHL);
      code.i64(value - Math.floor(value / 2 ** 32) * 2 ** 32);
      code.op(w.W_I64_ADD);
      code.op(w.W_I64_EQ);
    });
    expect(isEqual, String(value)).toBe(1);
  }
});

test('do branches find the label they name through nested blocks?', () => {
  const chosen = run((code) => {
    const outer = code.open(w.W_BLOCK, w.T_I32);
    const middle = code.open(w.W_BLOCK, w.T_VOID);
    const inner = code.open(w.W_BLOCK, w.T_VOID);
    code.get(1);
    code.brTable([inner, inner, inner], middle);
    code.end();
    code.i32(10);
    code.br(outer);
    code.end();
    code.i32(20);
    code.end();
  });
  expect(chosen).toBe(20); // entry 3 is beyond the table
});

test('is the imported step called with the hart and the word?', () => {
  const result = run((code) => {
    code.get(0);
    code.get(1);
    code.call(0);
  });
  expect(result).toBe(203);
});

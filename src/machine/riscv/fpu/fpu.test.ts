import { expect, test } from 'vitest';
import { Prng } from '../../../base/prng.ts';
import { fpAdd, fpDiv, fpFma, fpMul, fpSqrt, fpSub } from './arithmetic.ts';
import { fpClass, fpEq, fpLe, fpLt, fpMax, fpMin, fpSignInject, unboxSingle } from './compare.ts';
import { fpConvert, fpFromInt, fpToInt } from './convert.ts';
import * as fmt from './format.ts';
import * as native from './native.ts';

const { F32, F64, RNE, RTZ, RDN, RUP, RMM } = fmt;
const NX = fmt.FLAG_NX;
const UF = fmt.FLAG_UF;
const OF = fmt.FLAG_OF;
const DZ = fmt.FLAG_DZ;
const NV = fmt.FLAG_NV;

const view = new DataView(new ArrayBuffer(8));
function d(value: number): bigint {
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}
function s(value: number): bigint {
  view.setFloat32(0, value);
  return BigInt(view.getUint32(0));
}
function number(f: fmt.Format, bits: bigint): number {
  if (f === F64) {
    view.setBigUint64(0, bits);
    return view.getFloat64(0);
  }
  view.setUint32(0, Number(bits));
  return view.getFloat32(0);
}

type Operation = (flags: fmt.FpFlags) => bigint | boolean;
function outcome(operation: Operation): readonly [bigint | boolean, number] {
  const flags = { bits: 0 };
  return [operation(flags), flags.bits];
}

const MIN = 2 ** -1022;
const TINY = 2 ** -1074;
const MAX = Number.MAX_VALUE;
const QNAN = F64.canonicalNaN;
const SNAN = 0x7ff0_0000_0000_0001n;
const INF = d(Infinity);

const HARD: readonly (readonly [string, Operation, bigint | boolean, number])[] = [
  ['a tie goes to even', (e) => fpAdd(F64, d(1), d(2 ** -53), RNE, e), d(1), NX],
  ['a tie goes away in RMM', (e) => fpAdd(F64, d(1), d(2 ** -53), RMM, e), d(1 + 2 ** -52), NX],
  ['RUP lifts by the least', (e) => fpAdd(F64, d(1), d(TINY), RUP, e), d(1 + 2 ** -52), NX],
  ['RDN lowers by the least', (e) => fpSub(F64, d(1), d(TINY), RDN, e), d(1 - 2 ** -53), NX],
  ['RTZ truncates', (e) => fpSub(F64, d(-1), d(-TINY), RTZ, e), d(-(1 - 2 ** -53)), NX],
  ['x - x is +0', (e) => fpSub(F64, d(3), d(3), RNE, e), d(0), 0],
  ['x - x is -0 in RDN', (e) => fpSub(F64, d(3), d(3), RDN, e), d(-0), 0],
  ['-0 + -0 is -0', (e) => fpAdd(F64, d(-0), d(-0), RUP, e), d(-0), 0],
  ['inf - inf is invalid', (e) => fpSub(F64, INF, INF, RNE, e), QNAN, NV],
  ['quiet NaN is silent', (e) => fpAdd(F64, QNAN | 5n, d(1), RNE, e), QNAN, 0],
  ['signaling NaN is not', (e) => fpMul(F64, d(1), SNAN, RNE, e), QNAN, NV],
  ['0 * inf is invalid', (e) => fpMul(F64, d(0), INF, RNE, e), QNAN, NV],
  ['overflow to infinity', (e) => fpMul(F64, d(MAX), d(2), RNE, e), INF, OF | NX],
  ['overflow to the largest', (e) => fpMul(F64, d(MAX), d(-2), RUP, e), d(-MAX), OF | NX],
  ['subnormal sums are exact', (e) => fpAdd(F64, d(TINY), d(TINY), RNE, e), d(2 * TINY), 0],
  ['exact subnormal: no UF', (e) => fpMul(F64, d(MIN), d(0.5), RNE, e), d(MIN / 2), 0],
  [
    'inexact subnormal: UF',
    (e) => fpMul(F64, d(MIN), d(0.5 + 2 ** -53), RNE, e),
    d(MIN / 2),
    UF | NX,
  ],
  ['half the least rounds to 0', (e) => fpMul(F64, d(TINY), d(0.5), RNE, e), d(0), UF | NX],
  ['or up to the least', (e) => fpMul(F64, d(TINY), d(0.5), RMM, e), d(TINY), UF | NX],
  // 2^-1022 - 2^-1076, with an unbounded exponent, rounds to the smallest normal or just below it.
  ['tininess is detected after rounding', (e) => belowMin(RNE, e), d(MIN), NX],
  ['tiny after rounding down', (e) => belowMin(RDN, e), d(MIN - TINY), UF | NX],
  ['1/0 divides by zero', (e) => fpDiv(F64, d(-1), d(0), RNE, e), d(-Infinity), DZ],
  ['0/0 is invalid', (e) => fpDiv(F64, d(0), d(0), RNE, e), QNAN, NV],
  ['inf/0 is exact', (e) => fpDiv(F64, INF, d(-0), RNE, e), d(-Infinity), 0],
  ['1/3 up', (e) => fpDiv(F32, s(1), s(3), RUP, e), 0x3eaaaaabn, NX],
  ['1/3 down', (e) => fpDiv(F32, s(1), s(3), RDN, e), 0x3eaaaaaan, NX],
  ['least / greatest', (e) => fpDiv(F64, d(TINY), d(MAX), RUP, e), d(TINY), UF | NX],
  ['sqrt 2', (e) => fpSqrt(F64, d(2), RNE, e), d(Math.SQRT2), NX],
  ['sqrt of the least', (e) => fpSqrt(F64, d(TINY), RNE, e), d(2 ** -537), 0],
  ['sqrt -0', (e) => fpSqrt(F64, d(-0), RNE, e), d(-0), 0],
  ['sqrt -1', (e) => fpSqrt(F64, d(-1), RNE, e), QNAN, NV],
  [
    // (1 + 2^-27)^2 = 1 + 2^-26 + 2^-54: the last term is lost by a rounded product.
    'fma keeps the whole product',
    (e) => fpFma(F64, d(1 + 2 ** -27), d(1 + 2 ** -27), d(-(1 + 2 ** -26)), RNE, e),
    d(2 ** -54),
    0,
  ],
  [
    'fma rounds once',
    (e) => fpFma(F32, s(1 + 2 ** -12), s(1 + 2 ** -12), s(2 ** -40), RNE, e),
    s(1 + 2 ** -11 + 2 ** -23),
    NX,
  ],
  ['inf * 0 + quiet NaN is invalid', (e) => fpFma(F64, INF, d(0), QNAN, RNE, e), QNAN, NV],
  ['inf * 1 - inf is invalid', (e) => fpFma(F64, INF, d(1), d(-Infinity), RNE, e), QNAN, NV],
  ['fma cancels to -0 in RDN', (e) => fpFma(F64, d(2), d(3), d(-6), RDN, e), d(-0), 0],
  [
    'MAX*MAX-MAX overflows once',
    (e) => fpFma(F64, d(MAX), d(MAX), d(-MAX), RTZ, e),
    d(MAX),
    OF | NX,
  ],
  ['feq is quiet', (e) => fpEq(F64, QNAN, d(1), e), false, 0],
  ['feq on a signaling NaN', (e) => fpEq(F64, SNAN, d(1), e), false, NV],
  ['-0 equals +0', (e) => fpEq(F64, d(-0), d(0), e), true, 0],
  ['flt is signaling', (e) => fpLt(F64, QNAN, d(1), e), false, NV],
  ['-0 is not less than +0', (e) => fpLt(F64, d(-0), d(0), e), false, 0],
  ['fle orders negatives', (e) => fpLe(F64, d(-2), d(-1), e), true, 0],
  ['min(-0, +0)', (e) => fpMin(F64, d(0), d(-0), e), d(-0), 0],
  ['max(-0, +0)', (e) => fpMax(F64, d(-0), d(0), e), d(0), 0],
  ['min with a quiet NaN', (e) => fpMin(F64, QNAN, d(1), e), d(1), 0],
  ['max with a signaling NaN', (e) => fpMax(F64, d(1), SNAN, e), d(1), NV],
  ['min of two NaNs', (e) => fpMin(F64, QNAN | 1n, SNAN, e), QNAN, NV],
  ['2^31 to int32', (e) => fpToInt(F64, d(2 ** 31), 32, true, RTZ, e), 2n ** 31n - 1n, NV],
  [
    '2^31 - 0.5 truncated',
    (e) => fpToInt(F64, d(2 ** 31 - 0.5), 32, true, RTZ, e),
    2n ** 31n - 1n,
    NX,
  ],
  [
    '2^31 - 0.5 rounded',
    (e) => fpToInt(F64, d(2 ** 31 - 0.5), 32, true, RNE, e),
    2n ** 31n - 1n,
    NV,
  ],
  ['-2^31 fits', (e) => fpToInt(F64, d(-(2 ** 31)), 32, true, RNE, e), -(2n ** 31n), 0],
  ['NaN to int64', (e) => fpToInt(F64, QNAN, 64, true, RNE, e), 2n ** 63n - 1n, NV],
  ['-inf to uint64', (e) => fpToInt(F64, d(-Infinity), 64, false, RNE, e), 0n, NV],
  ['-0.5 to uint32 truncated', (e) => fpToInt(F64, d(-0.5), 32, false, RTZ, e), 0n, NX],
  ['-0.5 to uint32 down', (e) => fpToInt(F64, d(-0.5), 32, false, RDN, e), 0n, NV],
  ['2.5 to even', (e) => fpToInt(F32, s(2.5), 32, true, RNE, e), 2n, NX],
  ['2.5 away', (e) => fpToInt(F32, s(2.5), 32, true, RMM, e), 3n, NX],
  ['2^64 to uint64', (e) => fpToInt(F32, s(2 ** 64), 64, false, RNE, e), 2n ** 64n - 1n, NV],
  ['2^53 + 1 to double', (e) => fpFromInt(F64, 2n ** 53n + 1n, RNE, e), d(2 ** 53), NX],
  ['2^64 - 1 to single', (e) => fpFromInt(F32, 2n ** 64n - 1n, RTZ, e), s(2 ** 64 - 2 ** 40), NX],
  ['0 to single', (e) => fpFromInt(F32, 0n, RDN, e), 0n, 0],
  ['1e300 to single', (e) => fpConvert(F64, F32, d(1e300), RNE, e), s(Infinity), OF | NX],
  ['1e-300 to single, up', (e) => fpConvert(F64, F32, d(1e-300), RUP, e), 1n, UF | NX],
  ['signaling NaN to double', (e) => fpConvert(F32, F64, 0xff800001n, RNE, e), QNAN, NV],
  ['subnormal single to double', (e) => fpConvert(F32, F64, 1n, RNE, e), d(2 ** -149), 0],
];

function belowMin(rm: number, flags: fmt.FpFlags): bigint {
  return fpFma(F64, d(-(2 ** -538)), d(2 ** -538), d(MIN), rm, flags);
}

test.each(HARD)('%s', (_what, operation, bits, flags) => {
  expect(outcome(operation)).toEqual([bits, flags]);
});

test('which class has each kind of number?', () => {
  const inOrder = [-Infinity, -1, -TINY, -0, 0, TINY, 1, Infinity].map(d);
  const masks = [...inOrder, SNAN, QNAN].map((bits) => fpClass(F64, bits));
  expect(masks).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
});

test('sign injection takes, negates and mixes the second sign', () => {
  const inject = (kind: number) => fpSignInject(F64, kind, d(-1), d(-2));
  expect([0, 1, 2].map(inject)).toEqual([d(-1), d(1), d(1)]);
});

test('a single that is not NaN-boxed reads as the canonical NaN', () => {
  expect(unboxSingle(0xffffffff_3f800000n)).toBe(s(1));
  expect(unboxSingle(0xfffffffe_3f800000n)).toBe(F32.canonicalNaN);
});

/** Bits around which rounding, cancellation and the ends of the range lie. */
function randomDouble(prng: Prng): number {
  const exponent = BigInt(prng.below(3) === 0 ? prng.below(2047) : 1000 + prng.below(50));
  const low = (BigInt(prng.next32()) << 32n) | BigInt(prng.next32());
  const fraction = prng.below(3) === 0 ? low & (7n << BigInt(prng.below(50))) : low >> 12n;
  const sign = BigInt(prng.below(2)) << 63n;
  return number(F64, sign | (exponent << 52n) | BigInt.asUintN(52, fraction));
}

test('does round-to-nearest agree with the host on 20000 random doubles and singles?', () => {
  const prng = new Prng(1);
  const none = { bits: 0 };
  for (let n = 0; n < 20_000; n++) {
    const a = randomDouble(prng);
    const b = randomDouble(prng);
    const [x, y] = [d(a), d(b)];
    const nan = (value: number) => (Number.isNaN(value) ? QNAN : d(value));
    expect(fpAdd(F64, x, y, RNE, none)).toBe(nan(a + b));
    expect(fpMul(F64, x, y, RNE, none)).toBe(nan(a * b));
    expect(fpDiv(F64, x, y, RNE, none)).toBe(nan(a / b));
    expect(fpSqrt(F64, x & ~F64.signBit, RNE, none)).toBe(nan(Math.sqrt(Math.abs(a))));
    expect(fpConvert(F64, F32, x, RNE, none)).toBe(s(Math.fround(a)));
    const [p, q] = [Math.fround(a), Math.fround(b)];
    const product = Math.fround(p * q);
    expect(fpMul(F32, s(p), s(q), RNE, none)).toBe(
      Number.isNaN(product) ? F32.canonicalNaN : s(product),
    );
  }
});

type Fast = (a: number, b: number, flags: fmt.FpFlags) => number;
type Exact = (a: bigint, b: bigint, flags: fmt.FpFlags) => bigint;
const PAIRS: readonly (readonly [string, fmt.Format, Fast, Exact])[] = [
  ['addDouble', F64, native.addDouble, (a, b, e) => fpAdd(F64, a, b, RNE, e)],
  ['mulDouble', F64, native.mulDouble, (a, b, e) => fpMul(F64, a, b, RNE, e)],
  ['divDouble', F64, native.divDouble, (a, b, e) => fpDiv(F64, a, b, RNE, e)],
  ['sqrtDouble', F64, (a, _b, e) => native.sqrtDouble(a, e), (a, _b, e) => fpSqrt(F64, a, RNE, e)],
  ['addSingle', F32, native.addSingle, (a, b, e) => fpAdd(F32, a, b, RNE, e)],
  ['mulSingle', F32, native.mulSingle, (a, b, e) => fpMul(F32, a, b, RNE, e)],
  ['divSingle', F32, native.divSingle, (a, b, e) => fpDiv(F32, a, b, RNE, e)],
  ['sqrtSingle', F32, (a, _b, e) => native.sqrtSingle(a, e), (a, _b, e) => fpSqrt(F32, a, RNE, e)],
];

test.each(PAIRS)('does %s give the exact result and flags where it gives any?', (...pair) => {
  const [, f, fast, exact] = pair;
  const prng = new Prng(2);
  const bits = f === F64 ? d : s;
  let answered = 0;
  for (let n = 0; n < 20_000; n++) {
    const [a, b] = [randomDouble(prng), randomDouble(prng)].map((v) => number(f, bits(v)));
    const flags = { bits: 0 };
    const result = fast(a ?? 0, b ?? 0, flags);
    if (Number.isNaN(result)) {
      expect(flags.bits).toBe(0);
      continue;
    }
    answered++;
    const want = { bits: 0 };
    expect(bits(result), `${a} ${b}`).toBe(exact(bits(a ?? 0), bits(b ?? 0), want));
    expect(flags.bits, `${a} ${b}`).toBe(want.bits);
  }
  expect(answered).toBeGreaterThan(2000);
});

test.each([
  ['fmaDouble', F64, native.fmaDouble],
  ['fmaSingle', F32, native.fmaSingle],
] as const)('does %s give the exact result and flags where it gives any?', (_name, f, fast) => {
  const prng = new Prng(3);
  const bits = f === F64 ? d : s;
  let answered = 0;
  for (let n = 0; n < 30_000; n++) {
    const a = number(f, bits(randomDouble(prng)));
    const b = number(f, bits(randomDouble(prng)));
    // Half of the addends cancel the product, all or nearly.
    const near = number(f, bits(-a * b)) * (1 + (prng.below(5) - 2) * 2 ** -(prng.below(30) + 22));
    const c = number(f, bits(prng.below(2) === 0 ? near : randomDouble(prng)));
    const flags = { bits: 0 };
    const result = fast(a, b, c, flags);
    if (Number.isNaN(result)) {
      expect(flags.bits).toBe(0);
      continue;
    }
    answered++;
    const want = { bits: 0 };
    expect(bits(result), `${a} ${b} ${c}`).toBe(fpFma(f, bits(a), bits(b), bits(c), RNE, want));
    expect(flags.bits, `${a} ${b} ${c}`).toBe(want.bits);
  }
  expect(answered).toBeGreaterThan(10_000);
});

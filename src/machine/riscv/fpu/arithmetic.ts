/**
 * Addition, multiplication, division, square root and fused multiply-add, correctly rounded: the
 * exact result as an integer times a power of two, then one rounding. Operands and results are raw
 * bits in the format's width.
 */
import {
  bitLength,
  FLAG_DZ,
  FLAG_NV,
  type Format,
  type FpFlags,
  isNan,
  isZero,
  packInfinity,
  packZero,
  RDN,
  roundPack,
  type Unpacked,
  unpack,
} from './format.ts';

export function fpAdd(f: Format, a: bigint, b: bigint, rm: number, flags: FpFlags): bigint {
  return addUnpacked(f, unpack(f, a), unpack(f, b), rm, flags);
}

export function fpSub(f: Format, a: bigint, b: bigint, rm: number, flags: FpFlags): bigint {
  return addUnpacked(f, unpack(f, a), unpack(f, b ^ f.signBit), rm, flags);
}

export function fpMul(f: Format, a: bigint, b: bigint, rm: number, flags: FpFlags): bigint {
  const x = unpack(f, a);
  const y = unpack(f, b);
  if (isNan(x) || isNan(y)) return nan(f, flags, x, y);
  const sign = x.sign ^ y.sign;
  if (x.kind === 'infinite' || y.kind === 'infinite') {
    return isZero(x) || isZero(y) ? invalid(f, flags) : packInfinity(f, sign);
  }
  if (isZero(x) || isZero(y)) return packZero(f, sign);
  return roundPack(f, sign, x.mantissa * y.mantissa, x.exponent + y.exponent, rm, flags);
}

export function fpDiv(f: Format, a: bigint, b: bigint, rm: number, flags: FpFlags): bigint {
  const x = unpack(f, a);
  const y = unpack(f, b);
  if (isNan(x) || isNan(y)) return nan(f, flags, x, y);
  const sign = x.sign ^ y.sign;
  if (x.kind === 'infinite') {
    return y.kind === 'infinite' ? invalid(f, flags) : packInfinity(f, sign);
  }
  if (y.kind === 'infinite') return packZero(f, sign);
  if (isZero(y)) {
    if (isZero(x)) return invalid(f, flags);
    flags.bits |= FLAG_DZ;
    return packInfinity(f, sign);
  }
  if (isZero(x)) return packZero(f, sign);
  // A subnormal dividend is at most precision - 1 bits shorter than the divisor, so this leaves
  // precision + 3 bits.
  const scale = 2 * f.precision + 3;
  const dividend = x.mantissa << BigInt(scale);
  const quotient = dividend / y.mantissa;
  const jammed = (quotient << 1n) | (quotient * y.mantissa === dividend ? 0n : 1n);
  return roundPack(f, sign, jammed, x.exponent - y.exponent - scale - 1, rm, flags);
}

export function fpSqrt(f: Format, a: bigint, rm: number, flags: FpFlags): bigint {
  const x = unpack(f, a);
  if (isNan(x)) return nan(f, flags, x);
  if (isZero(x)) return a;
  if (x.sign === 1) return invalid(f, flags);
  if (x.kind === 'infinite') return a;
  // Twice the wanted bits under the root, and an even exponent.
  let scale = 2 * f.precision + 6;
  if (((x.exponent - scale) & 1) !== 0) scale++;
  const radicand = x.mantissa << BigInt(scale);
  const root = integerSqrt(radicand);
  const jammed = (root << 1n) | (root * root === radicand ? 0n : 1n);
  return roundPack(f, 0, jammed, (x.exponent - scale) / 2 - 1, rm, flags);
}

/**
 * a * b + c with one rounding. The other three RISC-V forms flip the signs of `a` or `c` (negate).
 */
export function fpFma(
  f: Format,
  a: bigint,
  b: bigint,
  c: bigint,
  rm: number,
  flags: FpFlags,
): bigint {
  const x = unpack(f, a);
  const y = unpack(f, b);
  const z = unpack(f, c);
  // inf * 0 is invalid even beside a quiet NaN addend (§11.6).
  const isInfTimesZero =
    (x.kind === 'infinite' && isZero(y)) || (y.kind === 'infinite' && isZero(x));
  if (isInfTimesZero) return invalid(f, flags);
  if (isNan(x) || isNan(y) || isNan(z)) return nan(f, flags, x, y, z);
  const product: Unpacked = {
    kind: x.kind === 'infinite' || y.kind === 'infinite' ? 'infinite' : 'finite',
    sign: x.sign ^ y.sign,
    exponent: x.exponent + y.exponent,
    mantissa: x.mantissa * y.mantissa,
  };
  return addUnpacked(f, product, z, rm, flags);
}

/**
 * The operand with its sign bit flipped; NaNs too, which is harmless because no NaN operand's sign
 * survives.
 */
export function negate(f: Format, a: bigint): bigint {
  return a ^ f.signBit;
}

function addUnpacked(f: Format, x: Unpacked, y: Unpacked, rm: number, flags: FpFlags): bigint {
  if (isNan(x) || isNan(y)) return nan(f, flags, x, y);
  if (x.kind === 'infinite') {
    const opposed = y.kind === 'infinite' && x.sign !== y.sign;
    return opposed ? invalid(f, flags) : packInfinity(f, x.sign);
  }
  if (y.kind === 'infinite') return packInfinity(f, y.sign);
  const exponent = Math.min(x.exponent, y.exponent);
  const sum = aligned(x, exponent) + aligned(y, exponent);
  if (sum === 0n) {
    const bothZero = x.mantissa === 0n && y.mantissa === 0n;
    const sign = bothZero && x.sign === y.sign ? x.sign : rm === RDN ? 1 : 0;
    return packZero(f, sign);
  }
  return roundPack(f, sum < 0n ? 1 : 0, sum < 0n ? -sum : sum, exponent, rm, flags);
}

function aligned(u: Unpacked, exponent: number): bigint {
  if (u.mantissa === 0n) return 0n;
  const magnitude = u.mantissa << BigInt(u.exponent - exponent);
  return u.sign === 0 ? magnitude : -magnitude;
}

function nan(f: Format, flags: FpFlags, ...operands: readonly Unpacked[]): bigint {
  if (operands.some((u) => u.kind === 'signaling')) flags.bits |= FLAG_NV;
  return f.canonicalNaN;
}

function invalid(f: Format, flags: FpFlags): bigint {
  flags.bits |= FLAG_NV;
  return f.canonicalNaN;
}

/** The largest integer whose square is at most n, by Newton's method from above. */
function integerSqrt(n: bigint): bigint {
  let root = 1n << BigInt((bitLength(n) + 1) >> 1);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

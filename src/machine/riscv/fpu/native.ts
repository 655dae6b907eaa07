/**
 * The host's double arithmetic where it gives RISC-V's result and flags exactly: round to nearest
 * even, finite operands, results away from overflow and underflow. Everything else answers NaN, and
 * the caller takes the exact way.
 *
 * Inexactness comes from error-free transformations (Knuth's TwoSum, Dekker's TwoProduct; Handbook
 * of Floating-Point Arithmetic, 2nd edition, §4.3–§4.4): the rounding error is itself a double and
 * is zero iff the result is exact. For singles a double operation rounded once more is correct,
 * since 53 >= 2 * 24 + 2 (same book, §3.4.3 "double rounding").
 */
import { FLAG_NX, type FpFlags } from './format.ts';

/** "Ask the exact implementation": no fast path ever has a NaN result. */
const DECLINED = Number.NaN;

/**
 * Operands of this magnitude have products, quotients and their rounding errors far from both ends
 * of the range.
 */
const SMALL = 2 ** -400;
const LARGE = 2 ** 490;
/** Sums below this cannot overflow in TwoSum's intermediate steps. */
const SUM_LIMIT = 2 ** 1020;
/** Rounded to single, these are normal and finite, whichever way the rounding goes. */
const SINGLE_SMALL = 2 ** -125;
const SINGLE_LARGE = 2 ** 127;
/** Veltkamp's splitting constant for 53 bits. */
const SPLITTER = 2 ** 27 + 1;

export function addDouble(a: number, b: number, flags: FpFlags): number {
  const sum = a + b;
  if (!(Math.abs(a) < SUM_LIMIT && Math.abs(b) < SUM_LIMIT)) return DECLINED;
  if (sumError(a, b, sum) !== 0) flags.bits |= FLAG_NX;
  return sum;
}

export function mulDouble(a: number, b: number, flags: FpFlags): number {
  const product = a * b;
  if (!inRange(a) || !inRange(b)) return DECLINED;
  if (productError(a, b, product) !== 0) flags.bits |= FLAG_NX;
  return product;
}

export function divDouble(a: number, b: number, flags: FpFlags): number {
  const quotient = a / b;
  if (!inRange(a) || !inRange(b) || !inRange(quotient)) return DECLINED;
  const back = quotient * b;
  if (back !== a || productError(quotient, b, back) !== 0) flags.bits |= FLAG_NX;
  return quotient;
}

export function sqrtDouble(a: number, flags: FpFlags): number {
  const root = Math.sqrt(a);
  if (!inRange(a) || a < 0) return DECLINED;
  const back = root * root;
  if (back !== a || productError(root, root, back) !== 0) flags.bits |= FLAG_NX;
  return root;
}

export function addSingle(a: number, b: number, flags: FpFlags): number {
  const sum = a + b;
  // Singles are multiples of 2^-149, so a small sum is exact in single precision too; -0 keeps its
  // sign.
  if (Math.abs(sum) < SINGLE_SMALL) return sum;
  return narrow(sum, sumError(a, b, sum) === 0, flags);
}

export function mulSingle(a: number, b: number, flags: FpFlags): number {
  return narrow(a * b, true, flags);
}

export function divSingle(a: number, b: number, flags: FpFlags): number {
  const quotient = a / b;
  const isExact = quotient * b === a && Math.fround(quotient) === quotient;
  return narrow(quotient, isExact, flags);
}

export function sqrtSingle(a: number, flags: FpFlags): number {
  const root = Math.sqrt(a);
  const isExact = root * root === a && Math.fround(root) === root;
  return narrow(root, isExact, flags);
}

/**
 * a * b + c by exact parts and one sum rounded to odd (Boldo and Melquiond 2008, "Emulation of a
 * FMA and correctly rounded sums: proved algorithms using rounding to odd").
 */
export function fmaDouble(a: number, b: number, c: number, flags: FpFlags): number {
  if (!(Math.abs(c) < LARGE)) return DECLINED;
  const product = a * b;
  // A product that is exactly zero, not one that underflowed.
  if ((a === 0 || b === 0) && product === 0) return product + c;
  if (!inRange(a) || !inRange(b)) return DECLINED;
  if (c === 0) return mulDouble(a, b, flags);
  if (!inRange(c)) return DECLINED;
  const productRest = productError(a, b, product);
  const low = c + productRest;
  const lowRest = sumError(c, productRest, low);
  const high = product + low;
  const highRest = sumError(product, low, high);
  const rest = lowRest + highRest;
  const restError = sumError(lowRest, highRest, rest);
  const odd = toOdd(rest, restError);
  const sum = high + odd;
  if (restError !== 0 || sumError(high, odd, sum) !== 0) flags.bits |= FLAG_NX;
  return sum === 0 ? 0 : sum;
}

/**
 * The product of singles is exact in double; the sum rounded to odd narrows without double
 * rounding.
 */
export function fmaSingle(a: number, b: number, c: number, flags: FpFlags): number {
  const product = a * b;
  const sum = product + c;
  const error = sumError(product, c, sum);
  return narrow(toOdd(sum, error), error === 0, flags);
}

/** FCVT.S.D. */
export function doubleToSingle(a: number, flags: FpFlags): number {
  return narrow(a, true, flags);
}

/** Rounds a double that is itself exact, or inexact and known to be so, to single. */
function narrow(value: number, isExact: boolean, flags: FpFlags): number {
  const magnitude = Math.abs(value);
  if (!(magnitude >= SINGLE_SMALL && magnitude < SINGLE_LARGE)) return DECLINED;
  const result = Math.fround(value);
  if (!isExact || result !== value) flags.bits |= FLAG_NX;
  return result;
}

function inRange(a: number): boolean {
  const magnitude = Math.abs(a);
  return magnitude > SMALL && magnitude < LARGE;
}

/** (a + b) - sum, exactly. */
function sumError(a: number, b: number, sum: number): number {
  const bRounded = sum - a;
  return a - (sum - bRounded) + (b - bRounded);
}

/** a * b - product, exactly. */
function productError(a: number, b: number, product: number): number {
  const aBig = a * SPLITTER;
  const aHigh = aBig - (aBig - a);
  const aLow = a - aHigh;
  const bBig = b * SPLITTER;
  const bHigh = bBig - (bBig - b);
  const bLow = b - bHigh;
  return aHigh * bHigh - product + aHigh * bLow + aLow * bHigh + aLow * bLow;
}

/** Scratch for looking at a double's bits; means nothing between calls. */
const oddDouble = new Float64Array(1);
const oddWords = new Int32Array(oddDouble.buffer);

/** `rounded + error` rounded to odd: exact, or the neighbouring double whose last bit is 1. */
function toOdd(rounded: number, error: number): number {
  if (error === 0 || !Number.isFinite(error)) return rounded;
  oddDouble[0] = rounded;
  const lo = oddWords[0] as number;
  if ((lo & 1) === 1) return rounded;
  if (error > 0 === rounded > 0) {
    oddWords[0] = lo + 1;
  } else {
    oddWords[0] = lo - 1;
    if (lo === 0) oddWords[1] = (oddWords[1] as number) - 1;
  }
  return oddDouble[0] as number;
}

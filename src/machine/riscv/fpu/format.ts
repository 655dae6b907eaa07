/**
 * IEEE 754-2019 binary32 and binary64 as exact integers: unpacking, and the one rounding step every
 * operation ends with. RISC-V choices: NaN results are canonical (§11.3), tininess is detected
 * after rounding (§11.4).
 */

/** Rounding modes, table 11.1 of the RISC-V Unprivileged ISA 20191213. */
export const RNE = 0;
export const RTZ = 1;
export const RDN = 2;
export const RUP = 3;
export const RMM = 4;

/** Accrued exceptions, table 11.2. */
export const FLAG_NX = 1;
export const FLAG_UF = 2;
export const FLAG_OF = 4;
export const FLAG_DZ = 8;
export const FLAG_NV = 16;

/** Where operations accrue their exceptions: `bits` only ever gains FLAG_ bits. */
export interface FpFlags {
  bits: number;
}

/** A binary interchange format; `precision` counts the hidden bit. */
export interface Format {
  readonly width: number;
  readonly precision: number;
  /** Stored fraction bits, `precision - 1`. */
  readonly fraction: bigint;
  /** The exponent field of infinities and NaNs. */
  readonly expMax: number;
  /** Exponent of the least significant bit of a subnormal. */
  readonly minLsb: number;
  readonly signBit: bigint;
  readonly fractionMask: bigint;
  readonly quietBit: bigint;
  readonly infinity: bigint;
  readonly canonicalNaN: bigint;
}

function format(width: number, precision: number): Format {
  const expBits = width - precision;
  const fraction = BigInt(precision - 1);
  const expMax = 2 ** expBits - 1;
  const infinity = BigInt(expMax) << fraction;
  const quietBit = 1n << (fraction - 1n);
  return {
    width,
    precision,
    fraction,
    expMax,
    minLsb: 3 - 2 ** (expBits - 1) - precision,
    signBit: 1n << BigInt(width - 1),
    fractionMask: (1n << fraction) - 1n,
    quietBit,
    infinity,
    canonicalNaN: infinity | quietBit,
  };
}

export const F32: Format = format(32, 24);
export const F64: Format = format(64, 53);

/**
 * What a bit pattern stands for; a finite one is (-1)^sign * mantissa * 2^exponent, not normalised.
 */
export interface Unpacked {
  readonly kind: 'finite' | 'infinite' | 'quiet' | 'signaling';
  /** 0 or 1. */
  readonly sign: number;
  readonly exponent: number;
  readonly mantissa: bigint;
}

export function unpack(f: Format, bits: bigint): Unpacked {
  const sign = (bits & f.signBit) === 0n ? 0 : 1;
  const field = Number((bits & f.infinity) >> f.fraction);
  const low = bits & f.fractionMask;
  if (field === f.expMax) {
    const nan = (low & f.quietBit) === 0n ? 'signaling' : 'quiet';
    return { kind: low === 0n ? 'infinite' : nan, sign, exponent: 0, mantissa: low };
  }
  if (field === 0) return { kind: 'finite', sign, exponent: f.minLsb, mantissa: low };
  const mantissa = low | (1n << f.fraction);
  return { kind: 'finite', sign, exponent: f.minLsb + field - 1, mantissa };
}

export function isNan(u: Unpacked): boolean {
  return u.kind === 'quiet' || u.kind === 'signaling';
}

export function isZero(u: Unpacked): boolean {
  return u.kind === 'finite' && u.mantissa === 0n;
}

export function packZero(f: Format, sign: number): bigint {
  return sign === 0 ? 0n : f.signBit;
}

export function packInfinity(f: Format, sign: number): bigint {
  return packZero(f, sign) | f.infinity;
}

/**
 * Rounds (-1)^sign * m * 2^e to the format, accruing NX, UF and OF.
 * @param m > 0. An inexact value may be passed truncated with its lowest bit set ("jammed") if it
 *   has at least two bits more than the precision.
 */
export function roundPack(
  f: Format,
  sign: number,
  m: bigint,
  e: number,
  rm: number,
  flags: FpFlags,
): bigint {
  const top = e + bitLength(m) - 1;
  const unbounded = top - f.precision + 1;
  let lsb = Math.max(unbounded, f.minLsb);
  let significand = roundAt(sign, m, lsb - e, rm);
  const inexact = lsb > e && BigInt.asUintN(lsb - e, m) !== 0n;
  if (significand >> BigInt(f.precision) !== 0n) {
    significand >>= 1n;
    lsb++;
  }
  if (inexact) {
    flags.bits |= FLAG_NX;
    if (unbounded < f.minLsb && isTiny(f, sign, m, unbounded - e, unbounded, rm)) {
      flags.bits |= FLAG_UF;
    }
  }
  const isNormal = significand >> f.fraction !== 0n;
  const field = isNormal ? lsb - f.minLsb + 1 : 0;
  if (field >= f.expMax) return overflow(f, sign, rm, flags);
  return packZero(f, sign) | (BigInt(field) << f.fraction) | (significand & f.fractionMask);
}

/** m / 2^shift as an integer, rounded by `rm`. */
export function roundAt(sign: number, m: bigint, shift: number, rm: number): bigint {
  if (shift <= 0) return m << BigInt(-shift);
  const kept = m >> BigInt(shift);
  const rest = BigInt.asUintN(shift, m);
  if (rest === 0n) return kept;
  return roundsUp(sign, kept, rest, 1n << BigInt(shift - 1), rm) ? kept + 1n : kept;
}

/** How many bits a positive integer has. */
export function bitLength(m: bigint): number {
  const hex = m.toString(16);
  return hex.length * 4 - Math.clz32(Number.parseInt(hex.charAt(0), 16)) + 28;
}

function roundsUp(sign: number, kept: bigint, rest: bigint, half: bigint, rm: number): boolean {
  switch (rm) {
    case RNE:
      return rest > half || (rest === half && (kept & 1n) === 1n);
    case RDN:
      return sign === 1;
    case RUP:
      return sign === 0;
    case RMM:
      return rest >= half;
    default:
      return false;
  }
}

/** Below the smallest normal even when rounded with an unbounded exponent range. */
function isTiny(
  f: Format,
  sign: number,
  m: bigint,
  shift: number,
  lsb: number,
  rm: number,
): boolean {
  if (lsb < f.minLsb - 1) return true;
  return roundAt(sign, m, shift, rm) >> BigInt(f.precision) === 0n;
}

function overflow(f: Format, sign: number, rm: number, flags: FpFlags): bigint {
  flags.bits |= FLAG_OF | FLAG_NX;
  const toInfinity =
    rm === RNE || rm === RMM || (rm === RDN && sign === 1) || (rm === RUP && sign === 0);
  return packInfinity(f, sign) - (toInfinity ? 0n : 1n);
}

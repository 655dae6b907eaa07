/**
 * Comparison, minimum and maximum, classification, sign injection and NaN-boxing (RISC-V §11.2,
 * §11.6–§11.9, §12.2).
 */
import { F32, FLAG_NV, type Format, type FpFlags, isNan, isZero, unpack } from './format.ts';

/** Quiet: only a signaling NaN raises NV. */
export function fpEq(f: Format, a: bigint, b: bigint, flags: FpFlags): boolean {
  const x = unpack(f, a);
  const y = unpack(f, b);
  if (x.kind === 'signaling' || y.kind === 'signaling') flags.bits |= FLAG_NV;
  if (isNan(x) || isNan(y)) return false;
  return order(f, a) === order(f, b);
}

/** Signaling: any NaN raises NV. */
export function fpLt(f: Format, a: bigint, b: bigint, flags: FpFlags): boolean {
  return !raisesOnNaN(f, a, b, flags) && order(f, a) < order(f, b);
}

/** Signaling: any NaN raises NV. */
export function fpLe(f: Format, a: bigint, b: bigint, flags: FpFlags): boolean {
  return !raisesOnNaN(f, a, b, flags) && order(f, a) <= order(f, b);
}

/** minimumNumber: -0 is below +0, one NaN gives the other operand, a signaling NaN raises NV. */
export function fpMin(f: Format, a: bigint, b: bigint, flags: FpFlags): bigint {
  return select(f, a, b, flags, (x, y) => x < y);
}

/** maximumNumber, with the rules of fpMin. */
export function fpMax(f: Format, a: bigint, b: bigint, flags: FpFlags): bigint {
  return select(f, a, b, flags, (x, y) => x > y);
}

/** FCLASS's mask, table 11.5: one bit set of ten. */
export function fpClass(f: Format, a: bigint): number {
  const u = unpack(f, a);
  switch (u.kind) {
    case 'signaling':
      return 1 << 8;
    case 'quiet':
      return 1 << 9;
    case 'infinite':
      return u.sign === 1 ? 1 << 0 : 1 << 7;
    default:
  }
  const magnitude = isZero(u) ? 3 : u.mantissa >> f.fraction === 0n ? 2 : 1;
  return 1 << (u.sign === 1 ? magnitude : 7 - magnitude);
}

/** FSGNJ, FSGNJN, FSGNJX as kinds 0, 1, 2: the magnitude of `a` with a sign made from both. */
export function fpSignInject(f: Format, kind: number, a: bigint, b: bigint): bigint {
  const sign = kind === 0 ? b : kind === 1 ? ~b : a ^ b;
  return (a & ~f.signBit) | (sign & f.signBit);
}

const BOX = 0xffffffff_00000000n;

/**
 * The 32-bit operand in a 64-bit register; what is not NaN-boxed reads as the canonical NaN
 * (§12.2).
 */
export function unboxSingle(register: bigint): bigint {
  return (register & BOX) === BOX ? register & 0xffffffffn : F32.canonicalNaN;
}

export function boxSingle(bits: bigint): bigint {
  return BOX | bits;
}

/** Bits as an integer that orders like the number; both zeros are 0. */
function order(f: Format, bits: bigint): bigint {
  const magnitude = bits & ~f.signBit;
  return (bits & f.signBit) === 0n ? magnitude : -magnitude;
}

function raisesOnNaN(f: Format, a: bigint, b: bigint, flags: FpFlags): boolean {
  if (!isNan(unpack(f, a)) && !isNan(unpack(f, b))) return false;
  flags.bits |= FLAG_NV;
  return true;
}

function select(
  f: Format,
  a: bigint,
  b: bigint,
  flags: FpFlags,
  prefers: (x: bigint, y: bigint) => boolean,
): bigint {
  const x = unpack(f, a);
  const y = unpack(f, b);
  if (x.kind === 'signaling' || y.kind === 'signaling') flags.bits |= FLAG_NV;
  if (isNan(x)) return isNan(y) ? f.canonicalNaN : b;
  if (isNan(y)) return a;
  // Zeros of both signs: two's complement of the sign bit orders -0 below +0.
  const left = order(f, a) * 2n - BigInt(x.sign);
  const right = order(f, b) * 2n - BigInt(y.sign);
  return prefers(left, right) ? a : b;
}

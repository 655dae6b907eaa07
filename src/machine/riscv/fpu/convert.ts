/** Conversions between formats and to and from integers (RISC-V §11.7, §12.5). */
import {
  FLAG_NV,
  FLAG_NX,
  type Format,
  type FpFlags,
  isNan,
  packInfinity,
  packZero,
  roundAt,
  roundPack,
  unpack,
} from './format.ts';

/**
 * To an integer of `width` bits, saturating as table 11.4 says: NV without NX when out of range,
 * NaN like +infinity.
 * @returns the integer's value, negative too, not its bits
 */
export function fpToInt(
  f: Format,
  a: bigint,
  width: number,
  isSigned: boolean,
  rm: number,
  flags: FpFlags,
): bigint {
  const bits = BigInt(width);
  const max = isSigned ? (1n << (bits - 1n)) - 1n : (1n << bits) - 1n;
  const min = isSigned ? -(1n << (bits - 1n)) : 0n;
  const u = unpack(f, a);
  if (u.kind !== 'finite' || u.exponent > width) {
    if (u.kind === 'finite' && u.mantissa === 0n) return 0n;
    flags.bits |= FLAG_NV;
    return u.sign === 1 && !isNan(u) ? min : max;
  }
  const magnitude = roundAt(u.sign, u.mantissa, -u.exponent, rm);
  const value = u.sign === 1 ? -magnitude : magnitude;
  if (value > max || value < min) {
    flags.bits |= FLAG_NV;
    return value > max ? max : min;
  }
  if (u.exponent < 0 && BigInt.asUintN(-u.exponent, u.mantissa) !== 0n) flags.bits |= FLAG_NX;
  return value;
}

/** From an integer's value; 0 becomes +0. */
export function fpFromInt(f: Format, value: bigint, rm: number, flags: FpFlags): bigint {
  if (value === 0n) return 0n;
  const sign = value < 0n ? 1 : 0;
  return roundPack(f, sign, sign === 1 ? -value : value, 0, rm, flags);
}

/** FCVT.S.D and FCVT.D.S. */
export function fpConvert(from: Format, to: Format, a: bigint, rm: number, flags: FpFlags): bigint {
  const u = unpack(from, a);
  switch (u.kind) {
    case 'signaling':
      flags.bits |= FLAG_NV;
      return to.canonicalNaN;
    case 'quiet':
      return to.canonicalNaN;
    case 'infinite':
      return packInfinity(to, u.sign);
    default:
      if (u.mantissa === 0n) return packZero(to, u.sign);
      return roundPack(to, u.sign, u.mantissa, u.exponent, rm, flags);
  }
}

/**
 * Little-endian numbers in bytes. In halves instead of bigint, and without a DataView: system calls decode and encode a
 * struct each time.
 */

/** Unsigned; bytes past the end count as 0. */
export function get32(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
  return (low | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0;
}

/** Unsigned; above 2^53 rounded. */
export function get64(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + 4) * 0x1_0000_0000 + get32(bytes, at);
}

/** The lowest 32 bits of a whole number. */
export function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** A whole number, below 0 as two's complement. */
export function put64(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  put32(bytes, at, value - high * 0x1_0000_0000);
  put32(bytes, at + 4, high);
}

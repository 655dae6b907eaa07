/**
 * xoroshiro64** (Blackman and Vigna 2018, "Scrambled linear pseudorandom number generators"), period 2^64 - 1: the
 * only source of "randomness" in `src`, seeded explicitly. Not cryptographic; every host computes the same sequence.
 */
export class Prng {
  private a: number;
  private b: number;

  constructor(seed: number) {
    this.a = (seed ^ 0x9e3779b9) | 0 || 1;
    this.b = (Math.imul(seed, 0x85ebca6b) ^ 0xc2b2ae35) | 0 || 2;
    for (let i = 0; i < 8; i++) this.next32();
  }

  /** An unsigned 32-bit value. */
  next32(): number {
    const a = this.a;
    const b = this.b ^ a;
    this.a = rotate(a, 26) ^ b ^ (b << 9);
    this.b = rotate(b, 13);
    return Math.imul(rotate(Math.imul(a, 0x9e3779bb), 5), 5) >>> 0;
  }

  /** An integer in [0, n). */
  below(n: number): number {
    return this.next32() % n;
  }
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

/**
 * xorshift128+-style generator on 32-bit words: the only source of "randomness" in `src`, seeded explicitly.
 * Not cryptographic; chosen because every host computes the same sequence.
 */
export class Prng {
  #a: number;
  #b: number;

  constructor(seed: number) {
    this.#a = (seed ^ 0x9e3779b9) | 0 || 1;
    this.#b = (Math.imul(seed, 0x85ebca6b) ^ 0xc2b2ae35) | 0 || 2;
    for (let i = 0; i < 8; i++) this.next32();
  }

  /** An unsigned 32-bit value. */
  next32(): number {
    let t = this.#a;
    const s = this.#b;
    this.#a = s;
    t ^= t << 23;
    t ^= t >>> 17;
    t ^= s ^ (s >>> 26);
    this.#b = t;
    return (t + s) >>> 0;
  }

  /** An integer in [0, n). */
  below(n: number): number {
    return this.next32() % n;
  }
}

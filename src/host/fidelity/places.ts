/** Where the operands of random programs lie: near each other, and where something is mapped or registered. */
import { at } from '../../base/assert.ts';
import type { Prng } from '../../base/prng.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { TOO_LONG } from './choices.ts';
import {
  ARENA_PAGES,
  BIG_ARENA_PAGES,
  FIRST_HUGE_PAGE,
  HELPER,
  HUGE_PAGES,
  type Operation,
} from './operations.ts';

export class Places {
  readonly #prng: Prng;
  /** Pages of the arena. */
  #arena = ARENA_PAGES;
  /** Ranges used before, in pages. */
  readonly #ranges: (readonly [start: number, pages: number])[] = [];
  /** What is mapped and what is registered, as far as the generator keeps track of it. */
  readonly #mapped = new Set<number>();
  readonly #registered = new Set<number>();

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  /** From now on over huge pages. */
  grow(): void {
    this.#arena = BIG_ARENA_PAGES;
  }

  /** Keeps track of an operation as if it succeeded. */
  follow({ op: name, args }: Operation): void {
    const op = name.replace(HELPER, '');
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = args;
    const pages = (start: number, size: number): number[] => {
      const first = Math.floor(start / PAGE_SIZE);
      const count = size > 0 && size < TOO_LONG ? Math.ceil(size / PAGE_SIZE) : 0;
      return Array.from({ length: count }, (_, i) => first + i);
    };
    if (op === 'mmap' || op === 'mapfile' || op === 'munmap') {
      for (const page of pages(a, b)) {
        if (op !== 'munmap') this.#mapped.add(page);
        else this.#mapped.delete(page);
        this.#registered.delete(page);
      }
    } else if (op === 'mremap' && (d & 2) !== 0) {
      for (const page of pages(e, c)) this.#mapped.add(page);
    } else if (op === 'register' && (d & ~7) === 0) {
      for (const page of pages(b, c)) if (this.#mapped.has(page)) this.#registered.add(page);
    } else if (op === 'unregister') {
      for (const page of pages(b, c)) this.#registered.delete(page);
    } else if (op === 'close') {
      this.#registered.clear();
    }
  }

  /**
   * Offset and length in bytes: a range used before, one beside it, a new one, or most often one inside what is mapped
   * or registered; seldom a wrong one.
   */
  range(where: 'any' | 'mapped' | 'registered' = 'any', longest = 12): readonly [number, number] {
    let [start, pages] = this.#near(longest);
    const set = where === 'mapped' ? this.#mapped : this.#registered;
    const whole = this.#arena > ARENA_PAGES && this.#chance(3);
    if (where !== 'any' && set.size > 0 && !whole && !this.#chance(6)) {
      start = this.#pick([...set]);
      if (this.#chance(3)) while (set.has(start - 1)) start--;
      let run = 1;
      while (set.has(start + run)) run++;
      pages = this.#chance(3) ? run : 1 + this.#prng.below(Math.min(run, this.#longest(longest)));
    }
    start = Math.min(Math.max(start, 0), this.#arena - 1);
    pages = Math.max(1, Math.min(pages, this.#longest(longest), this.#arena - start));
    this.#ranges.push([start, pages]);
    const offset = start * PAGE_SIZE;
    if (!this.#chance(30)) return [offset, pages * PAGE_SIZE];
    const wrong: readonly (readonly [number, number])[] = [
      [offset + 8, pages * PAGE_SIZE],
      [offset, pages * PAGE_SIZE - 96],
      [offset, 0],
      [offset, TOO_LONG],
      [offset, -PAGE_SIZE],
    ];
    return this.#pick(wrong);
  }

  /** Whole huge pages. */
  #huge(): [start: number, pages: number] {
    const first = this.#prng.below(4);
    const count = 1 + this.#prng.below(Math.min(2, 4 - first));
    return [FIRST_HUGE_PAGE + first * HUGE_PAGES, count * HUGE_PAGES];
  }

  #longest(pages: number): number {
    return this.#arena > ARENA_PAGES ? 3 * HUGE_PAGES : pages;
  }

  /** A range used before, one beside it, or a new one; not yet cut to the arena. */
  #near(longest: number): [start: number, pages: number] {
    if (this.#arena > ARENA_PAGES && this.#chance(2)) return this.#huge();
    const start = this.#prng.below(this.#arena);
    const pages = 1 + this.#prng.below(longest);
    if (this.#ranges.length === 0 || this.#chance(3)) return [start, pages];
    const [s, n] = this.#pick(this.#ranges);
    switch (this.#prng.below(6)) {
      case 0:
      case 1:
        return [s, n];
      case 2:
        return [s + n, pages];
      case 3:
        return [s - pages, pages];
      default:
        return [s + this.#prng.below(n), pages];
    }
  }

  page(): number {
    if (this.#registered.size > 0 && this.#chance(3)) return this.#pick([...this.#registered]);
    if (this.#mapped.size > 0 && !this.#chance(6)) return this.#pick([...this.#mapped]);
    if (this.#ranges.length === 0 || this.#chance(8)) return this.#prng.below(this.#arena);
    const [start, pages] = this.#pick(this.#ranges);
    return Math.min(this.#arena - 1, start + this.#prng.below(pages));
  }

  #chance(n: number): boolean {
    return this.#prng.below(n) === 0;
  }

  #pick<T>(items: readonly T[]): T {
    return at(items, this.#prng.below(items.length));
  }
}

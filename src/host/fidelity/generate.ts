/**
 * Random programs. Operands come near each other and near earlier ones on purpose: what is interesting happens where
 * ranges touch, are registered twice, or are protected, dropped and written again.
 */

import { at } from '../../base/assert.ts';
import type { Prng } from '../../base/prng.ts';
import { ADVICE } from '../../kernel/mm/madvise.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { MADV_COLLAPSE, MADV_HUGEPAGE } from '../../uapi/mman.ts';
import {
  BIG_ADVICE,
  EVENT_FORK,
  EVENTS,
  FEATURE_SIGBUS,
  FEATURE_WP_ASYNC,
  FEATURES,
  FEATURES_WITHOUT_EFFECT,
  LONGEST_COPY,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_STACK,
  MAY_WAIT,
  MINOR_MODES,
  O_CLOEXEC,
  O_NONBLOCK,
  PRIVATE_ANONYMOUS,
  PROT_GROWSDOWN,
  REGISTER_MODES,
  SHARED_ANONYMOUS,
  SWAPPING,
  TOO_LONG,
  WP_MODES,
} from './choices.ts';
import { FAMILIES, type Family, WEIGHTS } from './families.ts';
import { type Dice, drawFile, openingFile } from './generate-files.ts';
import {
  ARENA_PAGES,
  FIRST_HUGE_PAGE,
  HEAP_PAGE,
  HELPER,
  HUGE_PAGES,
  type Operation,
  type Program,
  SOURCE_OFFSET,
  SOURCE_PAGES,
} from './operations.ts';
import { Places } from './places.ts';

/** One program in so many has huge pages, unless `thp` is the first of the families. */
const BIG_SHARE = 20;
const BIG_OPERATIONS: ReadonlySet<string> = new Set(
  ['map', 'access', 'madvise', 'scan', 'lock', 'fork', 'userfaultfd']
    .flatMap((family): readonly string[] => FAMILIES[family as Family])
    .filter((name) => name !== 'brk' && name !== 'structs' && name !== 'move'),
);

export interface GenerateOptions {
  readonly operations: number;
  readonly families: readonly Family[];
  /** Operations that are not drawn: those the model does not have yet. */
  readonly without: ReadonlySet<string>;
}

/**
 * A program whose main thread never waits. Half of those with userfaultfd have every fault answered with SIGBUS and ask
 * for no events; in the others a helper thread performs what may wait.
 */
export function randomProgram(prng: Prng, options: GenerateOptions): Program {
  return new Draw(prng, options).program();
}

class Draw {
  readonly #prng: Prng;
  readonly #options: GenerateOptions;
  readonly #names: string[] = [];
  readonly #places: Places;
  #opened = 1;
  /** Faults and events of this program wait to be read. */
  #waits = false;
  /** A descriptor has no O_NONBLOCK: then reading may wait as well. */
  #blocks = false;
  /** The arena has huge pages. */
  #big = false;
  /** There is a swap device. */
  #swaps = false;

  constructor(prng: Prng, options: GenerateOptions) {
    this.#prng = prng;
    this.#places = new Places(prng);
    this.#options = options;
    for (const family of options.families) {
      for (const name of FAMILIES[family]) {
        if (options.without.has(name)) continue;
        for (let i = 0; i < (WEIGHTS[name] ?? 0); i++) this.#names.push(name);
      }
    }
  }

  program(): Program {
    const program: Operation[] = [];
    const add = (operation: Operation): void => {
      program.push(operation);
      this.#places.follow(operation);
    };
    const { families } = this.#options;
    this.#big = families.includes('thp') && (families[0] === 'thp' || this.#chance(BIG_SHARE));
    if (this.#big) {
      this.#places.grow();
      add({ op: 'thp', args: [] });
    }
    for (let i = this.#prng.below(3); i >= 0; i--) {
      for (const operation of this.#big ? this.#openBig() : [this.#mmap()]) add(operation);
    }
    this.#swaps = !this.#big && families.includes('swap') && this.#chance(5);
    if (this.#swaps) add({ op: 'swapon', args: [] });
    const monitored = families.includes('userfaultfd');
    this.#waits = monitored && this.#chance(2);
    if (this.#shares && !this.#chance(4)) {
      for (const operation of openingFile(this.#dice(), 0)) add(operation);
    }
    if (monitored) {
      for (const operation of this.#open(0)) add(operation);
      if (this.#chance(3)) {
        this.#opened = 2;
        for (const operation of this.#open(1)) add(operation);
      }
      add({ op: 'register', args: [0, ...this.#places.range('mapped'), 1 + this.#prng.below(3)] });
    }
    while (program.length < this.#options.operations) {
      const name = this.#pick(this.#names);
      if (this.#big && !BIG_OPERATIONS.has(name)) continue;
      if (name === 'uffd') for (const operation of this.#open(this.#slot())) add(operation);
      else add(this.#waiting(this.#operation(name)));
    }
    return program.slice(0, this.#options.operations);
  }

  /** In programs that wait: operations that may do so go to the helper, and nothing else comes in their place. */
  #waiting(operation: Operation): Operation {
    const { op, args } = operation;
    if (!this.#waits) return operation;
    const waits = MAY_WAIT.has(op) || (op === 'read' && this.#blocks);
    return waits ? { op: `${HELPER}${op}`, args } : operation;
  }

  /** Whether the program has shared memory. */
  get #shares(): boolean {
    return !this.#big && this.#options.families.includes('shmem');
  }

  #dice(): Dice {
    return {
      below: (n) => this.#prng.below(n),
      chance: (n) => this.#chance(n),
      pick: (items) => this.#pick(items),
      range: () => this.#places.range('mapped'),
      page: () => this.#places.page(),
      advice: () => this.#advice(),
      prot: () => this.#prot(),
    };
  }

  #operation(op: string): Operation {
    switch (op) {
      case 'mmap':
        return this.#mmap();
      case 'munmap':
        return { op, args: this.#places.range() };
      case 'mprotect':
        return this.#mprotect();
      case 'madvise':
        return this.#madvise();
      case 'mlock':
      case 'munlock':
      case 'mincore':
        return { op, args: this.#places.range('mapped') };
      case 'mlock2':
        return { op, args: [...this.#places.range('mapped'), this.#pick([0, 1, 1, 1, 2])] };
      case 'mseal':
        return { op, args: [...this.#places.range('mapped'), this.#chance(9) ? 1 : 0] };
      case 'msync':
        return {
          op,
          args: [...this.#places.range('mapped'), this.#pick([0, 1, 2, 3, 4, 5, 6, 8])],
        };
      case 'mlockall':
        return { op, args: [this.#pick([0, 1, 2, 3, 3, 4, 5, 6, 7, 8])] };
      case 'mremap':
        return this.#mremap();
      case 'brk':
        return { op, args: [this.#heapEnd()] };
      case 'load':
        return { op, args: [this.#accessed()] };
      case 'store':
        return { op, args: [this.#accessed(), 1 + this.#prng.below(99)] };
      case 'fork':
      case 'exit':
        return { op, args: [] };
      case 'switch':
        return { op, args: [this.#prng.below(2)] };
      default:
        return drawFile(op, this.#dice()) ?? this.#userfault(op);
    }
  }

  #userfault(op: string): Operation {
    const slot = this.#slot();
    switch (op) {
      case 'register':
        return { op, args: [slot, ...this.#places.range('mapped'), this.#pick(this.#modes())] };
      case 'move':
        return this.#move(slot);
      case 'copy': {
        const [start = 0, asked = 0] = this.#places.range('registered', LONGEST_COPY);
        const size = this.#big ? Math.min(asked, LONGEST_COPY * PAGE_SIZE) : asked;
        const mode = this.#chance(8) ? 4 : this.#pick([0, 0, 2, 2, 1, 3]);
        return { op, args: [slot, start, this.#source(), size, mode] };
      }
      case 'zeropage':
      case 'continue':
      case 'poison':
        return {
          op,
          args: [slot, ...this.#places.range('registered', 4), this.#pick([0, 0, 0, 0, 1, 2])],
        };
      case 'writeprotect':
        return { op, args: [slot, ...this.#places.range('registered'), this.#pick(WP_MODES)] };
      case 'read':
        return { op, args: [slot, this.#pick([32, 64, 31, 0, 100])] };
      case 'poll':
      case 'fdinfo':
      case 'close':
        return { op, args: [slot] };
      case 'structs': {
        // In programs that wait, the main thread must not fault.
        const inside = this.#places.page() * PAGE_SIZE + this.#pick([0, 4080, 4064]);
        return { op, args: [this.#waits || this.#chance(2) ? -1 : inside] };
      }
      default:
        return { op, args: [slot, ...this.#places.range('registered')] };
    }
  }

  #modes(): readonly number[] {
    return this.#shares && this.#chance(2) ? MINOR_MODES : REGISTER_MODES;
  }

  /** Mostly from a neighbour of the same kind. */
  #move(slot: number): Operation {
    const [to = 0, size = 0] = this.#places.range('registered', LONGEST_COPY);
    const [from = 0] = this.#chance(3)
      ? this.#places.range('registered')
      : this.#places.range('mapped');
    return { op: 'move', args: [slot, to, from, size, this.#pick([0, 0, 0, 1, 2, 2, 2, 3, 4])] };
  }

  #mmap(): Operation {
    let flags = PRIVATE_ANONYMOUS | (this.#chance(8) ? MAP_FIXED_NOREPLACE : MAP_FIXED);
    if (this.#shares && this.#chance(4)) flags = (flags & ~PRIVATE_ANONYMOUS) | SHARED_ANONYMOUS;
    if (this.#big) return this.#bigMmap();
    if (this.#chance(20)) flags &= ~(MAP_FIXED | MAP_FIXED_NOREPLACE);
    if (this.#chance(20)) flags |= MAP_LOCKED;
    if (this.#chance(6)) flags |= MAP_POPULATE;
    if (this.#chance(12)) flags |= MAP_NORESERVE;
    if (this.#chance(20)) flags |= MAP_STACK;
    if (this.#chance(40)) flags &= ~2;
    if (this.#chance(16)) flags |= MAP_GROWSDOWN;
    if (this.#chance(50)) flags |= this.#pick([4, 8, 0x800, 0x10000, 0x200000]);
    const [start = 0, size = 0] = this.#places.range('any', 24);
    return { op: 'mmap', args: [start, size, this.#prot(), flags] };
  }

  /** A mapping that wants huge pages, and mostly gets one. */
  #openBig(): Operation[] {
    const { op, args } = this.#bigMmap();
    const [start = 0, size = 0, , flags = 0] = args;
    const page = Math.floor((start + this.#prng.below(size)) / PAGE_SIZE);
    const access: Operation = this.#chance(4)
      ? { op: 'load', args: [page * PAGE_SIZE] }
      : { op: 'store', args: [page * PAGE_SIZE, 1 + this.#prng.below(99)] };
    const wanted: Operation = { op: 'madvise', args: [start, size, MADV_HUGEPAGE] };
    const mapped: Operation = { op, args: [start, size, 3, flags & ~MAP_POPULATE] };
    return this.#chance(5) ? [mapped, wanted] : [mapped, wanted, access];
  }

  /** Over some huge page at least. */
  #bigMmap(): Operation {
    const first = this.#prng.below(3);
    const start =
      FIRST_HUGE_PAGE + first * HUGE_PAGES - (this.#chance(3) ? this.#prng.below(20) : 0);
    const pages = HUGE_PAGES * (1 + this.#prng.below(3 - first)) + this.#prng.below(30);
    const flags = PRIVATE_ANONYMOUS | MAP_FIXED | (this.#chance(8) ? MAP_POPULATE : 0);
    const prot = this.#chance(6) ? this.#prot() : 3;
    return { op: 'mmap', args: [start * PAGE_SIZE, pages * PAGE_SIZE, prot, flags] };
  }

  #madvise(): Operation {
    const advice = this.#advice();
    const [start = 0, size = 0] = this.#places.range('mapped');
    // Advice goes on over holes, so a length that reaches other mappings would ruin the process itself.
    return { op: 'madvise', args: [start, size >= TOO_LONG ? -PAGE_SIZE : size, advice] };
  }

  #advice(): number {
    // What it maps is too small for huge pages.
    const known = ADVICE.map((a) => a.nr).filter((nr) => nr !== MADV_COLLAPSE);
    if (this.#swaps && this.#chance(2)) return this.#pick(SWAPPING);
    if (this.#big && this.#chance(2)) return this.#pick(BIG_ADVICE);
    const often = [4, 4, 4, 4, 22, 23, 23, 24, 8, 8, 9, 20, 21, 21, 102, 102, 102, 103];
    return this.#chance(3) ? this.#pick([...known, 5, 99]) : this.#pick(often);
  }

  #mprotect(): Operation {
    const [start = 0, size = 0] = this.#places.range('mapped');
    const prot = this.#prot();
    // PROT_GROWSDOWN begins at the first mapping of the range, which would be one of the process itself.
    const grows = (prot & PROT_GROWSDOWN) !== 0;
    return { op: 'mprotect', args: [start, grows && size >= TOO_LONG ? -PAGE_SIZE : size, prot] };
  }

  #mremap(): Operation {
    const [start = 0, size = 0] = this.#places.range('mapped');
    const [to = 0, wanted = 0] = this.#places.range();
    const flags = this.#pick([0, 0, 0, 1, 1, 3, 3, 3, 3, 5, 7, 7, 2, 4, 8]);
    const same = flags >= 2 ? !this.#chance(4) : this.#chance(3);
    // Only growth within the arena, lest it meet what lies behind.
    return { op: 'mremap', args: [start, same ? wanted : size, wanted, flags, to] };
  }

  /** A handshake follows at once, now and then a wrong one. Always SIGBUS: nothing may wait. */
  #open(slot: number): Operation[] {
    let features = this.#waits ? 0 : FEATURE_SIGBUS;
    if (this.#waits) for (const event of EVENTS) if (this.#chance(3)) features |= event;
    for (const feature of FEATURES) {
      if (this.#chance(3)) features |= feature;
    }
    for (const feature of FEATURES_WITHOUT_EFFECT) if (this.#chance(8)) features |= feature;
    if (this.#chance(4)) features |= FEATURE_WP_ASYNC;
    // The second slot gets the descriptor that comes with a FORK event, unless it has one.
    if ((features & EVENT_FORK) !== 0 && this.#chance(2)) this.#opened = 2;
    let flags = O_CLOEXEC | (this.#chance(6) ? 1 : 0);
    if (this.#waits && this.#chance(10)) this.#blocks = true;
    else flags |= O_NONBLOCK;
    const wrong = this.#chance(25);
    const op = this.#chance(6) ? 'devuffd' : 'uffd';
    const opened: Operation = { op, args: [slot, wrong ? flags | 0x40 : flags] };
    const hands: Operation = { op: 'api', args: [slot, features, 0xaa] };
    const early: Operation = { op: 'api', args: [slot, features | (1 << 20), 0xab] };
    return wrong ? [opened, early] : [opened, hands];
  }

  /** Seldom an access that reaches into the next page. */
  #accessed(): number {
    return this.#places.page() * PAGE_SIZE + (!this.#big && this.#chance(25) ? PAGE_SIZE - 2 : 0);
  }

  #source(): number {
    // A source that waits for its own descriptor would stop the main thread.
    if (!this.#waits && this.#chance(4)) return this.#places.page() * PAGE_SIZE;
    const offset = this.#prng.below(SOURCE_PAGES - LONGEST_COPY) * PAGE_SIZE;
    return SOURCE_OFFSET + offset + (!this.#big && this.#chance(6) ? 16 : 0);
  }

  #heapEnd(): number {
    const page = HEAP_PAGE - 1 + this.#prng.below(ARENA_PAGES - HEAP_PAGE + 1);
    return page * PAGE_SIZE + (this.#chance(3) ? this.#prng.below(PAGE_SIZE) : 0);
  }

  #prot(): number {
    const grows = this.#chance(40) ? PROT_GROWSDOWN : 0;
    return grows | this.#pick([3, 3, 3, 3, 3, 1, 1, 0, 7, 5, 2, 8, 11, 0x2000003, 16]);
  }

  #slot(): number {
    return this.#chance(this.#opened === 2 ? 4 : 40) ? 1 : 0;
  }

  #chance(n: number): boolean {
    return this.#prng.below(n) === 0;
  }

  #pick<T>(items: readonly T[]): T {
    return at(items, this.#prng.below(items.length));
  }
}

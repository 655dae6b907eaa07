/**
 * Small concurrent programs whose number of Mazurkiewicz traces is known: the yardstick of partial-order reduction.
 * They are the usual benchmarks of the field, written over `sched`'s primitives; the counts come from GenMC's and
 * Nidhugg's own expectations and runs.
 */
import { at } from '../base/assert.ts';
import { access, pause } from '../sched/access.ts';
import { type Cell, cellOf, type Kind, READ, WRITE } from '../sched/cell.ts';
import { enterSched } from '../sched/current.ts';
import { Lock, type LockClass, lock, unlock } from '../sched/lock.ts';
import type { Steps } from '../sched/op.ts';
import { Sched } from '../sched/sched.ts';
import type { Program } from './program.ts';

const WORD = 2;
const MUTEX: LockClass = { name: 'mutex', rank: 1, nests: true, spins: false, cellClass: 3 };

/** Shared words, all 0 at first, each load and store an announced step. */
export class Words {
  readonly value: number[];
  readonly #cells: Cell[];
  readonly #sched: Sched;

  constructor(sched: Sched, count: number) {
    this.#sched = sched;
    this.value = new Array<number>(count).fill(0);
    this.#cells = this.value.map((_, i) => cellOf(WORD, i));
  }

  /** The announcement alone, for hot loops: the caller reads or writes `value` after it. */
  step(i: number, kind: Kind): Steps<void> {
    return access(kind === READ ? 'load' : 'store', at(this.#cells, i), kind);
  }

  *load(i: number): Steps<number> {
    yield* access('load', at(this.#cells, i), READ);
    return at(this.value, i);
  }

  *store(i: number, value: number): Steps<void> {
    yield* access('store', at(this.#cells, i), WRITE);
    this.value[i] = value;
  }

  /** One access that reads and writes. */
  *fetchAdd(i: number, by: number): Steps<number> {
    yield* access('fetchAdd', at(this.#cells, i), WRITE);
    const old = at(this.value, i);
    this.value[i] = old + by;
    return old;
  }

  /** One access: a write when it succeeds, a read when it does not. */
  *compareAndSwap(i: number, from: number, to: number): Steps<boolean> {
    yield* pause('cas');
    const won = this.value[i] === from;
    this.#sched.touch(at(this.#cells, i), won ? WRITE : READ);
    if (won) this.value[i] = to;
    return won;
  }
}

/** A program over `count` words; the outcome is the words and what the threads reported, as text. */
export function program(
  count: number,
  bodies: (words: Words, report: (value: number) => void) => readonly Steps<void>[],
): Program<string> {
  return {
    start: () => {
      const sched = new Sched(true);
      enterSched(sched);
      const words = new Words(sched, count);
      const said: number[] = [];
      bodies(words, (value) => said.push(value)).forEach((body, i) => {
        sched.spawn(`t${i}`, body);
      });
      return { sched, finish: (ending) => `${ending} ${words.value} ${said}` };
    },
  };
}

function times<T>(n: number, make: (i: number) => T): T[] {
  return Array.from({ length: n }, (_, i) => make(i));
}

export function readers(n: number): Program<string> {
  function* read(w: Words): Steps<void> {
    yield* w.load(0);
  }
  return program(1, (w) => [w.store(0, 1), ...times(n, () => read(w))]);
}

/** A reader looks for the last zero from the top; n writers each make a word one more than its neighbour. */
export function lastzero(n: number): Program<string> {
  function* scan(w: Words): Steps<void> {
    for (let i = n; ; i--) {
      yield* w.step(i, READ);
      if (w.value[i] === 0) break;
    }
  }
  function* write(w: Words, j: number): Steps<void> {
    yield* w.step(j - 1, READ);
    const below = at(w.value, j - 1);
    yield* w.step(j, WRITE);
    w.value[j] = below + 1;
  }
  return program(n + 1, (w) => [scan(w), ...times(n, (j) => write(w, j + 1))]);
}

/** Four insertions a thread into a hash table of 128, by compare-and-swap with probing. */
export function indexer(n: number): Program<string> {
  const size = 128;
  function* insert(w: Words, thread: number): Steps<void> {
    for (let m = 1; m <= 4; m++) {
      const value = m * 11 + thread;
      let hash = (value * 7) % size;
      while (!(yield* w.compareAndSwap(hash, 0, value))) hash = (hash + 1) % size;
    }
  }
  return program(size, (w) => times(n, (i) => insert(w, i)));
}

/** The file system of Flanagan and Godefroid (POPL 2005): 32 inodes and 26 blocks, each with a mutex. */
export function filesystem(n: number): Program<string> {
  const inodes = 32;
  const blocks = 26;
  function* create(w: Words, locks: readonly Lock[], thread: number): Steps<void> {
    const inode = thread % inodes;
    yield* lock(at(locks, inode));
    if ((yield* w.load(inode)) === 0) {
      for (let b = (inode * 2) % blocks; ; b = (b + 1) % blocks) {
        const blockLock = at(locks, inodes + b);
        yield* lock(blockLock);
        const busy = (yield* w.load(inodes + b)) !== 0;
        if (!busy) {
          yield* w.store(inodes + b, 1);
          yield* w.store(inode, b + 1);
        }
        unlock(blockLock);
        if (!busy) break;
      }
    }
    unlock(at(locks, inode));
  }
  return program(inodes + blocks, (w) => {
    const locks = times(inodes + blocks, (i) => new Lock(MUTEX, `lock ${i}`));
    return times(n, (i) => create(w, locks, i));
  });
}

/** n threads add 1 to each of `words` words by fetch_add: ainc (1), binc (2), cinc (3). */
export function adders(n: number, words: number): Program<string> {
  function* add(w: Words): Steps<void> {
    for (let i = 0; i < words; i++) yield* w.fetchAdd(i, 1);
  }
  return program(words, (w) => times(n, () => add(w)));
}

export function lockinc(n: number): Program<string> {
  function* body(w: Words, l: Lock): Steps<void> {
    yield* lock(l);
    const old = yield* w.load(0);
    yield* w.store(0, old + 1);
    unlock(l);
  }
  return program(1, (w) => {
    const l = new Lock(MUTEX, 'lock');
    return times(n, () => body(w, l));
  });
}

export function inc(n: number): Program<string> {
  function* body(w: Words): Steps<void> {
    const old = yield* w.load(0);
    yield* w.store(0, old + 1);
  }
  return program(1, (w) => times(n, () => body(w)));
}

export function rw(n: number): Program<string> {
  function* body(w: Words, i: number): Steps<void> {
    yield* w.store(0, i);
    yield* w.load(0);
  }
  return program(1, (w) => times(n, (i) => body(w, i)));
}

export function nWritersAReader(n: number): Program<string> {
  function* read(w: Words): Steps<void> {
    yield* w.load(0);
  }
  return program(1, (w) => [...times(n, (i) => w.store(0, i + 1)), read(w)]);
}

export function nWritesAReadTwo(n: number): Program<string> {
  function* body(w: Words): Steps<void> {
    for (let i = 1; i <= n; i++) yield* w.store(0, i);
    yield* w.load(0);
  }
  return program(1, (w) => [body(w), body(w)]);
}

export function fibBench(k: number): Program<string> {
  function* add(w: Words, to: number): Steps<void> {
    for (let i = 0; i < k; i++) {
      yield* w.step(0, READ);
      const x = at(w.value, 0);
      yield* w.step(1, READ);
      const y = at(w.value, 1);
      yield* w.step(to, WRITE);
      w.value[to] = x + y;
    }
  }
  function* look(w: Words): Steps<void> {
    yield* w.load(0);
    yield* w.load(1);
  }
  return program(2, (w) => {
    w.value.fill(1);
    return [add(w, 0), add(w, 1), look(w)];
  });
}

/** `W0` stores 1 to word 0, `R1` loads word 1; a string a thread: a litmus test. */
export function litmus(...threads: readonly string[]): Program<string> {
  function* body(w: Words, ops: string, report: (value: number) => void): Steps<void> {
    for (const op of ops.split(' ')) {
      const word = Number(op.slice(1));
      if (op.startsWith('W')) yield* w.store(word, 1);
      else report(yield* w.load(word));
    }
  }
  return program(3, (w, report) => threads.map((ops) => body(w, ops, report)));
}

/** A row of the table: the program, its traces, and what source-DPOR (lowest first) is known to give up halfway. */
export interface Known {
  readonly name: string;
  readonly program: Program<string>;
  readonly traces: number;
  readonly blocked?: number;
}

/** Those that take under a second or so. */
export const KNOWN: readonly Known[] = [
  { name: 'readers(2)', program: readers(2), traces: 4 },
  { name: 'readers(8)', program: readers(8), traces: 256 },
  { name: 'readers(13)', program: readers(13), traces: 8192 },
  ...[2, 5, 12, 28, 64].map((traces, i) => ({
    name: `lastzero(${i + 1})`,
    program: lastzero(i + 1),
    traces,
  })),
  { name: 'lastzero(10)', program: lastzero(10), traces: 3328, blocked: 16_867 },
  ...[1, 8, 64, 512].map((traces, i) => ({
    name: `indexer(${i + 11})`,
    program: indexer(i + 11),
    traces,
  })),
  ...(
    [
      [13, 1],
      [14, 2],
      [16, 8],
      [18, 32],
      [19, 64],
      [20, 128],
      [22, 512],
    ] as const
  ).map(([n, traces]) => ({ name: `filesystem(${n})`, program: filesystem(n), traces })),
  ...[2, 6, 24, 120, 720, 5040].flatMap((traces, i) => [
    { name: `ainc(${i + 2})`, program: adders(i + 2, 1), traces },
    { name: `lockinc(${i + 2})`, program: lockinc(i + 2), traces },
  ]),
  ...[4, 36, 576].map((traces, i) => ({
    name: `binc(${i + 2})`,
    program: adders(i + 2, 2),
    traces,
  })),
  ...[8, 216, 13_824].map((traces, i) => ({
    name: `cinc(${i + 2})`,
    program: adders(i + 2, 3),
    traces,
  })),
  ...[4, 36, 576, 14_400].flatMap((traces, i) => [
    { name: `inc(${i + 2})`, program: inc(i + 2), traces },
    { name: `rw(${i + 2})`, program: rw(i + 2), traces },
  ]),
  { name: 'n_writers_a_reader(5)', program: nWritersAReader(5), traces: 720 },
  { name: 'n_writes_a_read_two(5)', program: nWritesAReadTwo(5), traces: 672 },
  ...[11, 140, 1698, 19_605].map((traces, i) => ({
    name: `fib_bench(${i + 1})`,
    program: fibBench(i + 1),
    traces,
  })),
  { name: 'SB', program: litmus('W0 R1', 'W1 R0'), traces: 3 },
  { name: 'LB', program: litmus('R0 W1', 'R1 W0'), traces: 3 },
  { name: 'MP', program: litmus('W0 W1', 'R1 R0'), traces: 3 },
  { name: '2+2W', program: litmus('W0 W1', 'W1 W0'), traces: 3 },
  { name: 'IRIW', program: litmus('W0', 'W1', 'R0 R1', 'R1 R0'), traces: 15 },
  { name: 'W+RWC', program: litmus('W0', 'R0 R1', 'W1 R0'), traces: 7 },
];

/** Those that take seconds. */
export const KNOWN_LARGE: readonly Known[] = [
  { name: 'indexer(15)', program: indexer(15), traces: 4096 },
  { name: 'filesystem(26)', program: filesystem(26), traces: 8192 },
  { name: 'lastzero(12)', program: lastzero(12), traces: 15_360, blocked: 163_835 },
  { name: 'fib_bench(5)', program: fibBench(5), traces: 218_243, blocked: 814 },
];

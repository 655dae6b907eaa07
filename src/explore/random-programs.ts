/**
 * Random small programs over every kind of step that `sched` has, for comparing strategies. What an execution came out
 * as tells apart all executions that differ in more than the order of independent steps: every value written is new,
 * every look is logged, and every lock keeps the order of its owners.
 */
import { at } from '../base/assert.ts';
import { access, choose, pause, until } from '../sched/access.ts';
import { ADD, type Cell, cellOf, READ, WRITE } from '../sched/cell.ts';
import { enterSched } from '../sched/current.ts';
import {
  downgrade,
  Lock,
  type LockClass,
  lock,
  lockRead,
  tryLock,
  tryLockRead,
  unlock,
  unlockRead,
} from '../sched/lock.ts';
import type { Steps } from '../sched/op.ts';
import { Rcu } from '../sched/rcu.ts';
import { Sched } from '../sched/sched.ts';
import { Sleeper, sleep, WaitQueue } from '../sched/wait.ts';
import type { Program } from './program.ts';

export type Action =
  | { readonly do: 'load' | 'store' | 'add' | 'fetchAdd'; readonly word: number }
  /** Several words in one step: `copy` reads the first and writes the second. */
  | { readonly do: 'copy' | 'pair'; readonly word: number }
  | { readonly do: 'until' | 'untilSmall'; readonly word: number }
  | { readonly do: 'mutex' | 'read' | 'write' | 'spin' | 'downgrade'; readonly body: Body }
  | { readonly do: 'pass'; readonly word: number }
  | { readonly do: 'tryMutex' | 'tryRead' | 'tryWrite' | 'trySpin'; readonly body: Body }
  | { readonly do: 'sleep' | 'sleepTimeout' | 'wake' | 'wakeAll' }
  | { readonly do: 'choose'; readonly body: Body }
  | { readonly do: 'rcuRead'; readonly body: Body }
  | { readonly do: 'callRcu'; readonly word: number }
  | { readonly do: 'spawn'; readonly body: Body };
export type Body = readonly Action[];

const WORD = 2;
const RCU = 3;
const QUEUE = 4;
const FLAG = 5;
const SLEEPS: LockClass = { name: 'mutex', rank: 1, nests: true, spins: false, cellClass: 6 };
const SPINS: LockClass = { name: 'spin', rank: 2, nests: true, spins: true, cellClass: 7 };

/** One world of a random program. */
class Toy {
  readonly sched = new Sched(true);
  readonly words = [0, 0];
  readonly cells: readonly Cell[] = [cellOf(WORD, 0), cellOf(WORD, 1)];
  readonly mutex: Lock;
  readonly rwsem: Lock;
  readonly spin: Lock;
  readonly queue: WaitQueue;
  readonly rcu = new Rcu(RCU);
  readonly owners: string[][] = [[], []];
  readonly logs = new Map<string, string[]>();
  /** Moves on when nothing can run. */
  now = 0;
  sleepingUntil = 0;

  constructor() {
    enterSched(this.sched);
    this.mutex = new Lock(SLEEPS, 'mutex');
    this.rwsem = new Lock(SLEEPS, 'rwsem');
    this.spin = new Lock(SPINS, 'spin');
    this.queue = new WaitQueue(QUEUE);
    this.sched.idle = (): boolean => {
      if (this.now >= this.sleepingUntil) return false;
      this.now++;
      return true;
    };
  }

  thread(body: Body, name: string): void {
    const log: string[] = [];
    this.logs.set(name, log);
    this.sched.spawn(name, new Strand(this, log, name).run(body));
  }
}

class Strand {
  readonly toy: Toy;
  readonly log: string[];
  readonly name: string;
  writes = 0;
  children = 0;

  constructor(toy: Toy, log: string[], name: string) {
    this.toy = toy;
    this.log = log;
    this.name = name;
  }

  *run(body: Body): Steps<void> {
    for (const action of body) {
      yield* this.act(action);
      this.log.push(';');
    }
  }

  *act(action: Action): Steps<void> {
    const { toy, log } = this;
    switch (action.do) {
      case 'load':
      case 'store':
      case 'add':
      case 'fetchAdd':
      case 'copy':
      case 'pair':
      case 'until':
      case 'untilSmall':
      case 'pass':
      case 'callRcu':
        return yield* this.touch(action.do, action.word);
      case 'mutex':
      case 'read':
      case 'write':
      case 'spin':
      case 'downgrade':
        return yield* this.hold(action.do, action.body);
      case 'tryMutex':
      case 'tryRead':
      case 'tryWrite':
      case 'trySpin':
        return yield* this.tryHold(action.do, action.body);
      case 'sleep':
      case 'sleepTimeout':
        return yield* this.sleep(action.do === 'sleepTimeout');
      case 'wake':
      case 'wakeAll':
        yield* lock(toy.spin);
        log.push(`woke ${toy.queue.wake(action.do === 'wake' ? 1 : 9)}`);
        unlock(toy.spin);
        return;
      case 'choose': {
        const value = yield* choose('choose', 2);
        log.push(`chose ${value}`);
        if (value === 1) yield* this.run(action.body);
        return;
      }
      case 'rcuRead':
        yield* pause('rcu');
        toy.rcu.readLock();
        yield* this.run(action.body);
        toy.rcu.readUnlock();
        return;
      case 'spawn':
        toy.thread(action.body, `${this.name}.${this.children++}`);
        return;
    }
  }

  *touch(what: string, word: number): Steps<void> {
    const { toy, log } = this;
    const { words } = toy;
    const cell = at(toy.cells, word);
    const other = 1 - word;
    const otherCell = at(toy.cells, other);
    const fresh = (this.name.length * 7 + this.name.charCodeAt(0)) * 100 + ++this.writes;
    switch (what) {
      case 'load':
        yield* access(what, cell, READ);
        log.push(`${words[word]}`);
        return;
      case 'store':
        yield* access(what, cell, WRITE);
        words[word] = fresh;
        return;
      case 'add':
        yield* access(what, cell, ADD);
        words[word] = at(words, word) + 100_000;
        return;
      case 'fetchAdd':
        yield* access(what, cell, WRITE);
        log.push(`${words[word]}`);
        words[word] = at(words, word) + 10_000_000;
        return;
      case 'copy':
        yield* access(what, cell, READ);
        toy.sched.touch(otherCell, WRITE);
        words[other] = at(words, word) + fresh;
        return;
      case 'pair':
        yield* access(what, cell, READ);
        toy.sched.touch(otherCell, READ);
        log.push(`${words[0]},${words[1]}`);
        if (at(words, other) === 0) {
          toy.sched.touch(cell, WRITE);
          words[word] = fresh;
        }
        return;
      case 'until':
        yield* until(what, cell, READ, () => at(words, word) !== 0, 'a writer');
        log.push(`${words[word]}`);
        return;
      case 'untilSmall':
        yield* until(what, cell, WRITE, () => at(words, word) < 100_000, 'a writer');
        log.push(`${words[word]}`);
        words[word] = fresh;
        return;
      case 'pass':
        yield* lock(toy.spin);
        toy.sched.touch(cell, READ);
        log.push(`${words[word]}`);
        unlock(toy.spin);
        return;
      default:
        yield* pause('callRcu');
        toy.rcu.callRcu(() => {
          toy.sched.touch(cell, WRITE);
          words[word] = fresh;
        });
    }
  }

  *hold(what: string, body: Body): Steps<void> {
    const { mutex, rwsem, spin, owners } = this.toy;
    if (what === 'read') {
      yield* lockRead(rwsem);
      yield* this.run(body);
      unlockRead(rwsem);
      return;
    }
    const l = what === 'mutex' ? mutex : what === 'spin' ? spin : rwsem;
    yield* lock(l);
    // Two passes through a spinlock commute, so the order of its owners says nothing.
    owners[[mutex, rwsem].indexOf(l)]?.push(this.name);
    if (what === 'downgrade') {
      yield* pause('before downgrade');
      downgrade(l);
    }
    yield* this.run(body);
    if (what === 'downgrade') unlockRead(l);
    else unlock(l);
  }

  *tryHold(what: string, body: Body): Steps<void> {
    const { mutex, rwsem, spin } = this.toy;
    const l = what === 'tryMutex' ? mutex : what === 'trySpin' ? spin : rwsem;
    const got = yield* what === 'tryRead' ? tryLockRead(l) : tryLock(l);
    this.log.push(got ? 'got' : 'missed');
    if (!got) return;
    yield* this.run(body);
    if (what === 'tryRead') unlockRead(l);
    else unlock(l);
  }

  *sleep(timeout: boolean): Steps<void> {
    const { toy } = this;
    const sleeper = new Sleeper(FLAG);
    yield* lock(toy.spin);
    toy.queue.add(sleeper);
    unlock(toy.spin);
    const end = toy.now + 1;
    if (timeout) toy.sleepingUntil = Math.max(toy.sleepingUntil, end);
    const expired = timeout ? (): boolean => toy.now >= end : null;
    const reason = yield* sleep(sleeper, 'uninterruptible', 'wake', expired);
    this.log.push(reason);
    yield* lock(toy.spin);
    toy.queue.remove(sleeper);
    unlock(toy.spin);
  }
}

/** A program with a thread per body. */
export function randomProgram(bodies: readonly Body[]): Program<string> {
  return {
    start: () => {
      const toy = new Toy();
      const { sched } = toy;
      bodies.forEach((body, i) => {
        toy.thread(body, String.fromCharCode(65 + i));
      });
      if (JSON.stringify(bodies).includes('callRcu')) sched.spawn('rcu', toy.rcu.actor(), true);
      const logs = (): string =>
        [...toy.logs]
          .map(([who, log]) => `${who}:${log.join('')}`)
          .sort()
          .join(' ');
      return {
        sched,
        finish: (ending) =>
          `${ending} words=${toy.words} owners=${JSON.stringify(toy.owners)} ${logs()}`,
      };
    },
  };
}

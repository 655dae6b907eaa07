/**
 * Every interleaving up to the order of independent steps: source-DPOR with sleep sets (Abdulla, Aronis, Jonsson,
 * Sagonas: "Source Sets", JACM 2017), executing again from the start for every branch.
 *
 * What a step touches is known once it has run, so races are found then and the other order is asked for at the node
 * before the earlier step. A thread that an execution leaves waiting has not run the step it waits for; its race with
 * whatever blocked it is looked for all the same. A choice is a branch on its values at one node.
 */
import { assert, at, must } from '../base/assert.ts';
import {
  type Cell,
  cellClass,
  cellIndex,
  entryCell,
  entryKind,
  entryOf,
  type Kind,
} from '../sched/cell.ts';
import type { Op } from '../sched/op.ts';
import type { Ending, Sched } from '../sched/sched.ts';
import type { Thread } from '../sched/thread.ts';
import { independent, int } from './footprint.ts';
import { History } from './history.ts';
import {
  byDefault,
  lowestOf,
  MAX_THREADS,
  maskOf,
  type Strategy,
  StrayNondeterminism,
  showMask,
} from './strategy.ts';

/** A place in the schedule where something else can be, or has been, tried. Kept while executions pass through it. */
class Node {
  /** What goes on here now. */
  op: Op | null = null;
  value = 0;
  /** Threads to try here; tried ones stay in. */
  backtrack = 0;
  /** Threads whose every answer is asleep here. */
  asleep = 0;
  /** Whether some sleeper here has been woken. */
  woken = false;
  /** The sleepers here, as a range of `#sleepers`. */
  sleepFrom = 0;
  sleepTo = 0;
  /** Where their footprints end in `#footprints`, and where they ended when the node began. */
  printsTo = 0;
  printsFrom = 0;
  /** Who can run here. */
  enabled = 0;
  /** Everything at a depth below this happened before all that can happen here. */
  barrier = 0;
}

const NONE: readonly number[] = [];
/** A sleeper is five numbers: thread, answer, the range of its footprint, and 1 while it sleeps, 0 once woken. */
const SLEEPER = 5;

export class Dpor implements Strategy {
  /** Whether the execution was given up because all that could run was asleep: an equivalent one has been seen. */
  blocked = false;
  readonly #history = new History();
  readonly #lowestFirst: boolean;
  readonly #nodes: Node[] = [];
  #sleepers = new Int32Array(256);
  #footprints = new Int32Array(256);
  /** Steps taken in this execution, and how many of them are prescribed. */
  #depth = 0;
  #forced = 0;
  /** The thread to take at the last prescribed step. */
  #pickThread = 0;
  #last: Thread | null = null;
  /** Depth at which time last moved on because nothing could run. */
  #barrier = 0;

  /** @param lowestFirst where nothing else is asked for, take the lowest thread, not the one that ran last */
  constructor(lowestFirst = false) {
    this.#lowestFirst = lowestFirst;
  }

  begin(sched: Sched): void {
    this.#depth = 0;
    this.#last = null;
    this.#barrier = 0;
    this.blocked = false;
    if (this.#history.depth === 0) this.#history.begin(sched.threads.length);
  }

  pick(sched: Sched, enabled: readonly Thread[]): Thread | null {
    const depth = this.#depth;
    const mask = maskOf(enabled);
    if (depth < this.#forced) return this.#pickAgain(sched, depth, mask);
    assert(sched.threads.length <= MAX_THREADS, `more than ${MAX_THREADS} threads`);
    const node = this.#enter(sched, depth, mask);
    const thread = byDefault(enabled, this.#lowestFirst ? null : this.#last, node.asleep);
    if (thread === null) {
      this.blocked = true;
      return null;
    }
    node.backtrack = 1 << thread.id;
    node.op = thread.op;
    node.value = thread.op.choices > 0 ? this.#nextValue(node, thread.id, thread.op.choices, 0) : 0;
    return thread;
  }

  choose(): number {
    return must(this.#nodes[this.#depth], 'node').value;
  }

  stepped(sched: Sched, thread: Thread): void {
    const depth = this.#depth++;
    this.#last = thread;
    if (depth < this.#forced - 1) {
      if (this.#history.sameFootprint(depth, sched.footprint)) return;
      const first = this.#history.footprintAt(depth).map(showEntry).join(' ');
      throw new StrayNondeterminism(
        depth,
        `what thread ${thread.id} touched`,
        `[${first}]`,
        `[${sched.footprint.map(showEntry).join(' ')}]`,
      );
    }
    const node = must(this.#nodes[depth], 'node');
    this.#history.push(
      thread.id,
      must(node.op, 'op').ready !== null,
      node.enabled,
      sched.footprint,
      sched.threads.length,
      node.barrier,
      node.woken ? this.#supposed(node, thread.id, node.value, sched.footprint, true) : NONE,
    );
    this.#history.races(this.#onRace);
  }

  idling(sched: Sched): void {
    if (this.#depth < this.#forced) return;
    this.#pending(sched, false);
    this.#barrier = this.#depth;
  }

  end(sched: Sched, ending: Ending | 'failed'): void {
    const { running } = sched;
    const unfinished = running !== null && this.#depth >= this.#forced - 1;
    // A step that threw counts as far as it came.
    if (ending === 'failed' && unfinished) this.stepped(sched, running);
    if (this.#depth < this.#forced) return;
    this.#pending(sched, ending === 'failed' || ending === 'limit');
  }

  next(): boolean {
    const history = this.#history;
    while (history.depth > 0) {
      const depth = history.depth - 1;
      const node = must(this.#nodes[depth], 'node');
      const thread = int(history.thread, depth);
      this.#lull(node, thread, depth);
      history.truncate(depth);
      const choices = node.op?.choices ?? 0;
      if (choices > 0) {
        const value = this.#nextValue(node, thread, choices, node.value + 1);
        if (value < choices) {
          node.value = value;
          this.#forced = depth + 1;
          this.#pickThread = thread;
          return true;
        }
      }
      node.asleep |= 1 << thread;
      const rest = node.backtrack & ~node.asleep;
      if (rest !== 0) {
        this.#pickThread = lowestOf(rest);
        node.op = null;
        this.#forced = depth + 1;
        return true;
      }
    }
    return false;
  }

  #pickAgain(sched: Sched, depth: number, mask: number): Thread {
    const node = must(this.#nodes[depth], 'node');
    const lastForced = depth === this.#forced - 1;
    const id = lastForced ? this.#pickThread : int(this.#history.thread, depth);
    if (node.enabled !== mask) {
      throw new StrayNondeterminism(
        depth,
        'the set of threads that can run',
        showMask(node.enabled),
        showMask(mask),
      );
    }
    const thread = at(sched.threads, id);
    const { op } = thread;
    if (node.op === null) {
      node.op = op;
      node.value = op.choices > 0 ? this.#nextValue(node, id, op.choices, 0) : 0;
    } else if (
      node.op.name !== op.name ||
      node.op.cell !== op.cell ||
      node.op.choices !== op.choices
    ) {
      throw new StrayNondeterminism(depth, `thread ${id}'s step`, showOp(node.op), showOp(op));
    }
    return thread;
  }

  /** A new node after the last event, with the sleepers that slept through it. */
  #enter(sched: Sched, depth: number, enabled: number): Node {
    let node = this.#nodes[depth];
    if (node === undefined) {
      node = new Node();
      this.#nodes[depth] = node;
    }
    node.enabled = enabled;
    node.asleep = 0;
    node.woken = false;
    node.barrier = this.#barrier;
    node.sleepFrom = 0;
    node.printsTo = 0;
    node.sleepTo = 0;
    if (depth === 0) return node;
    const parent = must(this.#nodes[depth - 1], 'node');
    if (parent.barrier > node.barrier) node.barrier = parent.barrier;
    node.sleepFrom = parent.sleepTo;
    node.sleepTo = parent.sleepTo;
    node.printsTo = parent.printsTo;
    const { access, from } = this.#history;
    const begin = int(from, depth - 1);
    const end = int(from, depth);
    const stepped = int(this.#history.thread, depth - 1);
    for (let s = parent.sleepFrom; s < parent.sleepTo; s += SLEEPER) {
      const thread = int(this.#sleepers, s);
      // It chose: its other answers belong to a step that is over.
      if (thread === stepped) continue;
      const printFrom = int(this.#sleepers, s + 2);
      const printTo = int(this.#sleepers, s + 3);
      const sleeps =
        this.#sleepers[s + 4] === 1 &&
        independent(access, begin, end, this.#footprints, printFrom, printTo);
      this.#addSleeper(node, thread, int(this.#sleepers, s + 1), printFrom, printTo, sleeps);
      if (!sleeps) {
        node.woken = true;
        continue;
      }
      const { choices } = at(sched.threads, thread).op;
      if (choices <= 1 || this.#answersAsleep(node, thread) === choices) node.asleep |= 1 << thread;
    }
    return node;
  }

  /** Puts the step at a node to sleep there: its executions have all been seen. */
  #lull(node: Node, thread: number, depth: number): void {
    const { access, from } = this.#history;
    const begin = int(from, depth);
    const end = int(from, depth + 1);
    const printFrom = node.printsTo;
    node.printsTo += end - begin;
    if (node.printsTo > this.#footprints.length)
      this.#footprints = doubled(this.#footprints, node.printsTo);
    for (let i = begin; i < end; i++) this.#footprints[printFrom + i - begin] = int(access, i);
    this.#addSleeper(node, thread, node.value, printFrom, node.printsTo, true);
  }

  #addSleeper(
    node: Node,
    thread: number,
    value: number,
    printFrom: number,
    printTo: number,
    sleeps: boolean,
  ): void {
    const s = node.sleepTo;
    node.sleepTo += SLEEPER;
    if (node.sleepTo > this.#sleepers.length)
      this.#sleepers = doubled(this.#sleepers, node.sleepTo);
    this.#sleepers[s] = thread;
    this.#sleepers[s + 1] = value;
    this.#sleepers[s + 2] = printFrom;
    this.#sleepers[s + 3] = printTo;
    this.#sleepers[s + 4] = sleeps ? 1 : 0;
  }

  /**
   * What the step now taken touched when it was tried before other steps that woke it, and does not touch now. Steps
   * depend on each other for good only if this is counted in: else a step that no longer touches a cell, because of what
   * came before it, would hide that another one has to be tried before both.
   */
  #supposed(
    node: Node,
    thread: number,
    value: number,
    footprint: readonly number[],
    woken: boolean,
  ): readonly number[] {
    const supposed: number[] = [];
    for (let s = node.sleepFrom; s < node.sleepTo; s += SLEEPER) {
      if (this.#sleepers[s] !== thread || this.#sleepers[s + 1] !== value) continue;
      if (woken && this.#sleepers[s + 4] === 1) continue;
      const from = int(this.#sleepers, s + 2);
      const to = int(this.#sleepers, s + 3);
      this.#history.suppose(footprint, this.#footprints, from, to, supposed);
    }
    return supposed;
  }

  #answersAsleep(node: Node, thread: number): number {
    let count = 0;
    for (let s = node.sleepFrom; s < node.sleepTo; s += SLEEPER) {
      if (this.#sleepers[s] === thread && this.#sleepers[s + 4] === 1) count++;
    }
    return count;
  }

  /** The first answer from `value` on that is not asleep; `choices` when all are. */
  #nextValue(node: Node, thread: number, choices: number, value: number): number {
    for (let next = value; next < choices; next++) {
      let asleep = false;
      for (let s = node.sleepFrom; s < node.sleepTo; s += SLEEPER) {
        if (this.#sleepers[s] !== thread || this.#sleepers[s + 4] === 0) continue;
        if (this.#sleepers[s + 1] === next) asleep = true;
      }
      if (!asleep) return next;
    }
    return choices;
  }

  readonly #onRace = (depth: number, initials: number, preferred: number): void => {
    const node = must(this.#nodes[depth], 'node');
    if (((node.backtrack | node.asleep) & initials) !== 0) return;
    const possible = initials & node.enabled;
    if (possible === 0) node.backtrack |= node.enabled;
    else node.backtrack |= preferred >= 0 ? 1 << preferred : possible & -possible;
  };

  /**
   * Looks for the races of steps that have not been taken: of threads that wait, or of all when the execution broke off.
   * What such a step would touch is not known, so it is supposed to change the cell it announces.
   */
  #pending(sched: Sched, all: boolean): void {
    const history = this.#history;
    const node = this.#nodes[this.#depth - 1];
    const barrier = Math.max(this.#barrier, node?.barrier ?? 0);
    for (const thread of sched.threads) {
      const { op, done } = thread;
      if (done || thread === sched.running || op.cell === null) continue;
      if (!all && (op.ready === null || op.ready())) continue;
      const kind = history.cautiousKind(op.cell) as Kind;
      const footprint = [entryOf(op.cell, kind)];
      const known = node !== undefined && int(history.thread, this.#depth - 1) !== thread.id;
      const supposed = known ? this.#supposed(node, thread.id, 0, footprint, false) : NONE;
      history.push(thread.id, op.ready !== null, 0, footprint, history.threads, barrier, supposed);
      history.races(this.#onRace);
      history.truncate(this.#depth);
    }
  }
}

function doubled(old: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const bigger = new Int32Array(Math.max(length, old.length * 2));
  bigger.set(old);
  return bigger;
}

function showOp(op: Op): string {
  return `${op.name} of ${showCell(op.cell)} with ${op.choices} choices`;
}

function showCell(cell: Cell | null): string {
  return cell === null ? 'nothing' : `cell ${cellClass(cell)}:${cellIndex(cell)}`;
}

function showEntry(entry: number): string {
  return `${showCell(entryCell(entry))} kind ${entryKind(entry)}`;
}

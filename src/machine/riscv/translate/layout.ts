import { at, must } from '../../../base/assert.ts';
import type { Block, Region } from './discover.ts';

/**
 * The order and nesting of a unit's blocks. Blocks stay in address order; every backward edge makes the stretch from
 * its target to its source a loop, and stretches that overlap without nesting are merged. So each edge is either
 * forward (to a label that ends before its target) or goes to the head of a loop around it; an edge into the middle of
 * a loop goes to its head with `next` set, and the head dispatches.
 */
export interface Layout {
  readonly blocks: readonly Block[];
  /** Index of the block that starts at an offset. */
  readonly indexAt: ReadonlyMap<number, number>;
  readonly top: Loop;
  /** Entry number of each block, from 1; 0 for a block that is entered only through edges. */
  readonly entryOf: readonly number[];
  /** Index of the block of entry number n at n - 1. */
  readonly entries: readonly number[];
  /** For an entry: the most instructions it may retire before the next check of the fuel. */
  readonly reach: readonly number[];
  /** Blocks that something other than falling through leads to. */
  readonly jumped: ReadonlySet<number>;
}

/** A stretch of blocks: the whole unit, or a loop whose head is `first`. */
export interface Loop {
  readonly first: number;
  readonly last: number;
  readonly parent: Loop | undefined;
  /** In order: a block's index, or an inner loop. */
  readonly items: (number | Loop)[];
}

/** Instructions between two checks of the fuel, beyond which a block gets a check of its own. */
const REACH = 256;

export function layOut(region: Region): Layout {
  const { blocks } = region;
  const indexAt = new Map(blocks.map((block, index) => [block.start, index]));
  const edges = blocks.map((block) => successors(block, indexAt));
  const loopEnds = nestLoops(edges);
  const top: Loop = { first: 0, last: blocks.length - 1, parent: undefined, items: [] };
  const innermost = fill(top, loopEnds, blocks.length);
  const checked = new Set<number>();
  for (const offset of region.entries) {
    const index = indexAt.get(offset);
    if (index !== undefined) checked.add(index);
  }
  for (const head of loopEnds.keys()) checked.add(head);
  edges.forEach((targets, from) => {
    for (const to of targets) if (entersMiddle(from, to, innermost)) checked.add(to);
  });
  const reach = measure(blocks, edges, checked);
  const entries = [...checked].sort((a, b) => a - b);
  const entryOf = blocks.map(() => 0);
  entries.forEach((index, n) => {
    entryOf[index] = n + 1;
  });
  return { blocks, indexAt, top, entryOf, entries, reach, jumped: jumpTargets(blocks, indexAt) };
}

/** Indices of the blocks that control may go to next inside the unit. */
function successors(block: Block, indexAt: ReadonlyMap<number, number>): number[] {
  const found: number[] = [];
  const add = (offset: number): void => {
    const index = indexAt.get(offset);
    if (index !== undefined) found.push(index);
  };
  if (block.ending === 'fall' || block.ending === 'branch') add(block.next);
  if (block.ending === 'branch' || block.ending === 'jump') add(block.target);
  return found;
}

/** The ends of all loops by head, nested properly. */
function nestLoops(edges: readonly (readonly number[])[]): Map<number, number> {
  const ends = new Map<number, number>();
  edges.forEach((targets, from) => {
    for (const to of targets) if (to <= from) ends.set(to, Math.max(from, ends.get(to) ?? from));
  });
  for (let changed = true; changed; ) {
    changed = false;
    for (const [a, b] of ends) {
      for (const [c, d] of ends) {
        if (a < c && c <= b && b < d) {
          ends.set(a, d);
          changed = true;
          break;
        }
      }
    }
  }
  return ends;
}

/** Fills the tree of loops and tells each block's innermost one. */
function fill(top: Loop, ends: ReadonlyMap<number, number>, count: number): Loop[] {
  const innermost: Loop[] = [];
  let current = top;
  for (let index = 0; index < count; index++) {
    while (current.parent !== undefined && index > current.last) current = current.parent;
    const last = ends.get(index);
    if (last !== undefined) {
      const inner: Loop = { first: index, last, parent: current, items: [] };
      current.items.push(inner);
      current = inner;
    }
    current.items.push(index);
    innermost.push(current);
  }
  return innermost;
}

/** Whether an edge goes into a loop that its source is outside of, other than to the loop's head. */
function entersMiddle(from: number, to: number, innermost: readonly Loop[]): boolean {
  for (let loop: Loop | undefined = at(innermost, to); loop?.parent; loop = loop.parent) {
    const isAround = loop.first <= from && from <= loop.last;
    if (!isAround && loop.first !== to) return true;
  }
  return false;
}

/** Longest paths to the next check, from the last block to the first; adds checks where they grow too long. */
function measure(
  blocks: readonly Block[],
  edges: readonly (readonly number[])[],
  checked: Set<number>,
): number[] {
  const reach: number[] = blocks.map(() => 0);
  for (let index = blocks.length - 1; index >= 0; index--) {
    const own = at(blocks, index).insns.length;
    let longest = 0;
    for (const to of at(edges, index)) {
      if (checked.has(to)) continue;
      if (own + at(reach, to) > REACH) checked.add(to);
      else longest = Math.max(longest, at(reach, to));
    }
    reach[index] = own + longest;
  }
  return reach;
}

function jumpTargets(
  blocks: readonly Block[],
  indexAt: ReadonlyMap<number, number>,
): ReadonlySet<number> {
  const targets = new Set<number>();
  const add = (offset: number): void => {
    const index = indexAt.get(offset);
    if (index !== undefined) targets.add(index);
  };
  blocks.forEach((block, index) => {
    if (block.ending === 'branch' || block.ending === 'jump') add(block.target);
    const falls = block.ending === 'branch' || block.ending === 'fall';
    if (falls && indexAt.get(block.next) !== index + 1) add(block.next);
  });
  return targets;
}

/** Which item of a loop a block is or lies in. */
export function itemIndex(loop: Loop, block: number): number {
  const found = loop.items.findIndex((item) =>
    typeof item === 'number' ? item === block : item.first <= block && block <= item.last,
  );
  return must(found < 0 ? undefined : found, `block ${block} in its loop`);
}

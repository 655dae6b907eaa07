/**
 * The VMAs of one address space, ordered by address: an AVL tree whose nodes know the largest gap below them, so that
 * finding a VMA and finding room for a new one are both O(log n). Linux keeps them in a maple tree with the same
 * augmentation. Plain data: whoever changes or reads it holds mmap_lock, or records `mm.treeCell`.
 * @linux include/linux/maple_tree.h, mm/vma.c
 */
import { assert } from '../../base/assert.ts';
import type { Vaddr, Vma } from './mm-types.ts';

class Node {
  readonly vma: Vma;
  left: Node | null = null;
  right: Node | null = null;
  height = 1;
  /** First and last address of the subtree. */
  first: Vaddr;
  last: Vaddr;
  /** Bytes of the largest gap between two neighbours within the subtree. */
  gap = 0;

  constructor(vma: Vma) {
    this.vma = vma;
    this.first = vma.start;
    this.last = vma.end;
  }
}

export class VmaTree implements Iterable<Vma> {
  private root: Node | null = null;
  private count = 0;

  /** Number of VMAs. @linux mm_struct.map_count */
  get size(): number {
    return this.count;
  }

  /** The VMA that contains an address. */
  find(address: Vaddr): Vma | null {
    let node = this.root;
    while (node !== null) {
      const { vma } = node;
      if (address < vma.start) node = node.left;
      else if (address >= vma.end) node = node.right;
      else return vma;
    }
    return null;
  }

  /** The first VMA that ends above an address: the one containing it, or the next one. @linux find_vma */
  findFrom(address: Vaddr): Vma | null {
    let node = this.root;
    let best: Vma | null = null;
    while (node !== null) {
      if (node.vma.end > address) {
        best = node.vma;
        node = node.left;
      } else {
        node = node.right;
      }
    }
    return best;
  }

  /** The last VMA that starts below an address. */
  findBelow(address: Vaddr): Vma | null {
    let node = this.root;
    let best: Vma | null = null;
    while (node !== null) {
      if (node.vma.start < address) {
        best = node.vma;
        node = node.right;
      } else {
        node = node.left;
      }
    }
    return best;
  }

  next(vma: Vma): Vma | null {
    return this.findFrom(vma.end);
  }
  prev(vma: Vma): Vma | null {
    return this.findBelow(vma.start);
  }

  /**
   * VMAs that overlap [start, end), ascending. Each one is looked up when it is asked for, so the walk stays right
   * when VMAs behind it are split, merged or removed.
   */
  *range(start: Vaddr, end: Vaddr): Generator<Vma, void> {
    let address = start;
    while (address < end) {
      const vma = this.findFrom(address);
      if (vma === null || vma.start >= end) return;
      address = vma.end;
      yield vma;
    }
  }

  *[Symbol.iterator](): Generator<Vma, void> {
    yield* this.range(0, Number.MAX_SAFE_INTEGER);
  }

  /** Adds a VMA, which must not overlap another. */
  insert(vma: Vma): void {
    assert(vma.start < vma.end, `empty VMA at 0x${vma.start.toString(16)}`);
    const other = this.findFrom(vma.start);
    assert(
      other === null || other.start >= vma.end,
      `VMA at 0x${vma.start.toString(16)} overlaps the one at 0x${(other?.start ?? 0).toString(16)}`,
    );
    this.root = insertNode(this.root, vma);
    this.count++;
  }

  /** Takes a VMA out, which must be in. */
  remove(vma: Vma): void {
    this.root = removeNode(this.root, vma);
    this.count--;
  }

  /** Changes the bounds of a VMA in place. Neighbours must have been removed or shrunk before. */
  resize(vma: Vma, start: Vaddr, end: Vaddr): void {
    assert(start < end, `VMA resized to nothing at 0x${start.toString(16)}`);
    const before = this.findBelow(vma.start);
    const after = this.findFrom(vma.end);
    assert(
      (before === null || before.end <= start) && (after === null || after.start >= end),
      `VMA resized over a neighbour at 0x${start.toString(16)}`,
    );
    const key = vma.start;
    vma.start = start;
    vma.end = end;
    refresh(this.root, vma, key);
  }

  /** Moves the boundary between two adjacent VMAs. */
  moveBoundary(left: Vma, right: Vma, boundary: Vaddr): void {
    assert(left.end === right.start, 'boundary between VMAs that do not touch');
    const down = boundary < right.start;
    if (down) this.resize(left, left.start, boundary);
    this.resize(right, boundary, right.end);
    if (!down) this.resize(left, left.start, boundary);
  }

  /** Forgets everything. */
  clear(): void {
    this.root = null;
    this.count = 0;
  }

  /**
   * The highest address at which `length` bytes are free within [low, high), or -1.
   * @linux mm/mmap.c vm_unmapped_area (VM_UNMAPPED_AREA_TOPDOWN)
   */
  findGap(length: number, low: Vaddr, high: Vaddr): Vaddr {
    return gapIn(this.root, length, low, high);
  }

  /** Asserts order, balance and augmentation. For tests and checks. */
  validate(): void {
    let count = 0;
    let end = 0;
    for (const vma of this) {
      assert(vma.start >= end && vma.end > vma.start, 'VMAs out of order or overlapping');
      end = vma.end;
      count++;
    }
    assert(count === this.count, `VMA tree holds ${count}, says ${this.count}`);
    validateNode(this.root);
  }
}

function gapIn(node: Node | null, length: number, low: Vaddr, high: Vaddr): Vaddr {
  if (high - low < length) return -1;
  if (node === null) return high - length;
  if (node.first - low < length && high - node.last < length && node.gap < length) return -1;
  const { vma } = node;
  const above = gapIn(node.right, length, Math.max(low, vma.end), high);
  if (above >= 0) return above;
  return gapIn(node.left, length, low, Math.min(high, vma.start));
}

function insertNode(node: Node | null, vma: Vma): Node {
  if (node === null) return new Node(vma);
  if (vma.start < node.vma.start) node.left = insertNode(node.left, vma);
  else node.right = insertNode(node.right, vma);
  return balance(node);
}

function removeNode(node: Node | null, vma: Vma): Node | null {
  assert(node !== null, `VMA at 0x${vma.start.toString(16)} is not in the tree`);
  if (node.vma !== vma) {
    if (vma.start < node.vma.start) node.left = removeNode(node.left, vma);
    else node.right = removeNode(node.right, vma);
    return balance(node);
  }
  if (node.left === null) return node.right;
  if (node.right === null) return node.left;
  const [least, rest] = takeLeast(node.right);
  least.left = node.left;
  least.right = rest;
  return balance(least);
}

function takeLeast(node: Node): readonly [least: Node, rest: Node | null] {
  if (node.left === null) return [node, node.right];
  const [least, rest] = takeLeast(node.left);
  node.left = rest;
  return [least, balance(node)];
}

/** Recomputes what the nodes above a VMA know of it. @param key an address by which it is still found */
function refresh(node: Node | null, vma: Vma, key: Vaddr): void {
  assert(node !== null, `VMA at 0x${key.toString(16)} is not in the tree`);
  if (node.vma !== vma) refresh(key < node.vma.start ? node.left : node.right, vma, key);
  update(node);
}

function update(node: Node): void {
  const { vma, left, right } = node;
  let height = 0;
  let gap = 0;
  node.first = vma.start;
  node.last = vma.end;
  if (left !== null) {
    height = left.height;
    gap = Math.max(left.gap, vma.start - left.last);
    node.first = left.first;
  }
  if (right !== null) {
    height = Math.max(height, right.height);
    gap = Math.max(gap, right.gap, right.first - vma.end);
    node.last = right.last;
  }
  node.height = height + 1;
  node.gap = gap;
}

function tilt(node: Node): number {
  return (node.left?.height ?? 0) - (node.right?.height ?? 0);
}

function balance(node: Node): Node {
  update(node);
  const lean = tilt(node);
  if (lean > 1 && node.left !== null) {
    if (tilt(node.left) < 0) node.left = rotateLeft(node.left);
    return rotateRight(node);
  }
  if (lean < -1 && node.right !== null) {
    if (tilt(node.right) > 0) node.right = rotateRight(node.right);
    return rotateLeft(node);
  }
  return node;
}

function rotateLeft(node: Node): Node {
  const top = node.right;
  assert(top !== null, 'rotation without a child');
  node.right = top.left;
  top.left = node;
  update(node);
  update(top);
  return top;
}

function rotateRight(node: Node): Node {
  const top = node.left;
  assert(top !== null, 'rotation without a child');
  node.left = top.right;
  top.right = node;
  update(node);
  update(top);
  return top;
}

function validateNode(node: Node | null): void {
  if (node === null) return;
  validateNode(node.left);
  validateNode(node.right);
  const { height, first, last, gap } = node;
  assert(Math.abs(tilt(node)) <= 1, 'VMA tree out of balance');
  update(node);
  assert(
    node.height === height && node.first === first && node.last === last && node.gap === gap,
    `stale augmentation at 0x${node.vma.start.toString(16)}`,
  );
}

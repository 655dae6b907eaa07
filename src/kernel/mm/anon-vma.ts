/**
 * anon_vma: which mappings may hold the pages that were first written through one mapping.
 *
 * A folio names its anon_vma (`frames.mapping`) and its place in it (`frames.index`); the anon_vma names every VMA that
 * may map the folio, its own and those of forked children. fork gives a child's VMA an anon_vma of its own for what it
 * writes from now on, and links it to all anon_vmas of the parent's VMA for what it inherited.
 *
 *   parent vma --chain--> A            child vma --chain--> A (inherited pages)
 *                                                \-chain--> B (its own), B.parent = A, B.root = A
 *
 * All anon_vmas of one family share the lock of their root. @linux mm/rmap.c, include/linux/rmap.h
 */
import { assert } from '../../base/assert.ts';
import { machine } from '../../machine/current.ts';
import { type Cell, cellIndex, cellOf, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { Lock, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { CELL_VMA_ANON } from '../cells.ts';
import { world } from '../current.ts';
import { ANON_VMA_LOCK } from '../lock-classes.ts';
import { seam } from '../seam.ts';
import type { Vma } from './mm-types.ts';
import { VM_ACCESS_FLAGS, VM_IGNORE_MERGE } from './vm-flags.ts';

/** One link between a VMA and an anon_vma. */
export class AnonVmaChain {
  readonly vma: Vma;
  readonly anonVma: AnonVma;

  constructor(vma: Vma, anonVma: AnonVma) {
    this.vma = vma;
    this.anonVma = anonVma;
  }
}

/** @linux include/linux/rmap.h struct anon_vma */
export class AnonVma {
  /** What folios put into `frames.mapping`. */
  readonly id: number;
  readonly root: AnonVma;
  readonly parent: AnonVma;
  /** Protects the links and counts of the whole family; only the root's is ever taken. */
  readonly lock: Lock;
  /** VMAs whose folios may name this anon_vma. Protected by the root's lock. */
  readonly links: Set<AnonVmaChain> = new Set();
  /** Anon_vmas whose parent this is; a root counts itself. Protected by the root's lock. */
  numChildren = 0;
  /** VMAs whose `anonVma` this is. Protected by the root's lock. */
  numActiveVmas = 0;

  constructor(parent: AnonVma | null) {
    const owner = world.owner();
    const serial = world.anonVmasMade[owner] ?? 0;
    world.anonVmasMade[owner] = serial + 1;
    this.id = serial * world.machine.geometry.owners + owner + 1;
    this.parent = parent ?? this;
    this.root = parent?.root ?? this;
    this.lock = parent?.root.lock ?? new Lock(ANON_VMA_LOCK, `anon_vma ${this.id}`);
    this.parent.numChildren++;
    world.anonVmas.set(this.id, this);
  }
}

/** What stands for a VMA's `anonVma` field, which changes once, from null. */
function anonCell(vma: Vma): Cell {
  return cellOf(CELL_VMA_ANON, cellIndex(vma.cell));
}

/** Whether the VMA has an anon_vma, looked at without the lock that guards its making. */
export function hasAnonVma(vma: Vma): boolean {
  sched.touch(anonCell(vma), READ);
  return vma.anonVma !== null;
}

/**
 * Makes sure that private pages can be mapped into a VMA: shares a neighbour's anon_vma where the two could merge one
 * day, or makes one.
 * @returns false when memory is exhausted, which only a patch makes happen
 * Requires: mmap_lock, for reading at least. @linux mm/rmap.c __anon_vma_prepare
 */
export function* anonVmaPrepare(vma: Vma): Steps<boolean> {
  if (hasAnonVma(vma)) return true;
  const shared = findMergeableAnonVma(vma);
  if (shared !== null) {
    yield* lock(shared.root.lock);
    if (vma.anonVma === null) adopt(vma, shared);
    unlock(shared.root.lock);
    return true;
  }
  if (machine.shortage?.strikes() === true || !anonVmaAlloc()) return false;
  // A new one is nobody else's yet, so its lock costs no step; the field itself is guarded by the page-table lock of
  // the mm, which is the step that runs.
  adopt(vma, new AnonVma(null));
  return true;
}

/** Whether there is memory for a new anon_vma. Always, unless a patch lets it fail. @linux anon_vma_alloc */
export const anonVmaAlloc = seam('anon-vma.alloc', (): boolean => true);

function adopt(vma: Vma, anonVma: AnonVma): void {
  sched.touch(anonCell(vma), WRITE);
  vma.anonVma = anonVma;
  anonVma.numActiveVmas++;
  link(vma, anonVma);
}

function link(vma: Vma, anonVma: AnonVma): void {
  const avc = new AnonVmaChain(vma, anonVma);
  vma.anonVmaChain.push(avc);
  anonVma.links.add(avc);
}

/** @linux mm/vma.c find_mergeable_anon_vma */
function findMergeableAnonVma(vma: Vma): AnonVma | null {
  const next = vma.mm.vmas.find(vma.end);
  if (next !== null && compatible(vma, next)) return next.anonVma;
  const prev = vma.start === 0 ? null : vma.mm.vmas.find(vma.start - 1);
  if (prev !== null && compatible(prev, vma)) return prev.anonVma;
  return null;
}

/**
 * Whether two adjacent VMAs could be one but for their protection, and the one with an anon_vma has it to itself: not
 * inherited from a parent process, whose pages must stay out of it.
 */
function compatible(left: Vma, right: Vma): boolean {
  const pages = (left.end - left.start) / 4096;
  const differ = (left.flags ^ right.flags) & ~(VM_ACCESS_FLAGS | VM_IGNORE_MERGE);
  if (differ !== 0 || left.file !== right.file || left.pgoff + pages !== right.pgoff) return false;
  const owner = left.anonVma === null ? right : left;
  sched.touch(anonCell(owner), READ);
  return owner.anonVma !== null && owner.anonVmaChain.length === 1;
}

/**
 * Links a VMA to all anon_vmas of another: for a split or moved VMA, and as the first half of fork. When `dst` has no
 * anon_vma of its own yet and one in the chain has lost its VMA and has at most one child, `dst` takes that one over,
 * so that a process that forks for ever does not grow a chain for ever.
 * Requires: mmap_lock of both for writing. @linux mm/rmap.c anon_vma_clone
 */
export function* anonVmaClone(dst: Vma, src: Vma): Steps<void> {
  const root = src.anonVmaChain[0]?.anonVma.root;
  if (root === undefined) return;
  yield* lock(root.lock);
  for (const { anonVma } of src.anonVmaChain) {
    link(dst, anonVma);
    if (dst.anonVma === null && src.anonVma !== null && reusable(anonVma, src)) {
      dst.anonVma = anonVma;
    }
  }
  if (dst.anonVma !== null) dst.anonVma.numActiveVmas++;
  unlock(root.lock);
}

/** Whether a child's VMA may take an inherited anon_vma for its own: nobody else does, and at most one child needs it. */
export const reusable = seam(
  'anon-vma.reusable',
  (anonVma: AnonVma, _src: Vma): boolean => anonVma.numChildren < 2 && anonVma.numActiveVmas === 0,
);

/**
 * Gives a forked child's VMA its links to the parent's anon_vmas and one of its own.
 * Requires: mmap_lock of both for writing. @linux mm/rmap.c anon_vma_fork
 */
export function* anonVmaFork(vma: Vma, parentVma: Vma): Steps<void> {
  if (parentVma.anonVma === null) return;
  vma.anonVma = null;
  yield* anonVmaClone(vma, parentVma);
  if (vma.anonVma !== null) return;
  const { root } = parentVma.anonVma;
  yield* lock(root.lock);
  adopt(vma, new AnonVma(parentVma.anonVma));
  unlock(root.lock);
}

/**
 * Takes a VMA out of all its anon_vmas; those that lose their last VMA go.
 * Requires: mmap_lock for writing, nothing mapped in the VMA any more. @linux mm/rmap.c unlink_anon_vmas
 */
export function* unlinkAnonVmas(vma: Vma): Steps<void> {
  const root = vma.anonVmaChain[0]?.anonVma.root;
  if (root === undefined) {
    assert(vma.anonVma === null, 'a VMA has an anon_vma and no link to it');
    return;
  }
  yield* lock(root.lock);
  if (vma.anonVma !== null) vma.anonVma.numActiveVmas--;
  vma.anonVma = null;
  // Own anon_vma last in, first out: children go before the parents they count for.
  for (const avc of vma.anonVmaChain.reverse()) {
    avc.anonVma.links.delete(avc);
    if (avc.anonVma.links.size === 0) release(avc.anonVma);
  }
  vma.anonVmaChain.length = 0;
  unlock(root.lock);
}

function release(anonVma: AnonVma): void {
  anonVma.parent.numChildren--;
  world.anonVmas.delete(anonVma.id);
}

/**
 * Splitting, merging and changing VMAs. Two neighbours that user space cannot tell apart are one VMA: which of them may
 * be joined is the rule of `canMerge`, and everything that changes a range goes through `vmaModify`.
 * @linux mm/vma.c; semantics.md section 3
 */
import { must } from '../../base/assert.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { assertHeldWrite, type Lock, lock, take, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { world } from '../current.ts';
import { type File, fget, fput } from '../fs/file.ts';
import type { UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import { seam } from '../seam.ts';
import { type AnonVma, anonVmaClone, unlinkAnonVmas } from './anon-vma.ts';
import { linkFileVma, lockMapping, unlockMapping } from './filemap.ts';
import { splitHugePmdAt } from './huge-split.ts';
import { hugetlbSplit, hugetlbSplitEarly } from './hugetlb-change.ts';
import { hugetlbVmaLockWrite, hugetlbVmaUnlockWrite } from './hugetlb-lock.ts';
import { hugetlbVmaOpen, isVmHugetlb, mayCut } from './hugetlb-vma.ts';
import { type Mm, type Vaddr, Vma } from './mm-types.ts';
import { vmaStartWrite } from './mmap-lock.ts';
import { has, VM_IGNORE_MERGE, VM_SPECIAL, type VmFlags, withFlag } from './vm-flags.ts';

/** What is to become of a range: fields that are absent stay. */
export interface VmaChange {
  readonly flags?: VmFlags;
  /** A context, or null to unregister. */
  readonly uffd?: UserfaultfdCtx | null;
}

/** A range that is to become (part of) a VMA. @linux struct vma_merge_struct */
export interface VmaRange {
  readonly start: Vaddr;
  readonly end: Vaddr;
  readonly flags: VmFlags;
  /** Pages; anonymous memory that was never faulted counts from address 0. */
  readonly pgoff: number;
  readonly file: File | null;
  readonly uffd: UserfaultfdCtx | null;
  readonly anonVma: AnonVma | null;
  /** Links of the VMA the range is in now: more than one when it was inherited over fork. */
  readonly anonLinks: number;
}

/**
 * Gives [start, end) of a VMA new attributes: merges it with neighbours that then are alike, or splits it off.
 * @returns the VMA that covers the range now, write-locked; -ENOMEM when that needs one VMA too many, -EINVAL when a
 *   mapping of huge pages would be cut within one of them
 * Requires: mmap_lock for writing; [start, end) within the VMA. @linux mm/vma.c vma_modify
 */
export function* vmaModify(
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  change: VmaChange,
): Steps<Vma | number> {
  assertHeldWrite(vma.mm.mmapLock);
  const flags = change.flags ?? vma.flags;
  const uffd = change.uffd === undefined ? vma.uffd : change.uffd;
  const merged = yield* mergeExistingRange(vma, start, end, flags, uffd);
  if (merged !== null) return merged;
  if (isVmHugetlb(vma) && !(mayCut(vma, start) && mayCut(vma, end))) return -EINVAL;
  if (vma.start < start) {
    const error = yield* splitVma(vma, start, true);
    if (error < 0) return error;
  }
  if (vma.end > end) {
    const error = yield* splitVma(vma, end, false);
    if (error < 0) return error;
  }
  yield* vmaStartWrite(vma);
  if (vma.flags !== flags || vma.uffd !== uffd) {
    vma.poke();
    vma.flags = flags;
    vma.uffd = uffd;
  }
  return vma;
}

/**
 * Splits a VMA in two at an address within it.
 * @param newBelow whether the new VMA is the lower part; `vma` keeps the other one
 * @returns 0, or -ENOMEM at the limit of mappings
 * Requires: mmap_lock for writing. @linux mm/vma.c split_vma
 */
export function* splitVma(vma: Vma, address: Vaddr, newBelow: boolean): Steps<number> {
  if (vma.mm.mapCount >= world.sysctl.maxMapCount) return -ENOMEM;
  yield* splitVmaUnlimited(vma, address, newBelow);
  return 0;
}

/** The split itself: munmap may go one VMA over the limit for a moment. @linux mm/vma.c __split_vma */
export function* splitVmaUnlimited(vma: Vma, address: Vaddr, newBelow: boolean): Steps<Vma> {
  const { mm } = vma;
  const [start, end] = newBelow ? [vma.start, address] : [address, vma.end];
  const fresh = new Vma(mm, start, end, vma.flags, vma.pgoff + pages(start - vma.start));
  fresh.file = vma.file;
  if (fresh.file !== null) fget(fresh.file);
  fresh.uffd = vma.uffd;
  if (isVmHugetlb(vma)) {
    hugetlbVmaOpen(fresh, vma);
    yield* hugetlbSplitEarly(vma, address);
  }
  yield* vmaStartWrite(vma);
  yield* splitHugePmdAt(vma, address);
  fresh.anonVma = vma.anonVma;
  yield* anonVmaClone(fresh, vma);
  if (isVmHugetlb(vma)) yield* hugetlbVmaLockWrite(vma);
  const mapping = yield* lockMapping(vma);
  const root = yield* lockAnonVma(vma);
  if (isVmHugetlb(vma)) yield* hugetlbSplit(vma, address);
  if (newBelow) resize(vma, address, vma.end);
  else resize(vma, vma.start, address);
  insertVma(fresh);
  mapping?.iMmap.add(fresh);
  if (root !== null) unlock(root);
  unlockMapping(mapping);
  if (isVmHugetlb(vma)) hugetlbVmaUnlockWrite(vma);
  return fresh;
}

/**
 * Adds a new VMA to its mm, write-locked until mmap_lock is released.
 * Requires: mmap_lock for writing; the range free. @linux mm/vma.c vma_link
 */
export function insertVma(vma: Vma): void {
  const { mm } = vma;
  // Nobody else can hold or wait for the lock of a VMA not yet in the tree: a try, exempt from the order.
  take(vma.lock, true);
  mm.writeLocked.push(vma);
  sched.touch(mm.treeCell, WRITE);
  vma.poke();
  mm.vmas.insert(vma);
}

/**
 * Takes a VMA out of its mm: whoever still finds it has to look again.
 * Requires: mmap_lock for writing and the VMA write-locked. @linux vma_mark_detached
 */
export function detachVma(vma: Vma): void {
  const { mm } = vma;
  sched.touch(mm.treeCell, WRITE);
  vma.poke();
  mm.vmas.remove(vma);
  vma.detached = true;
}

/**
 * Joins a range that has no VMA yet to the neighbours it touches.
 * @param from the VMA whose pages are about to move into the range (mremap), if any
 * @returns the VMA that grew over it, or null: the caller inserts a new one
 * Requires: mmap_lock for writing; the range free. @linux mm/vma.c vma_merge_new_range
 */
export function* mergeNewRange(
  mm: Mm,
  range: VmaRange,
  from: Vma | null = null,
): Steps<Vma | null> {
  if (has(range.flags, VM_SPECIAL)) return null;
  const prev = touching(mm, range.start - 1);
  const next = touching(mm, range.end);
  const left = prev !== null && canMergeAfter(prev, range);
  const right = next !== null && canMergeBefore(range, next) && (!left || compatible(prev, next));
  const sticky = stickyFlags(range.flags, left ? prev : null, right ? next : null);
  if (left) yield* vmaStartWrite(prev);
  if (right) yield* vmaStartWrite(next);
  if (left && right) {
    yield* dupAnonVma(prev, next);
    if (from !== null) yield* dupAnonVma(prev, from);
    return yield* grow(prev, prev.start, next.end, sticky, { removed: [next] });
  }
  const target = left ? prev : right ? next : null;
  if (target !== null && from !== null) yield* dupAnonVma(target, from);
  if (left) return yield* grow(prev, prev.start, range.end, sticky, { removed: [] });
  if (right) return yield* grow(next, range.start, next.end, sticky, { removed: [] });
  return null;
}

/** What copyVma made. */
export interface VmaCopy {
  readonly fresh: Vma;
  /** The VMA that holds the source now: joining may have swallowed it. */
  readonly source: Vma;
  /** Whether a walk over the VMAs of the family may meet the copy before the source. */
  readonly needRmapLocks: boolean;
}

/**
 * A VMA like another one at a free place, for pages that are about to move there: joined to its neighbours where it
 * can be, write-locked. Memory that was never written takes the page offset of its new place.
 * @param pgoff page offset of the first byte, as at the source
 * Requires: mmap_lock for writing, the source write-locked. @linux mm/vma.c copy_vma
 */
export function* copyVma(vma: Vma, start: Vaddr, length: number, pgoff: number): Steps<VmaCopy> {
  const { mm, flags, file, uffd, anonVma } = vma;
  const [from, end] = [vma.start, start + length];
  const at = file === null && anonVma === null ? start / PAGE_SIZE : pgoff;
  const anonLinks = vma.anonVmaChain.length;
  const range: VmaRange = { start, end, flags, pgoff: at, file, uffd, anonVma, anonLinks };
  const merged = yield* mergeNewRange(mm, range, vma);
  if (merged !== null) {
    const source = merged.contains(from) ? merged : vma;
    return { fresh: merged, source, needRmapLocks: merged.pgoff <= source.pgoff };
  }
  const fresh = new Vma(mm, start, end, flags, at);
  fresh.file = file;
  if (file !== null) fget(file);
  fresh.uffd = uffd;
  if (isVmHugetlb(vma)) hugetlbVmaOpen(fresh, vma);
  fresh.anonVma = anonVma;
  yield* anonVmaClone(fresh, vma);
  yield* linkFileVma(fresh);
  insertVma(fresh);
  return { fresh, source: vma, needRmapLocks: false };
}

/**
 * Lets a VMA grow upward over free space, joining it to the VMA behind when that then is alike.
 * @returns the VMA that covers the range now, or null when something is in the way
 * Requires: mmap_lock for writing. @linux mm/vma.c vma_merge_extend
 */
export function* growInto(vma: Vma, end: Vaddr): Steps<Vma | null> {
  const { mm, flags, file, uffd, anonVma } = vma;
  const after = mm.vmas.next(vma);
  if (after !== null && after.start < end) return null;
  yield* vmaStartWrite(vma);
  const pgoff = vma.pgoff + pages(vma.end - vma.start);
  const anonLinks = vma.anonVmaChain.length;
  const range: VmaRange = { start: vma.end, end, flags, pgoff, file, uffd, anonVma, anonLinks };
  const next = after !== null && after.start === end && canMergeBefore(range, after) ? after : null;
  if (next === null || !compatible(vma, next)) {
    return yield* grow(vma, vma.start, end, flags, { removed: [] });
  }
  yield* vmaStartWrite(next);
  yield* dupAnonVma(vma, next);
  const sticky = stickyFlags(flags, vma, next);
  return yield* grow(vma, vma.start, next.end, sticky, { removed: [next] });
}

/**
 * The merge half of vmaModify: when the changed range reaches an end of its VMA and the neighbour there is alike, the
 * neighbour takes the range over. @linux mm/vma.c vma_merge_existing_range
 */
function* mergeExistingRange(
  middle: Vma,
  start: Vaddr,
  end: Vaddr,
  flags: VmFlags,
  uffd: UserfaultfdCtx | null,
): Steps<Vma | null> {
  if (has(flags, VM_SPECIAL)) return null;
  const { mm, file, anonVma } = middle;
  const pgoff = middle.pgoff + pages(start - middle.start);
  const anonLinks = middle.anonVmaChain.length;
  const range: VmaRange = { start, end, flags, pgoff, file, uffd, anonVma, anonLinks };
  const prev = start === middle.start ? touching(mm, start - 1) : null;
  const next = end === middle.end ? touching(mm, end) : null;
  const left = prev !== null && canMergeAfter(prev, range);
  const right = next !== null && canMergeBefore(range, next) && (!left || compatible(prev, next));
  if (!left && !right) return null;
  const whole = start === middle.start && end === middle.end;
  const sticky = stickyFlags(flags, left ? prev : null, right ? next : null);
  yield* vmaStartWrite(middle);
  if (left) yield* vmaStartWrite(prev);
  if (right) yield* vmaStartWrite(next);
  if (left && right) {
    yield* dupAnonVma(prev, next.anonVma === null ? middle : next);
    return yield* grow(prev, prev.start, next.end, sticky, { removed: [middle, next] });
  }
  const target = left ? prev : must(next, 'neighbour');
  yield* dupAnonVma(target, middle);
  const rest: Rest = whole ? { removed: [middle] } : { removed: [], shrunk: middle };
  return left
    ? yield* grow(target, target.start, end, sticky, rest)
    : yield* grow(target, start, target.end, sticky, rest);
}

/** What a growing VMA takes its new range from. */
interface Rest {
  readonly removed: readonly Vma[];
  readonly shrunk?: Vma;
}

/**
 * Lets a VMA grow over ranges that others give up, in one step and with rmap walkers kept out: they compute addresses
 * from bounds. @linux mm/vma.c commit_merge, vma_prepare, vma_complete
 */
function* grow(
  target: Vma,
  start: Vaddr,
  end: Vaddr,
  flags: VmFlags,
  { removed, shrunk }: Rest,
): Steps<Vma> {
  if (shrunk !== undefined) {
    yield* splitHugePmdAt(shrunk, shrunk.start >= target.end ? end : start);
  }
  const mapping = yield* lockMapping(target);
  const root = yield* lockAnonVma(target);
  for (const vma of removed) {
    detachVma(vma);
    mapping?.iMmap.delete(vma);
  }
  if (shrunk !== undefined) {
    if (shrunk.start >= target.end) resize(shrunk, end, shrunk.end);
    else resize(shrunk, shrunk.start, start);
  }
  resize(target, start, end);
  target.flags = flags;
  if (root !== null) unlock(root);
  unlockMapping(mapping);
  for (const vma of removed) {
    // Never the last reference: the VMA that took the range over has one.
    if (vma.file !== null) yield* fput(world.current, vma.file);
    yield* unlinkAnonVmas(vma);
  }
  return target;
}

/** Whether `range` can become the tail of the VMA that ends where it starts. @linux can_vma_merge_after */
function canMergeAfter(vma: Vma, range: VmaRange): boolean {
  return alike(vma, range) && vma.pgoff + pages(vma.end - vma.start) === range.pgoff;
}

/** Whether `range` can become the head of the VMA that starts where it ends. @linux can_vma_merge_before */
function canMergeBefore(range: VmaRange, vma: Vma): boolean {
  return alike(vma, range) && range.pgoff + pages(range.end - range.start) === vma.pgoff;
}

/** @linux mm/vma.c is_mergeable_vma, is_mergeable_anon_vma */
function alike(vma: Vma, range: VmaRange): boolean {
  if (((vma.flags ^ range.flags) & ~VM_IGNORE_MERGE) !== 0) return false;
  if (vma.file !== range.file || vma.uffd !== range.uffd) return false;
  if (vma.anonVma === null && range.anonVma !== null) return range.anonLinks <= 1;
  if (vma.anonVma !== null && range.anonVma === null) return vma.anonVmaChain.length <= 1;
  return vma.anonVma === range.anonVma;
}

/** Both fit the range, but do they fit each other? Two independently faulted areas never merge. */
function compatible(prev: Vma, next: Vma): boolean {
  return prev.anonVma === null || next.anonVma === null || prev.anonVma === next.anonVma;
}

/** What joining keeps although only one part has it. Older kernels lost VM_SOFTDIRTY. @linux VM_STICKY */
export const stickyOnMerge = seam('vma.stickyOnMerge', (): VmFlags => VM_IGNORE_MERGE);

/** Flags that any of the parts brings into the whole. */
function stickyFlags(flags: VmFlags, prev: Vma | null, next: Vma | null): VmFlags {
  const all = flags | (prev?.flags ?? 0) | (next?.flags ?? 0);
  return withFlag(flags, (all & stickyOnMerge()) as VmFlags);
}

/** Lets `dst` find the pages of the VMA it is about to swallow. @linux mm/vma.c dup_anon_vma */
function* dupAnonVma(dst: Vma, src: Vma): Steps<void> {
  if (dst.anonVma !== null || src.anonVma === null) return;
  dst.anonVma = src.anonVma;
  yield* anonVmaClone(dst, src);
}

function* lockAnonVma(vma: Vma): Steps<Lock | null> {
  if (vma.anonVma === null) return null;
  const { root } = vma.anonVma;
  yield* lock(root.lock);
  return root.lock;
}

/** New bounds for a VMA; its pages stay what they are. */
function resize(vma: Vma, start: Vaddr, end: Vaddr): void {
  sched.touch(vma.mm.treeCell, WRITE);
  vma.poke();
  vma.pgoff += pages(start - vma.start);
  vma.mm.vmas.resize(vma, start, end);
}

function touching(mm: Mm, address: Vaddr): Vma | null {
  return address < 0 ? null : mm.vmas.find(address);
}

function pages(bytes: number): number {
  return bytes / PAGE_SIZE;
}

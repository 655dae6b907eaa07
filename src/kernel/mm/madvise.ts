/** madvise(2). @linux mm/madvise.c; semantics.md section 6 */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import type { SleepClass } from '../../sched/wait.ts';
import { EINVAL } from '../../uapi/errno.ts';
import {
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_HUGEPAGE,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_UNMERGEABLE,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
} from '../../uapi/mman.ts';
import { type ErrnoRow, fail } from '../errno-row.ts';
import { userfaultfdRemove } from '../fs/userfaultfd-events.ts';
import { seam } from '../seam.ts';
import { madviseGuard } from './guard.ts';
import { isVmHugetlb, vmaPageSize, wholePages } from './hugetlb-vma.ts';
import { madviseCollapse } from './khugepaged.ts';
import { unmergeKsmPages } from './ksm.ts';
import { MADVISE_ERRORS } from './madvise-errors.ts';
import { coldRange, freeRange, pageoutRange } from './madvise-lru.ts';
import { madvisePopulate } from './madvise-populate.ts';
import { madviseRemove } from './madvise-remove.ts';
import { madviseWillneed } from './madvise-willneed.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import {
  lockVmaUnderRcu,
  mmapReadLock,
  mmapReadUnlock,
  mmapWriteLock,
  mmapWriteUnlock,
  vmaEndRead,
  vmaLookup,
} from './mmap-lock.ts';
import { type MmuGather, tlbFinishMmu, tlbGatherMmu } from './mmu-gather.ts';
import { discardSealed } from './mseal.ts';
import {
  has,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DROPPABLE,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_MAYSHARE,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_NONE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SPECIAL,
  VM_UFFD_FLAGS,
  VM_WIPEONFORK,
  type VmFlags,
  withFlag,
  withoutFlag,
} from './vm-flags.ts';
import { pageAlign } from './vm-prot.ts';
import { vmaModify } from './vma.ts';
import { unmapPageRange, type ZapDetails } from './zap.ts';

const E = MADVISE_ERRORS;

/** What an advice does to a mapping's flags, or why it cannot be given. */
type FlagChange = (vma: Vma) => VmFlags | ErrnoRow;

interface Advice {
  readonly name: string;
  readonly nr: number;
  /** flags: under mmap_lock for writing. nothing: accepted without effect. null: not modelled yet. */
  readonly work:
    | 'dontneed'
    | 'remove'
    | 'lru'
    | 'populate'
    | 'guard'
    | 'willneed'
    | 'collapse'
    | FlagChange;
  /** What is missing, for the coverage page. */
  readonly gap: string;
}

function row(name: string, nr: number, work: Advice['work'], gap = ''): Advice {
  return { name, nr, work, gap };
}
function setting(set: VmFlags, clear: VmFlags = VM_NONE): FlagChange {
  return (vma) => withFlag(withoutFlag(vma.flags, clear), set);
}
function unless(refused: (vma: Vma) => boolean, change: FlagChange): FlagChange {
  return (vma) => (refused(vma) ? E.kind : change(vma));
}
/** Shared memory is never merged: the advice is accepted and forgotten. @linux mm/ksm.c ksm_madvise */
function mergeable(vma: Vma): VmFlags {
  const shared = has(vma.flags, (VM_SHARED | VM_MAYSHARE) as VmFlags);
  return shared ? vma.flags : withFlag(vma.flags, VM_MERGEABLE);
}
const DONTNEED: ZapDetails = { dropMarker: false, reclaimPt: true };
const NEVER_DUMPED: VmFlags = (VM_SPECIAL | VM_DROPPABLE) as VmFlags;
const ACCESS: VmFlags = (VM_RAND_READ | VM_SEQ_READ) as VmFlags;
function unlessSealed(change: FlagChange): FlagChange {
  return (vma) => (discardSealed(vma) ? E.sealed : change(vma));
}
const SHARED_OR_FILE = (vma: Vma): boolean => vma.file !== null || has(vma.flags, VM_SHARED);

/** Every advice Linux 6.18 knows. */
export const ADVICE: readonly Advice[] = [
  row('MADV_NORMAL', MADV_NORMAL, setting(VM_NONE, ACCESS)),
  row('MADV_RANDOM', MADV_RANDOM, setting(VM_RAND_READ, ACCESS)),
  row('MADV_SEQUENTIAL', MADV_SEQUENTIAL, setting(VM_SEQ_READ, ACCESS)),
  row('MADV_WILLNEED', MADV_WILLNEED, 'willneed'),
  row('MADV_DONTNEED', MADV_DONTNEED, 'dontneed'),
  row('MADV_FREE', MADV_FREE, 'dontneed', 'nothing is reclaimed but by MADV_PAGEOUT'),
  row('MADV_REMOVE', MADV_REMOVE, 'remove'),
  row('MADV_DONTFORK', MADV_DONTFORK, unlessSealed(setting(VM_DONTCOPY))),
  row(
    'MADV_DOFORK',
    MADV_DOFORK,
    unless((vma) => has(vma.flags, VM_IO), setting(VM_NONE, VM_DONTCOPY)),
  ),
  row('MADV_MERGEABLE', MADV_MERGEABLE, mergeable),
  row('MADV_UNMERGEABLE', MADV_UNMERGEABLE, setting(VM_NONE, VM_MERGEABLE)),
  row('MADV_HUGEPAGE', MADV_HUGEPAGE, setting(VM_HUGEPAGE, VM_NOHUGEPAGE)),
  row('MADV_NOHUGEPAGE', MADV_NOHUGEPAGE, setting(VM_NOHUGEPAGE, VM_HUGEPAGE)),
  row('MADV_DONTDUMP', MADV_DONTDUMP, setting(VM_DONTDUMP)),
  row(
    'MADV_DODUMP',
    MADV_DODUMP,
    unless(
      (vma) => has(vma.flags, isVmHugetlb(vma) ? VM_DROPPABLE : NEVER_DUMPED),
      setting(VM_NONE, VM_DONTDUMP),
    ),
  ),
  row(
    'MADV_WIPEONFORK',
    MADV_WIPEONFORK,
    unlessSealed(unless(SHARED_OR_FILE, setting(VM_WIPEONFORK))),
  ),
  row(
    'MADV_KEEPONFORK',
    MADV_KEEPONFORK,
    unless((vma) => has(vma.flags, VM_DROPPABLE), setting(VM_NONE, VM_WIPEONFORK)),
  ),
  row('MADV_COLD', MADV_COLD, 'lru'),
  row('MADV_PAGEOUT', MADV_PAGEOUT, 'lru'),
  row('MADV_POPULATE_READ', MADV_POPULATE_READ, 'populate'),
  row('MADV_POPULATE_WRITE', MADV_POPULATE_WRITE, 'populate'),
  row('MADV_DONTNEED_LOCKED', MADV_DONTNEED_LOCKED, 'dontneed'),
  row('MADV_COLLAPSE', MADV_COLLAPSE, 'collapse'),
  row('MADV_GUARD_INSTALL', MADV_GUARD_INSTALL, 'guard'),
  row('MADV_GUARD_REMOVE', MADV_GUARD_REMOVE, 'guard'),
];

/** Whether this kernel version knows an advice; profiles take away what came later. */
export const knownAdvice = seam('madvise.knownAdvice', (_behavior: number): boolean => true);

/**
 * Gives advice about [start, start + length).
 * @param length bytes; rounded up to pages
 * @param sleeps which signals end a call that starts itself again: a plain madvise leaves for any
 * @returns 0 or a negative errno. Parts that are not mapped: the rest is done, then ENOMEM
 */
export function* doMadvise(
  mm: Mm,
  start: Vaddr,
  length: number,
  behavior: number,
  sleeps: SleepClass = 'interruptible',
): Steps<number> {
  const advice = ADVICE.find((a) => a.nr === behavior);
  if (advice === undefined || !knownAdvice(behavior)) return fail(E.unknown);
  if (start % PAGE_SIZE !== 0) return fail(E.unaligned);
  // Register values are signed here: a negative one is beyond all addresses.
  if (start < 0 || length < 0) return fail(E.wraps);
  const end = start + pageAlign(length);
  if (end === start) return 0;
  switch (advice.work) {
    case 'collapse':
      return yield* madviseCollapse(mm, start, end);
    case 'populate':
      return yield* madvisePopulate(mm, start, end, behavior === MADV_POPULATE_WRITE);
    case 'dontneed':
      return yield* madviseDontneed(mm, start, end, behavior);
    case 'guard':
      return yield* madviseGuard(mm, start, end, behavior === MADV_GUARD_INSTALL, sleeps);
    case 'lru':
      return yield* madviseLru(mm, start, end, behavior);
    case 'remove':
      return yield* madviseRemove(mm, start, end);
    case 'willneed':
      return yield* madviseWillneed(mm, start, end);
    default:
      return yield* madviseFlags(mm, start, end, advice.work);
  }
}

/** @linux mm/madvise.c madvise_vma_behavior, madvise_update_vma */
function* madviseFlags(mm: Mm, start: Vaddr, end: Vaddr, change: FlagChange): Steps<number> {
  yield* mmapWriteLock(mm);
  let address = start;
  let error = 0;
  for (const vma of mm.vmas.range(start, end)) {
    if (vma.start > address) error = fail(E.hole);
    const from = Math.max(address, vma.start);
    address = Math.min(end, vma.end);
    const refused = yield* madviseUpdate(vma, from, address, change);
    if (refused < 0) {
      mmapWriteUnlock(mm);
      return refused;
    }
  }
  mmapWriteUnlock(mm);
  return address < end ? fail(E.hole) : error;
}

function* madviseUpdate(vma: Vma, start: Vaddr, end: Vaddr, change: FlagChange): Steps<number> {
  const flags = change(vma);
  if (typeof flags !== 'number') return fail(flags);
  if (flags === vma.flags) return 0;
  if (has(vma.flags, VM_MERGEABLE) && !has(flags, VM_MERGEABLE)) {
    yield* unmergeKsmPages(vma, start, end);
  }
  const changed = yield* vmaModify(vma, start, end, { flags });
  if (typeof changed !== 'number') return 0;
  return fail(changed === -EINVAL ? E.cutsHuge : E.tooMany);
}

/**
 * The VMA that holds all of [start, end), under its own lock instead of mmap_lock, or null. Not when a monitor is to be
 * told: that wait must be able to drop mmap_lock. 6.17 and later; replaced by profiles of older kernels.
 * @linux mm/madvise.c try_vma_read_lock
 */
export const tryVmaReadLock = seam(
  'madvise.tryVmaReadLock',
  function* (mm: Mm, start: Vaddr, end: Vaddr): Steps<Vma | null> {
    const vma = yield* lockVmaUnderRcu(mm, start);
    if (vma === null) return null;
    if (end <= vma.end && !has(vma.flags, VM_UFFD_FLAGS)) return vma;
    vmaEndRead(vma);
    return null;
  },
);

/** @linux mm/madvise.c madvise_dontneed_free */
function* madviseDontneed(mm: Mm, start: Vaddr, end: Vaddr, behavior: number): Steps<number> {
  const alone = yield* tryVmaReadLock(mm, start, end);
  if (alone !== null) {
    let result = dontneedRefused(alone, start, behavior);
    if (result === 0) {
      const tlb = tlbGatherMmu(mm);
      result = yield* dontneedVma(tlb, alone, start, end, behavior);
      yield* tlbFinishMmu(tlb);
    }
    vmaEndRead(alone);
    return result;
  }
  yield* mmapReadLock(mm);
  const tlb = tlbGatherMmu(mm);
  const error = yield* dontneedRange(tlb, start, end, behavior);
  yield* tlbFinishMmu(tlb);
  mmapReadUnlock(mm);
  return error;
}

/** VMA by VMA; one flush at the end of the call (6.16 and later). */
function* dontneedRange(tlb: MmuGather, start: Vaddr, end: Vaddr, behavior: number): Steps<number> {
  const { mm } = tlb;
  let address = start;
  let hole = false;
  while (address < end) {
    const vma = mm.vmas.findFrom(address);
    if (vma === null || vma.start >= end) {
      hole = true;
      break;
    }
    if (vma.start > address) hole = true;
    const from = Math.max(address, vma.start);
    const done = yield* dontneedPart(tlb, vma, from, Math.min(end, vma.end), behavior);
    if (done < 0) return done;
    address = done;
  }
  return hole ? fail(E.hole) : 0;
}

/**
 * The VMA at an address once mmap_lock is held again after the monitor was told: not always the one of before.
 * @linux mm/madvise.c madvise_dontneed_free (vma_lookup)
 */
export const vmaAfterRemove = seam(
  'madvise.vmaAfterRemove',
  (mm: Mm, _before: Vma, start: Vaddr): Vma | null => vmaLookup(mm, start),
  'ZAP: while the REMOVE event was being read the VMA may have gone, or become another one',
);

/**
 * One VMA, after its monitor was told. While it was being told, mmap_lock was free: the VMA may have gone or shrunk.
 * @returns the end of what was done, or a negative errno
 */
function* dontneedPart(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  behavior: number,
): Steps<number> {
  const refused = dontneedRefused(vma, start, behavior);
  if (refused < 0) return refused;
  const whole = wholePages(vma, end);
  if (whole <= start) return end;
  let [target, until] = [vma, whole];
  if (!(yield* userfaultfdRemove(vma, start, whole))) {
    yield* mmapReadLock(tlb.mm);
    const again = vmaAfterRemove(tlb.mm, vma, start);
    if (again === null) return fail(E.gone);
    // Whether it was sealed meanwhile is not asked again.
    const refusedNow = dontneedKind(again, start, behavior);
    if (refusedNow < 0) return refusedNow;
    [target, until] = [again, Math.min(whole, again.end)];
  }
  const result = yield* dontneedVma(tlb, target, start, until, behavior);
  if (result < 0) return result;
  return until === whole ? end : until;
}

/** @linux mm/madvise.c can_modify_vma_madv, madvise_dontneed_free_valid_vma */
function dontneedRefused(vma: Vma, start: Vaddr, behavior: number): number {
  return discardSealed(vma) ? fail(E.sealed) : dontneedKind(vma, start, behavior);
}

function dontneedKind(vma: Vma, start: Vaddr, behavior: number): number {
  const { flags } = vma;
  if (has(flags, VM_PFNMAP) || (isVmHugetlb(vma) && behavior === MADV_FREE)) return fail(E.kind);
  if (start % vmaPageSize(vma) !== 0) return fail(E.cutsHuge);
  return behavior !== MADV_DONTNEED_LOCKED && has(flags, VM_LOCKED) ? fail(E.locked) : 0;
}

/** That MADV_FREE is for anonymous memory only is looked at last: the monitor of a file was told. */
function* dontneedVma(
  tlb: MmuGather,
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  behavior: number,
): Steps<number> {
  if (behavior === MADV_FREE) {
    if (vma.file !== null) return fail(E.kind);
    yield* freeRange(tlb, vma, start, end);
  } else {
    const whole = wholePages(vma, end);
    if (whole > start) yield* unmapPageRange(tlb, vma, start, whole, DONTNEED);
  }
  return 0;
}

/** VMA by VMA, each with a flush of its own. @linux mm/madvise.c madvise_cold, madvise_pageout */
function* madviseLru(mm: Mm, start: Vaddr, end: Vaddr, behavior: number): Steps<number> {
  yield* mmapReadLock(mm);
  let address = start;
  let result = 0;
  for (const vma of mm.vmas.range(start, end)) {
    if (vma.start > address) result = fail(E.hole);
    const from = Math.max(address, vma.start);
    address = Math.min(end, vma.end);
    if (has(vma.flags, (VM_LOCKED | VM_PFNMAP | VM_HUGETLB) as VmFlags)) {
      mmapReadUnlock(mm);
      return fail(has(vma.flags, VM_LOCKED) ? E.locked : E.kind);
    }
    const tlb = tlbGatherMmu(mm);
    yield* (behavior === MADV_COLD ? coldRange : pageoutRange)(tlb, vma, from, address);
    yield* tlbFinishMmu(tlb);
  }
  mmapReadUnlock(mm);
  return address < end ? fail(E.hole) : result;
}

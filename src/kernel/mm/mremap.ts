/**
 * mremap(2): changing the size and the place of mappings.
 *
 *   shrink     unmap the tail (over several mappings, if they are there), nothing else
 *   grow       in place when the mapping ends where the range ends and the gap behind is large enough; else move
 *   move       copy the VMA  |  move page-table entries, table by table  |  unmap the source
 *   several    MREMAP_FIXED without a change of size moves all mappings of the range, one after another (6.17 and later)
 *
 * @linux mm/mremap.c; semantics.md section 5
 */
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE } from '../../uapi/mman.ts';
import { world } from '../current.ts';
import { errnoTable, fail } from '../errno-row.ts';
import type { UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import {
  mremapUserfaultfdComplete,
  mremapUserfaultfdPrep,
  type UserfaultfdUnmapCtx,
  userfaultfdUnmapComplete,
} from '../fs/userfaultfd-events.ts';
import { seam } from '../seam.ts';
import { unlinkAnonVmas } from './anon-vma.ts';
import { hugetlbVmaMoved, isVmHugetlb, vmaPageSize } from './hugetlb-vma.ts';
import { mayExpandVm, mayPromise } from './may-expand-vm.ts';
import { leavePagesLocked } from './mlock.ts';
import { mlockFutureOk } from './mlock-limit.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { getUnmappedArea } from './mmap.ts';
import { mmapWriteLock, mmapWriteUnlock, vmaStartWrite } from './mmap-lock.ts';
import { movePageTables } from './move-page-tables.ts';
import { unmapRegion } from './munmap.ts';
import { mmPopulate } from './populate.ts';
import {
  has,
  VM_DONTEXPAND,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYSHARE,
  VM_PFNMAP,
  VM_SEALED,
  VM_SHARED,
  type VmFlags,
  withoutFlag,
} from './vm-flags.ts';
import { pageAlign } from './vm-prot.ts';
import { copyVma, growInto } from './vma.ts';

export const MREMAP_ERRORS = errnoTable('mremap', {
  flags: ['EINVAL', 'a flag that mremap does not have'],
  unaligned: ['EINVAL', 'old_address is not a multiple of the page size'],
  empty: ['EINVAL', 'new_size is 0'],
  beyond: ['EINVAL', 'the new range reaches beyond user space'],
  newUnaligned: ['EINVAL', 'new_address is not a multiple of the page size'],
  needsMayMove: ['EINVAL', 'MREMAP_FIXED or MREMAP_DONTUNMAP without MREMAP_MAYMOVE'],
  dontUnmapSize: ['EINVAL', 'MREMAP_DONTUNMAP with sizes that differ'],
  overlap: ['EINVAL', 'the old and the new range overlap'],
  tooMany: ['ENOMEM', 'fewer than six mappings are left below max_map_count'],
  unmapped: ['EFAULT', 'nothing is mapped at old_address'],
  registered: ['EFAULT', 'a mapping registered with userfaultfd cannot move together with others'],
  sealed: ['EPERM', 'the mapping is sealed'],
  tailBeyond: ['EINVAL', 'the old range reaches beyond user space'],
  unalignedHuge: ['EINVAL', 'an address within a huge page'],
  growsHuge: ['EINVAL', 'a mapping of huge pages cannot grow'],
  zeroPrivate: ['EINVAL', 'old_size 0 duplicates shared mappings only'],
  dontUnmapKind: ['EINVAL', 'MREMAP_DONTUNMAP of a kind of mapping that cannot be empty'],
  crosses: ['EFAULT', 'the old range reaches beyond its mapping'],
  cannotGrow: ['EFAULT', 'this kind of mapping cannot grow'],
  lockLimit: ['EAGAIN', 'more would be locked than RLIMIT_MEMLOCK allows'],
  spaceLimit: [
    'ENOMEM',
    'RLIMIT_AS or RLIMIT_DATA, or with vm.overcommit_memory 2 the commit limit',
  ],
  noRoom: ['ENOMEM', 'something is mapped behind the range and MREMAP_MAYMOVE is not given'],
  noGap: ['ENOMEM', 'no gap in the address space is large enough'],
  noTables: ['ENOMEM', 'no memory for page tables: everything is back where it was'],
});
const E = MREMAP_ERRORS;

/** What mremap is asked for; lengths in bytes. */
export interface MremapRequest {
  readonly address: Vaddr;
  readonly oldLength: number;
  readonly newLength: number;
  readonly flags: number;
  readonly newAddress: Vaddr;
}

/** One call under way: the request as far as it has come, and who is to be told. @linux struct vma_remap_struct */
interface Remap {
  readonly mm: Mm;
  readonly flags: number;
  address: Vaddr;
  oldLength: number;
  newLength: number;
  /** Where it goes; until that is known, where it is asked to go. */
  newAddress: Vaddr;
  /** Whether mmap_lock is still held. */
  locked: boolean;
  /** Whether what was added has to be faulted in. */
  populate: boolean;
  /** Contexts that hear of what made room at the destination. */
  readonly early: UserfaultfdUnmapCtx[];
  /** Contexts that hear of what is gone from the source. */
  readonly late: UserfaultfdUnmapCtx[];
  /** The context that hears of the move. */
  moved: UserfaultfdCtx | null;
}

/**
 * Changes the size or place of a mapping, or the place of several.
 * @returns the address of the mapping, or a negative errno
 * Requires: no lock. @linux mm/mremap.c do_mremap
 */
export function* doMremap(mm: Mm, asked: MremapRequest): Steps<number> {
  const remap: Remap = {
    mm,
    flags: asked.flags,
    address: asked.address,
    newAddress: asked.newAddress,
    oldLength: pageAlign(asked.oldLength),
    newLength: pageAlign(asked.newLength),
    locked: true,
    populate: false,
    early: [],
    late: [],
    moved: null,
  };
  const error = checkRequest(remap);
  if (error < 0) return error;
  yield* mmapWriteLock(mm);
  const result = yield* mremapLocked(remap);
  if (remap.locked) mmapWriteUnlock(mm);
  const { newAddress, oldLength, newLength } = remap;
  if (result >= 0 && remap.populate) {
    yield* mmPopulate(mm, newAddress + oldLength, newAddress + newLength);
  }
  yield* userfaultfdUnmapComplete(mm, remap.early);
  if (remap.moved !== null) {
    yield* mremapUserfaultfdComplete(remap.moved, remap.address, newAddress, oldLength);
  }
  yield* userfaultfdUnmapComplete(mm, remap.late);
  return result;
}

function impliesNewAddress({ flags }: Remap): boolean {
  return (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0;
}

/** What can be said without looking at mappings. @linux mm/mremap.c check_mremap_params */
function checkRequest(remap: Remap): number {
  const { mm, address, oldLength, newLength, flags, newAddress } = remap;
  const known = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
  if ((flags & ~known) !== 0) return fail(E.flags);
  if (address % PAGE_SIZE !== 0) return fail(E.unaligned);
  if (newLength === 0) return fail(E.empty);
  if (newLength < 0 || newLength > TASK_SIZE) return fail(E.beyond);
  // Without these flags the new address is not looked at (measured on 6.18).
  if (!impliesNewAddress(remap)) return 0;
  if (newAddress < 0 || newAddress > TASK_SIZE - newLength) return fail(E.beyond);
  if (newAddress % PAGE_SIZE !== 0) return fail(E.newUnaligned);
  if ((flags & MREMAP_MAYMOVE) === 0) return fail(E.needsMayMove);
  if ((flags & MREMAP_DONTUNMAP) !== 0 && oldLength !== newLength) return fail(E.dontUnmapSize);
  const apart = newAddress >= address + oldLength || address >= newAddress + newLength;
  if (!apart) return fail(E.overlap);
  // Unmapping the destination and the source may each split a mapping in three, for a moment.
  return mm.mapCount + 2 >= world.sysctl.maxMapCount - 3 ? fail(E.tooMany) : 0;
}

/** Whether MREMAP_FIXED without a change of size moves all mappings of a range: 6.17 and later. */
export const movesSeveral = seam('mremap.movesSeveral', (): boolean => true);

function* mremapLocked(remap: Remap): Steps<number> {
  const { mm, flags, oldLength, newLength } = remap;
  if ((flags & MREMAP_FIXED) !== 0 && oldLength === newLength && movesSeveral()) {
    return yield* remapMove(remap);
  }
  const vma = mm.vmas.find(remap.address);
  if (vma === null) return fail(E.unmapped);
  const refused = checkVma(remap, vma);
  if (refused < 0) return refused;
  return impliesNewAddress(remap) ? yield* mremapTo(remap) : yield* mremapAt(remap, vma);
}

/** Lengths of huge pages are rounded up, addresses must fit, nothing grows (measured on 6.18). @linux align_hugetlb */
function alignHugetlb(remap: Remap, vma: Vma): number {
  const size = vmaPageSize(vma);
  remap.oldLength = Math.ceil(remap.oldLength / size) * size;
  remap.newLength = Math.ceil(remap.newLength / size) * size;
  const target = impliesNewAddress(remap) ? remap.newAddress : 0;
  if (remap.address % size !== 0 || target % size !== 0) return fail(E.unalignedHuge);
  return remap.newLength > remap.oldLength ? fail(E.growsHuge) : 0;
}

/** @linux mm/mremap.c check_prep_vma */
function checkVma(remap: Remap, vma: Vma): number {
  const { address, flags } = remap;
  if (has(vma.flags, VM_SEALED)) return fail(E.sealed);
  if (isVmHugetlb(vma)) {
    const refused = alignHugetlb(remap, vma);
    if (refused < 0) return refused;
  }
  const { oldLength, newLength } = remap;
  const grows = newLength > oldLength && oldLength >= 0;
  if (!impliesNewAddress(remap)) {
    remap.newAddress = address;
    if (!grows) return 0;
  }
  const fixedSize = has(vma.flags, (VM_DONTEXPAND | VM_PFNMAP) as VmFlags);
  if (oldLength === 0 && !has(vma.flags, (VM_SHARED | VM_MAYSHARE) as VmFlags)) {
    return fail(E.zeroPrivate);
  }
  if ((flags & MREMAP_DONTUNMAP) !== 0 && fixedSize) return fail(E.dontUnmapKind);
  // The tail that a shrink unmaps may reach beyond the mapping (measured on 6.18).
  // Register values are signed here: a negative length is the longest.
  const kept = oldLength < 0 ? newLength : Math.min(oldLength, newLength);
  if (kept > vma.end - address) return fail(E.crosses);
  if (!grows) return 0;
  remap.populate = has(vma.flags, VM_LOCKED);
  if (fixedSize) return fail(E.cannotGrow);
  if (!mlockFutureOk(remap.mm, vma.flags, newLength - oldLength)) return fail(E.lockLimit);
  return mayGrow(vma, newLength - oldLength) ? 0 : fail(E.spaceLimit);
}

function mayGrow({ mm, flags }: Vma, bytes: number): boolean {
  const pages = bytes / PAGE_SIZE;
  return mayExpandVm(mm, flags, pages) && mayPromise(flags, pages);
}

/**
 * Moves every mapping of a range, holes and all, to the range of the same size at the new address. What was mapped
 * opposite a hole stays; an error leaves those before it moved. @linux mm/mremap.c remap_move
 */
function* remapMove(remap: Remap): Steps<number> {
  const { mm } = remap;
  const [start, end] = [remap.address, remap.address + remap.oldLength];
  let result = 0;
  let target = remap.newAddress;
  let last = start;
  for (const vma of mm.vmas.range(start, end)) {
    const first = result === 0;
    if (first && vma.start > start) return fail(E.unmapped);
    const address = Math.max(vma.start, start);
    const length = Math.min(vma.end, end) - address;
    target += Math.max(0, address - last);
    last = address + length;
    // A monitor could not tell from one event which parts moved.
    if (vma.uffd !== null && !(first && vma.end >= end)) return fail(E.registered);
    [remap.address, remap.newAddress] = [address, target];
    [remap.oldLength, remap.newLength] = [length, length];
    const refused = checkVma(remap, vma);
    const moved = refused < 0 ? refused : yield* mremapTo(remap);
    if (moved < 0) return moved;
    if (first) result = moved;
    target = moved + length;
  }
  return result === 0 ? fail(E.unmapped) : result;
}

/** To another address: makes room there, cuts a tail off here, then moves. @linux mm/mremap.c mremap_to */
function* mremapTo(remap: Remap): Steps<number> {
  const { mm, address, newAddress, newLength, flags } = remap;
  if ((flags & MREMAP_FIXED) !== 0) {
    const end = newAddress + newLength;
    const error = yield* unmapRegion(mm, newAddress, end, remap.early, false);
    if (error < 0) return error;
    // An old length that wraps around lets the destination cover the source.
    if (mm.vmas.find(address) === null) return fail(E.unmapped);
  }
  if (newLength < remap.oldLength || remap.oldLength < 0) {
    const error = yield* shrinkVma(remap, false);
    if (error < 0) return error;
    remap.oldLength = newLength;
  }
  // Making room may have split or shrunk the mapping.
  const vma = mm.vmas.find(address);
  if (vma === null) return fail(E.unmapped);
  const keeps = (flags & MREMAP_DONTUNMAP) !== 0;
  if (keeps && !mayGrow(vma, newLength)) return fail(E.spaceLimit);
  return yield* moveSomewhere(remap, vma);
}

/** Unmaps the tail, whatever is mapped there. @param release whether to drop mmap_lock. @linux shrink_vma */
function* shrinkVma(remap: Remap, release: boolean): Steps<number> {
  const { mm, address, oldLength, newLength } = remap;
  const end = address + oldLength;
  if (oldLength < 0 || end > TASK_SIZE) return fail(E.tailBeyond);
  remap.locked = !release;
  return yield* unmapRegion(mm, address + newLength, end, remap.late, release);
}

/** Where the mapping is. @linux mm/mremap.c mremap_at */
function* mremapAt(remap: Remap, vma: Vma): Steps<number> {
  const { mm, address, oldLength, newLength, flags } = remap;
  if (newLength === oldLength) return address;
  if (newLength < oldLength || oldLength < 0) {
    const error = yield* shrinkVma(remap, true);
    return error < 0 ? error : address;
  }
  if (address + oldLength === vma.end) {
    const grown = yield* growInto(vma, address + newLength);
    if (grown !== null) {
      account(mm, grown.flags, newLength - oldLength);
      return address;
    }
  }
  if ((flags & MREMAP_MAYMOVE) === 0) return fail(E.noRoom);
  return yield* moveSomewhere(remap, vma);
}

/** Chooses the new address unless that is fixed, and moves. */
function* moveSomewhere(remap: Remap, vma: Vma): Steps<number> {
  const { mm, newAddress, newLength, flags } = remap;
  if ((flags & MREMAP_FIXED) === 0) {
    const free = getUnmappedArea(mm, newAddress, newLength);
    if (free < 0) return fail(E.noGap);
    remap.newAddress = free;
  }
  return yield* moveVma(remap, vma);
}

/** Copies the VMA, moves its pages, unmaps what is left behind. @linux mm/mremap.c move_vma */
function* moveVma(remap: Remap, vma: Vma): Steps<number> {
  const { mm, address, oldLength, newLength, newAddress, flags } = remap;
  if (mm.mapCount >= world.sysctl.maxMapCount - 3) return fail(E.tooMany);
  yield* vmaStartWrite(vma);
  const pgoff = vma.pgoff + (address - vma.start) / PAGE_SIZE;
  const { fresh, source, needRmapLocks } = yield* copyVma(vma, newAddress, newLength, pgoff);
  const move = { old: source, fresh, from: address, to: newAddress, length: oldLength };
  const moved = yield* movePageTables({ ...move, needRmapLocks });
  account(mm, source.flags, newLength);
  if (moved < oldLength) {
    yield* movePageTables({
      old: fresh,
      fresh: source,
      from: newAddress,
      to: address,
      length: moved,
      needRmapLocks: true,
    });
    yield* unmapRegion(mm, newAddress, newAddress + newLength, remap.late, false);
    return fail(E.noTables);
  }
  hugetlbVmaMoved(source);
  remap.moved = yield* mremapUserfaultfdPrep(fresh);
  if ((flags & MREMAP_DONTUNMAP) !== 0) {
    yield* dontUnmapComplete(source, fresh, address, address + oldLength);
  } else if (oldLength > 0) {
    yield* unmapRegion(mm, address, address + oldLength, remap.late, false);
  }
  return newAddress;
}

/**
 * The source stays mapped and empty. All of its VMA is no longer locked, whatever part of it has moved.
 * @linux mm/mremap.c dontunmap_complete
 */
function* dontUnmapComplete(source: Vma, fresh: Vma, start: Vaddr, end: Vaddr): Steps<void> {
  source.poke();
  if (has(source.flags, VM_LOCKED)) yield* leavePagesLocked(source);
  source.flags = withoutFlag(source.flags, (VM_LOCKED | VM_LOCKONFAULT) as VmFlags);
  // Nothing of the family is mapped here any more.
  if (fresh !== source && source.start === start && source.end === end) {
    yield* unlinkAnonVmas(source);
  }
}

function account(mm: Mm, flags: VmFlags, bytes: number): void {
  mm.totalVm += bytes / PAGE_SIZE;
  if (has(flags, VM_LOCKED)) mm.lockedVm += bytes / PAGE_SIZE;
}

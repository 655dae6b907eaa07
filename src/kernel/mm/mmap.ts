/** mmap(2) and brk(2): making mappings. @linux mm/mmap.c do_mmap, mm/vma.c mmap_region */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { ENOSYS } from '../../uapi/errno.ts';
import {
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_STACK,
  MAP_TYPE,
  PROT_READ,
  PROT_WRITE,
} from '../../uapi/mman.ts';
import { world } from '../current.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { type UserfaultfdUnmapCtx, userfaultfdUnmapComplete } from '../fs/userfaultfd-events.ts';
import { STACK_GUARD_GAP } from './expand-stack.ts';
import { canDoMlock, mlockFutureOk } from './mlock-limit.ts';
import { type Mm, type Vaddr, Vma } from './mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock } from './mmap-lock.ts';
import { unmapRegion } from './munmap.ts';
import { mmPopulate } from './populate.ts';
import {
  has,
  VM_ACCOUNT,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_WRITE,
  type VmFlags,
  withFlag,
} from './vm-flags.ts';
import { pageAlign, pageStart, vmProt } from './vm-prot.ts';
import { insertVma, mergeNewRange } from './vma.ts';

export const MMAP_ERRORS = errnoTable('mmap', {
  offset: ['EINVAL', 'offset is not a multiple of the page size'],
  badFd: ['EBADF', 'fd is not open'],
  file: ['ENODEV', 'this kind of file cannot be mapped'],
  empty: ['EINVAL', 'the length is 0'],
  tooLong: ['ENOMEM', 'the length is more than an address space holds'],
  tooMany: ['ENOMEM', 'there are max_map_count mappings already'],
  beyond: ['ENOMEM', 'the range reaches beyond user space'],
  noRoom: ['ENOMEM', 'no gap in the address space is large enough'],
  unaligned: ['EINVAL', 'MAP_FIXED with an address that is not a multiple of the page size'],
  low: ['EPERM', 'the address is below vm.mmap_min_addr'],
  taken: ['EEXIST', 'MAP_FIXED_NOREPLACE over something mapped'],
  lockNotAllowed: ['EPERM', 'MAP_LOCKED, and RLIMIT_MEMLOCK is 0'],
  lockLimit: ['EAGAIN', 'more would be locked than RLIMIT_MEMLOCK allows'],
  sharedGrows: ['EINVAL', 'MAP_GROWSDOWN with MAP_SHARED'],
  type: ['EINVAL', 'neither MAP_PRIVATE nor MAP_SHARED'],
});

const MAY: VmFlags = (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC) as VmFlags;

/** What mmap is asked for. */
export interface MmapRequest {
  readonly address: Vaddr;
  /** Bytes; rounded up to pages. */
  readonly length: number;
  readonly prot: number;
  /** MAP_* flags with MAP_ANONYMOUS. */
  readonly flags: number;
}

/**
 * Maps anonymous private memory.
 * @returns the address, or a negative errno; -ENOSYS for shared memory, which is not modelled yet
 */
export function* doMmap(mm: Mm, request: MmapRequest): Steps<number> {
  const heard: UserfaultfdUnmapCtx[] = [];
  const length = pageAlign(request.length);
  yield* mmapWriteLock(mm);
  const address = yield* mmapLocked(mm, request, length, heard);
  mmapWriteUnlock(mm);
  yield* userfaultfdUnmapComplete(mm, heard);
  if (address < 0) return address;
  const populate = (request.flags & (MAP_POPULATE | MAP_NONBLOCK)) === MAP_POPULATE;
  const locked = (request.flags & MAP_LOCKED) !== 0 || has(mm.defFlags, VM_LOCKED);
  if (populate || locked) yield* mmPopulate(mm, address, address + length);
  return address;
}

/** Checks in the kernel's order (measured on 6.18), then maps. */
function* mmapLocked(
  mm: Mm,
  request: MmapRequest,
  length: number,
  heard: UserfaultfdUnmapCtx[],
): Steps<number> {
  const E = MMAP_ERRORS;
  const { flags } = request;
  if (request.length === 0) return fail(E.empty);
  if (request.length < 0) return fail(E.tooLong);
  if (mm.mapCount > world.sysctl.maxMapCount) return fail(E.tooMany);
  const address = placed(mm, request, length);
  if (address < 0) return address;
  if ((flags & MAP_FIXED_NOREPLACE) !== 0 && overlaps(mm, address, length)) return fail(E.taken);
  if ((flags & MAP_LOCKED) !== 0 && !canDoMlock()) return fail(E.lockNotAllowed);
  if (!mlockFutureOk(mm, mapFlags(mm, request), length)) return fail(E.lockLimit);
  const type = flags & MAP_TYPE;
  if (type === MAP_SHARED && (flags & MAP_GROWSDOWN) !== 0) return fail(E.sharedGrows);
  if (type === MAP_SHARED) return -ENOSYS;
  if (type !== MAP_PRIVATE) return fail(E.type);
  return yield* mmapRegion(mm, address, length, mapFlags(mm, request), heard);
}

/** Where the mapping goes, or a negative errno. */
function placed(mm: Mm, request: MmapRequest, length: number): number {
  const E = MMAP_ERRORS;
  const { address, flags } = request;
  if (length > TASK_SIZE) return fail(E.tooLong);
  let result = address;
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) === 0) {
    result = getUnmappedArea(mm, address, length);
    if (result < 0) return fail(E.noRoom);
  }
  if (result < 0 || result > TASK_SIZE - length) return fail(E.beyond);
  if (result % PAGE_SIZE !== 0) return fail(E.unaligned);
  if (result < world.sysctl.mmapMinAddr && world.current.uid !== 0) return fail(E.low);
  return result;
}

/**
 * The hint when there is room, else the highest gap below the mmap base, else above it; negative: there is none.
 * Requires: mmap_lock. @linux mm/mmap.c get_unmapped_area
 */
export function getUnmappedArea(mm: Mm, hint: Vaddr, length: number): number {
  const lowest = Math.max(PAGE_SIZE, world.sysctl.mmapMinAddr);
  const { mmapBase } = machine.geometry;
  if (hint > 0) {
    const address = Math.max(pageStart(hint), lowest);
    if (address <= TASK_SIZE - length && !crowds(mm, address, length)) return address;
  }
  const below = mm.vmas.findGap(length, lowest, mmapBase);
  return below >= 0 ? below : mm.vmas.findGap(length, mmapBase, TASK_SIZE);
}

function overlaps(mm: Mm, address: Vaddr, length: number): boolean {
  const vma = mm.vmas.findFrom(address);
  return vma !== null && vma.start < address + length;
}

/** The same for a place that need not be this one: a stack keeps its distance from what lies below it. */
function crowds(mm: Mm, address: Vaddr, length: number): boolean {
  const vma = mm.vmas.findFrom(address);
  return vma !== null && vmStartGap(vma) < address + length;
}

/** @linux include/linux/mm.h vm_start_gap */
function vmStartGap(vma: Vma): Vaddr {
  return has(vma.flags, VM_GROWSDOWN) ? Math.max(0, vma.start - STACK_GUARD_GAP) : vma.start;
}

/** @linux include/linux/mman.h calc_vm_prot_bits, calc_vm_flag_bits */
function mapFlags(mm: Mm, { prot, flags }: MmapRequest): VmFlags {
  let vm = withFlag(withFlag(vmProt(prot), MAY), mm.defFlags);
  if ((flags & MAP_GROWSDOWN) !== 0) vm = withFlag(vm, VM_GROWSDOWN);
  if ((flags & MAP_LOCKED) !== 0) vm = withFlag(vm, VM_LOCKED);
  if ((flags & MAP_STACK) !== 0) vm = withFlag(vm, VM_NOHUGEPAGE);
  if ((flags & MAP_NORESERVE) !== 0 && world.sysctl.overcommitMemory !== 2) {
    vm = withFlag(vm, VM_NORESERVE);
  }
  return has(vm, VM_WRITE) && !has(vm, VM_NORESERVE) ? withFlag(vm, VM_ACCOUNT) : vm;
}

/**
 * Puts a mapping at a place, over whatever is there, and joins it to its neighbours where it can.
 * @param joins false: it stays apart
 * Requires: mmap_lock for writing. @linux mm/vma.c mmap_region
 */
export function* mmapRegion(
  mm: Mm,
  start: Vaddr,
  length: number,
  flags: VmFlags,
  heard: UserfaultfdUnmapCtx[],
  joins = true,
): Steps<number> {
  const end = start + length;
  const error = yield* unmapRegion(mm, start, end, heard, false);
  if (error < 0) return error;
  const pgoff = start / PAGE_SIZE;
  const range = { start, end, flags, pgoff, file: null, uffd: null, anonVma: null, anonLinks: 0 };
  const merged = joins ? yield* mergeNewRange(mm, range) : null;
  if (merged === null) insertVma(new Vma(mm, start, end, flags, pgoff));
  mm.totalVm += length / PAGE_SIZE;
  if (has(flags, VM_LOCKED)) mm.lockedVm += length / PAGE_SIZE;
  return start;
}

/**
 * Moves the end of the heap.
 * @returns the new end, or the old one when it cannot be moved there: brk(2) of the kernel has no errno
 * @linux mm/mmap.c SYSCALL_DEFINE1(brk)
 */
export function* doBrk(mm: Mm, brk: Vaddr): Steps<number> {
  const heard: UserfaultfdUnmapCtx[] = [];
  yield* mmapWriteLock(mm);
  const before = mm.brk;
  const [from, to] = [pageAlign(before), pageAlign(brk)];
  if (brk < mm.startBrk || brk > TASK_SIZE) {
    mmapWriteUnlock(mm);
    return before;
  }
  if (to < from) {
    // With nothing mapped in between the heap stays (measured on 6.18).
    const mapped = mm.vmas.findFrom(to);
    if (mapped === null || mapped.start >= from) {
      mmapWriteUnlock(mm);
      return before;
    }
    mm.brk = brk;
    const error = yield* unmapRegion(mm, to, from, heard, true);
    if (error < 0) mm.brk = before;
    yield* userfaultfdUnmapComplete(mm, heard);
    return mm.brk;
  }
  const fits = mlockFutureOk(mm, mm.defFlags, to - from);
  const room = to === from || (fits && !crowds(mm, from, to - from + PAGE_SIZE));
  if (room && to > from) {
    const flags = withFlag(withFlag(vmProt(PROT_READ | PROT_WRITE), MAY), mm.defFlags);
    // An empty heap never joins what ends where it begins (measured on 6.18).
    const joins = from > mm.startBrk;
    const vm = withFlag(flags, VM_ACCOUNT);
    const made = yield* mmapRegion(mm, from, to - from, vm, heard, joins);
    if (made < 0) {
      mmapWriteUnlock(mm);
      return before;
    }
  }
  if (room) mm.brk = brk;
  const populate = room && to > from && has(mm.defFlags, VM_LOCKED);
  mmapWriteUnlock(mm);
  if (populate) yield* mmPopulate(mm, from, to);
  return room ? brk : before;
}

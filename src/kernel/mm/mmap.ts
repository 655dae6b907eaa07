/** mmap(2) and brk(2): making mappings. @linux mm/mmap.c do_mmap, mm/vma.c mmap_region */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import {
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_POPULATE,
  PROT_READ,
  PROT_WRITE,
} from '../../uapi/mman.ts';
import { world } from '../current.ts';
import { fail } from '../errno-row.ts';
import { type File, fget, fput } from '../fs/file.ts';
import { shmemZeroSetup } from '../fs/shmem-file.ts';
import { type UserfaultfdUnmapCtx, userfaultfdUnmapComplete } from '../fs/userfaultfd-events.ts';
import { STACK_GUARD_GAP } from './expand-stack.ts';
import { linkFileVma } from './filemap.ts';
import { hugetlbfsFileMmap } from './hugetlb-mmap.ts';
import { isVmHugetlb } from './hugetlb-vma.ts';
import { ksmVmaFlags } from './ksm-any.ts';
import { mayMapAt } from './may-expand-vm.ts';
import { deniesWriteExec } from './mdwe.ts';
import { canDoMlock, mlockFutureOk } from './mlock-limit.ts';
import { type Mm, type Vaddr, Vma } from './mm-types.ts';
import { MMAP_ERRORS } from './mmap-errors.ts';
import { MAY, type MmapRequest, mapFlags, vmFlagsOf } from './mmap-flags.ts';
import { mmapWriteLock, mmapWriteUnlock } from './mmap-lock.ts';
import { unmapRegion } from './munmap.ts';
import { pmdSize } from './pgtable.ts';
import { mmPopulate } from './populate.ts';
import { newVmaSoftDirty } from './soft-dirty.ts';
import { usesHugePages } from './thp-policy.ts';
import {
  has,
  VM_ACCOUNT,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_SHARED,
  type VmFlags,
  withFlag,
} from './vm-flags.ts';
import { pageAlign, pageStart, vmProt } from './vm-prot.ts';
import { insertVma, mergeNewRange } from './vma.ts';

/** Pages of the largest file. */
const MAX_PGOFF = 2 ** 51;

/** What lies under a mapping: a file from a page on. */
interface Backing {
  readonly file: File;
  readonly pgoff: number;
}

/**
 * Maps anonymous memory or a file.
 * @returns the address, or a negative errno
 * Requires: no lock of the mm; a reference to the file.
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
  const file = request.file ?? null;
  const pgoff = file === null ? 0 : (request.pgoff ?? 0);
  if (pgoff < 0 || pgoff + length / PAGE_SIZE > MAX_PGOFF) return fail(E.overflow);
  if (mm.mapCount > world.sysctl.maxMapCount) return fail(E.tooMany);
  const address = placed(mm, request, length);
  if (address < 0) return address;
  if ((flags & MAP_FIXED_NOREPLACE) !== 0 && overlaps(mm, address, length)) return fail(E.taken);
  if ((flags & MAP_LOCKED) !== 0 && !canDoMlock()) return fail(E.lockNotAllowed);
  if (!mlockFutureOk(mm, mapFlags(mm, request), length)) return fail(E.lockLimit);
  const asked = vmFlagsOf(mm, request, file);
  if (typeof asked !== 'number') return fail(asked.refused);
  if (deniesWriteExec(mm, asked, asked)) return fail(E.writeExec);
  const vm = ksmVmaFlags(mm, asked);
  if (file !== null) {
    return yield* mmapRegion(mm, address, length, vm, heard, true, { file, pgoff });
  }
  if (!has(vm, VM_SHARED)) return yield* mmapRegion(mm, address, length, vm, heard);
  // Shared anonymous memory is a file of its own that nobody can open.
  const backing = { file: shmemZeroSetup(length), pgoff: 0 };
  const result = yield* mmapRegion(mm, address, length, vm, heard, true, backing);
  yield* fput(world.current, backing.file);
  return result;
}

/** Where the mapping goes, or a negative errno. */
function placed(mm: Mm, request: MmapRequest, length: number): number {
  const E = MMAP_ERRORS;
  const { address, flags } = request;
  if (length > TASK_SIZE) return fail(E.tooLong);
  let result = address;
  const align = request.file?.inode?.hstate?.size ?? thpAlignment(request, length);
  const must = request.file?.inode?.hstate?.size ?? PAGE_SIZE;
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) === 0) {
    result = getUnmappedArea(mm, address, length, align);
    if (result < 0) return fail(E.noRoom);
  }
  if (result < 0 || result > TASK_SIZE - length) return fail(E.beyond);
  if (result % PAGE_SIZE !== 0) return fail(E.unaligned);
  if (result % must !== 0) return fail(E.unalignedHuge);
  if (result < world.sysctl.mmapMinAddr && world.current.uid !== 0) return fail(E.low);
  return result;
}

/**
 * Anonymous memory of whole huge pages begins at one, where huge pages are used (6.7; measured on 6.18.44, also shared
 * and PROT_NONE). @linux thp_get_unmapped_area
 */
function thpAlignment({ address, file }: MmapRequest, length: number): number {
  if (address !== 0 || (file ?? null) !== null) return PAGE_SIZE;
  const whole = length > 0 && length % pmdSize() === 0;
  return whole && usesHugePages() ? pmdSize() : PAGE_SIZE;
}

/**
 * The hint when there is room, else the highest gap below the mmap base, else above it; negative: there is none.
 * @param align bytes that the address is a multiple of
 * Requires: mmap_lock. @linux mm/mmap.c get_unmapped_area
 */
export function getUnmappedArea(
  mm: Mm,
  hint: Vaddr,
  length: number,
  align: number = PAGE_SIZE,
): number {
  const lowest = Math.max(PAGE_SIZE, world.sysctl.mmapMinAddr);
  const { mmapBase } = machine.geometry;
  if (hint > 0) {
    const wanted = align === PAGE_SIZE ? pageStart(hint) : Math.ceil(hint / align) * align;
    const address = Math.max(wanted, lowest);
    if (address <= TASK_SIZE - length && !crowds(mm, address, length)) return address;
  }
  // Within a gap that is larger by all but a page, some place is aligned.
  const room = length + align - PAGE_SIZE;
  const below = mm.vmas.findGap(room, lowest, mmapBase);
  const found = below >= 0 ? below : mm.vmas.findGap(room, mmapBase, TASK_SIZE);
  return found < 0 ? found : Math.floor((found + room - length) / align) * align;
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
  backing: Backing | null = null,
): Steps<number> {
  const end = start + length;
  if (!mayMapAt(mm, flags, start, end)) return fail(MMAP_ERRORS.limit);
  const error = yield* unmapRegion(mm, start, end, heard, false);
  if (error < 0) return error;
  const pgoff = backing?.pgoff ?? start / PAGE_SIZE;
  const file = backing?.file ?? null;
  const born = withFlag(flags, newVmaSoftDirty());
  const range = { start, end, flags: born, pgoff, file, uffd: null, anonVma: null, anonLinks: 0 };
  const merged = joins ? yield* mergeNewRange(mm, range) : null;
  if (merged === null) {
    const vma = new Vma(mm, start, end, born, pgoff);
    if (file !== null) {
      vma.file = fget(file);
      const refused = isVmHugetlb(vma) ? yield* hugetlbfsFileMmap(vma) : null;
      if (refused !== null) {
        yield* fput(world.current, file);
        return fail(refused === 'pool' ? MMAP_ERRORS.noHugePages : MMAP_ERRORS.hugeOffset);
      }
      yield* linkFileVma(vma);
    }
    insertVma(vma);
  }
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

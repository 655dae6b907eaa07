/**
 * REGISTER and UNREGISTER: which VMAs a context watches, and for what. @linux fs/userfaultfd.c userfaultfd_register;
 * semantics.md sections 9.4 and 9.5
 */
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import {
  _UFFDIO_CONTINUE,
  _UFFDIO_WRITEPROTECT,
  encodeField,
  UFFD_API_RANGE_IOCTLS,
  UFFD_API_RANGE_IOCTLS_BASIC,
  UFFD_FEATURE_WP_ASYNC,
  UFFDIO_REGISTER_MODE_MINOR,
  UFFDIO_REGISTER_MODE_MISSING,
  UFFDIO_REGISTER_MODE_WP,
  UFFDIO_REGISTER_STRUCT,
} from '../../uapi/userfaultfd.ts';
import type { Task } from '../core/task.ts';
import { type ErrnoRow, type ErrnoTable, errnoTable, fail } from '../errno-row.ts';
import { vmaIsShmem } from '../mm/filemap.ts';
import { hugetlbUnsharePmds } from '../mm/hugetlb-change.ts';
import { uffdDisablesPmdShare } from '../mm/hugetlb-pte.ts';
import { isVmHugetlb, vmaPageSize } from '../mm/hugetlb-vma.ts';
import type { Mm, Vaddr, Vma } from '../mm/mm-types.ts';
import { mmapWriteLock, mmapWriteUnlock } from '../mm/mmap-lock.ts';
import { changeProtection } from '../mm/mprotect.ts';
import { copyToUser } from '../mm/user-access.ts';
import {
  has,
  VM_DROPPABLE,
  VM_MAYWRITE,
  VM_SPECIAL,
  VM_UFFD_FLAGS,
  VM_UFFD_MINOR,
  VM_UFFD_MISSING,
  VM_UFFD_WP,
  type VmFlags,
  withFlag,
  withoutFlag,
} from '../mm/vm-flags.ts';
import { vmaModify } from '../mm/vma.ts';
import { type Seam, seam } from '../seam.ts';
import { wakeUserfault } from './userfaultfd.ts';
import type { UserfaultfdCtx } from './userfaultfd-ctx.ts';

/** REGISTER's checks, in order. */
export const REGISTER_ERRNOS: ErrnoTable<
  | 'fault'
  | 'noMode'
  | 'badMode'
  | 'badRange'
  | 'noMm'
  | 'noVma'
  | 'startsInHuge'
  | 'incompatible'
  | 'notWritable'
  | 'endsInHuge'
  | 'otherCtx'
  | 'noMemory'
  | 'faultOut'
> = errnoTable('UFFDIO_REGISTER', {
  fault: ['EFAULT', 'the struct cannot be read'],
  noMode: ['EINVAL', 'mode asks for nothing'],
  badMode: ['EINVAL', 'mode has a bit that this kernel or this architecture does not have'],
  badRange: ['EINVAL', 'the range is empty, not page aligned, or outside user space'],
  noMm: ['ENOMEM', 'the address space of the userfaultfd is gone'],
  noVma: ['EINVAL', 'nothing is mapped in the range'],
  startsInHuge: ['EINVAL', 'the range begins within a huge page'],
  incompatible: ['EINVAL', 'a mapping in the range is of a kind that the mode cannot watch'],
  notWritable: ['EPERM', 'a mapping in the range may never be written'],
  endsInHuge: ['EINVAL', 'the range ends within a huge page'],
  otherCtx: ['EBUSY', 'a mapping in the range is registered with another userfaultfd'],
  noMemory: ['ENOMEM', 'a mapping cannot be split: earlier ones stay registered'],
  faultOut: ['EFAULT', 'ioctls cannot be written back'],
});

/** UNREGISTER's checks, in order. */
export const UNREGISTER_ERRNOS: ErrnoTable<
  | 'fault'
  | 'badRange'
  | 'noMm'
  | 'noVma'
  | 'startsInHuge'
  | 'otherCtx'
  | 'incompatible'
  | 'noMemory'
> = errnoTable('UFFDIO_UNREGISTER', {
  fault: ['EFAULT', 'the struct cannot be read'],
  badRange: ['EINVAL', 'the range is empty, not page aligned, or outside user space'],
  noMm: ['ENOMEM', 'the address space of the userfaultfd is gone'],
  noVma: ['EINVAL', 'nothing is mapped in the range'],
  startsInHuge: ['EINVAL', 'the range begins within a huge page'],
  otherCtx: ['EINVAL', 'a mapping in the range is registered with another userfaultfd'],
  incompatible: ['EINVAL', 'a mapping in the range is of a kind that no userfaultfd can watch'],
  noMemory: ['ENOMEM', 'a mapping cannot be split: earlier ones stay unregistered'],
});

/** Whether [start, start + len) is a page-aligned range of user space. @linux validate_range */
export function validRange(start: Vaddr, len: number): boolean {
  return start % PAGE_SIZE === 0 && validUnalignedRange(start, len);
}
/** The same for COPY's source, which may begin anywhere. @linux validate_unaligned_range */
export function validUnalignedRange(start: Vaddr, len: number): boolean {
  return len > 0 && len % PAGE_SIZE === 0 && start < TASK_SIZE && len <= TASK_SIZE - start;
}

/** Bits of the range ioctls that every registration reports; older kernels know fewer. */
export const rangeIoctls: Seam<() => number> = seam(
  'userfaultfd.rangeIoctls',
  (): number => UFFD_API_RANGE_IOCTLS,
);

const ALL_MODES = 7;

/** The modes that this kernel version and this architecture know. */
export const registerModes: Seam<() => number> = seam(
  'userfaultfd.registerModes',
  (): number => UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MINOR,
);

/**
 * Whether UNREGISTER refuses mappings of another userfaultfd; before 6.18 any userfaultfd could unregister any.
 * @linux userfaultfd_unregister
 */
export const unregisterOwnsVma: Seam<(vma: Vma, ctx: UserfaultfdCtx) => boolean> = seam(
  'userfaultfd.unregisterOwnsVma',
  (vma: Vma, ctx: UserfaultfdCtx): boolean => vma.uffd === null || vma.uffd === ctx,
);

function modeFlags(mode: number): VmFlags {
  let flags = 0 as VmFlags;
  if ((mode & UFFDIO_REGISTER_MODE_MISSING) !== 0) flags = withFlag(flags, VM_UFFD_MISSING);
  if ((mode & UFFDIO_REGISTER_MODE_WP) !== 0) flags = withFlag(flags, VM_UFFD_WP);
  if ((mode & UFFDIO_REGISTER_MODE_MINOR) !== 0) flags = withFlag(flags, VM_UFFD_MINOR);
  return flags;
}

/**
 * REGISTER. Nothing changes unless every mapping of the range passes.
 * @param arg where the struct is, for the out-field
 * @returns 0 or a negative errno; takes mmap_lock for writing
 */
export function* uffdRegister(
  task: Task,
  ctx: UserfaultfdCtx,
  arg: Vaddr,
  range: { readonly start: Vaddr; readonly len: number; readonly mode: number },
): Steps<number> {
  const { start, len, mode } = range;
  if (mode === 0) return fail(REGISTER_ERRNOS.noMode);
  if (mode > ALL_MODES || (mode & ~registerModes()) !== 0) return fail(REGISTER_ERRNOS.badMode);
  if (!validRange(start, len)) return fail(REGISTER_ERRNOS.badRange);
  const { mm } = ctx;
  if (mm.users === 0) return fail(REGISTER_ERRNOS.noMm);
  const modes = modeFlags(mode);
  const end = start + len;
  yield* mmapWriteLock(mm);
  const refused = scanForRegister(mm, start, end, modes, ctx);
  const huge = [...mm.vmas.range(start, end)].some(isVmHugetlb);
  const failed = refused ?? (yield* registerVmas(mm, start, end, modes, ctx));
  mmapWriteUnlock(mm);
  if (failed !== null) return fail(failed);
  let ioctls = rangeIoctls() & (huge ? UFFD_API_RANGE_IOCTLS_BASIC : -1);
  if (has(modes, VM_UFFD_WP)) ioctls |= 1 << _UFFDIO_WRITEPROTECT;
  if (has(modes, VM_UFFD_MINOR)) ioctls |= 1 << _UFFDIO_CONTINUE;
  const { offset, bytes } = encodeField(UFFDIO_REGISTER_STRUCT, 'ioctls', ioctls);
  if ((yield* copyToUser(task, arg + offset, bytes)) < 0) return fail(REGISTER_ERRNOS.faultOut);
  return 0;
}

function scanForRegister(
  mm: Mm,
  start: Vaddr,
  end: Vaddr,
  modes: VmFlags,
  ctx: UserfaultfdCtx,
): ErrnoRow | null {
  let any = false;
  for (const vma of mm.vmas.range(start, end)) {
    if (!any && start % vmaPageSize(vma) !== 0) return REGISTER_ERRNOS.startsInHuge;
    any = true;
    if (!canUserfault(vma, modes, ctx)) return REGISTER_ERRNOS.incompatible;
    if (!has(vma.flags, VM_MAYWRITE)) return REGISTER_ERRNOS.notWritable;
    if (end <= vma.end && end % vmaPageSize(vma) !== 0) return REGISTER_ERRNOS.endsInHuge;
    if (vma.uffd !== null && vma.uffd !== ctx) return REGISTER_ERRNOS.otherCtx;
  }
  return any ? null : REGISTER_ERRNOS.noVma;
}

/** Whether a mapping can be watched in these modes. @linux vma_can_userfault */
function canUserfault(vma: Vma, modes: VmFlags, ctx: UserfaultfdCtx): boolean {
  if (has(vma.flags, VM_DROPPABLE)) return false;
  const shmem = vmaIsShmem(vma);
  const minor = shmem && (isVmHugetlb(vma) || minorOnShmem());
  if (has(modes, VM_UFFD_MINOR) && !minor) return false;
  if (modes === VM_UFFD_WP && ctx.has(UFFD_FEATURE_WP_ASYNC)) return true;
  if (has(modes, VM_UFFD_WP) && shmem && !wpOnFiles()) return false;
  return shmem || (vma.file === null && !has(vma.flags, VM_SPECIAL));
}

/** Whether mode MINOR watches shared memory: 5.14 and later. */
export const minorOnShmem: Seam<() => boolean> = seam(
  'userfaultfd.minorOnShmem',
  (): boolean => true,
);

/** Whether memory of files can be write-protected: 5.19 and later, with markers. @linux CONFIG_PTE_MARKER_UFFD_WP */
export const wpOnFiles: Seam<() => boolean> = seam('userfaultfd.wpOnFiles', (): boolean => true);

function* registerVmas(
  mm: Mm,
  start: Vaddr,
  end: Vaddr,
  modes: VmFlags,
  ctx: UserfaultfdCtx,
): Steps<ErrnoRow | null> {
  for (let vma = mm.vmas.findFrom(start); vma !== null && vma.start < end; ) {
    let covered = vma.end;
    // A context that watches all of this already keeps its modes: asking for less does not take any away.
    if (vma.uffd !== ctx || (vma.flags & modes) !== modes) {
      const changed = yield* vmaModify(vma, Math.max(start, vma.start), Math.min(end, vma.end), {
        flags: withFlag(withoutFlag(vma.flags, VM_UFFD_FLAGS), modes),
        uffd: ctx,
      });
      if (typeof changed === 'number') return REGISTER_ERRNOS.noMemory;
      if (isVmHugetlb(changed) && uffdDisablesPmdShare(changed)) {
        yield* hugetlbUnsharePmds(changed, changed.start, changed.end);
      }
      covered = changed.end;
    }
    vma = mm.vmas.findFrom(covered);
  }
  return null;
}

/** UNREGISTER. @returns 0 or a negative errno; takes mmap_lock for writing */
export function* uffdUnregister(
  ctx: UserfaultfdCtx,
  { start, len }: { readonly start: Vaddr; readonly len: number },
): Steps<number> {
  if (!validRange(start, len)) return fail(UNREGISTER_ERRNOS.badRange);
  const { mm } = ctx;
  if (mm.users === 0) return fail(UNREGISTER_ERRNOS.noMm);
  const end = start + len;
  yield* mmapWriteLock(mm);
  const refused = scanForUnregister(mm, start, end, ctx);
  const failed = refused ?? (yield* unregisterVmas(mm, start, end));
  mmapWriteUnlock(mm);
  return failed === null ? 0 : fail(failed);
}

function scanForUnregister(mm: Mm, start: Vaddr, end: Vaddr, ctx: UserfaultfdCtx): ErrnoRow | null {
  let any = false;
  for (const vma of mm.vmas.range(start, end)) {
    if (!any && start % vmaPageSize(vma) !== 0) return UNREGISTER_ERRNOS.startsInHuge;
    any = true;
    if (!unregisterOwnsVma(vma, ctx)) return UNREGISTER_ERRNOS.otherCtx;
    const modes = (vma.flags & VM_UFFD_FLAGS) as VmFlags;
    if (!canUserfault(vma, modes, ctx)) return UNREGISTER_ERRNOS.incompatible;
  }
  return any ? null : UNREGISTER_ERRNOS.noVma;
}

function* unregisterVmas(mm: Mm, start: Vaddr, end: Vaddr): Steps<ErrnoRow | null> {
  for (let vma = mm.vmas.findFrom(start); vma !== null && vma.start < end; ) {
    let covered = vma.end;
    if (vma.uffd !== null) {
      const from = Math.max(start, vma.start);
      const to = Math.min(end, vma.end);
      // Only MISSING waiters are woken: others would wait for pages that nobody has promised to bring.
      if (has(vma.flags, VM_UFFD_MISSING)) yield* wakeUserfault(vma.uffd, from, to - from);
      const changed = yield* clearVma(vma, from, to);
      if (typeof changed === 'number') return UNREGISTER_ERRNOS.noMemory;
      covered = changed.end;
    }
    vma = mm.vmas.findFrom(covered);
  }
  return null;
}

/**
 * Takes a range of a VMA away from its context: write protection is lifted first, while the VMA still says that it
 * may be there.
 * @returns the VMA that covers the range now, or a negative errno
 * Requires: mmap_lock for writing. @linux mm/userfaultfd.c userfaultfd_clear_vma
 */
export function* clearVma(vma: Vma, start: Vaddr, end: Vaddr): Steps<Vma | number> {
  if (has(vma.flags, VM_UFFD_WP)) {
    yield* changeProtection(vma, start, end, { uffdWpResolve: true });
  }
  return yield* vmaModify(vma, start, end, {
    flags: withoutFlag(vma.flags, VM_UFFD_FLAGS),
    uffd: null,
  });
}

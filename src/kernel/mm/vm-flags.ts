/**
 * VMA flags. The names are Linux's, the bit positions our own (Linux uses more than 32 bits): user space sees them only
 * as the two-letter codes of smaps. @linux include/linux/mm.h
 */
import type { Brand } from '../../base/brand.ts';

export type VmFlags = Brand<number, 'VmFlags'>;

export const VM_NONE = 0 as VmFlags;
export const VM_READ = 0x1 as VmFlags;
export const VM_WRITE = 0x2 as VmFlags;
export const VM_EXEC = 0x4 as VmFlags;
export const VM_SHARED = 0x8 as VmFlags;
export const VM_MAYREAD = 0x10 as VmFlags;
export const VM_MAYWRITE = 0x20 as VmFlags;
export const VM_MAYEXEC = 0x40 as VmFlags;
export const VM_MAYSHARE = 0x80 as VmFlags;
export const VM_GROWSDOWN = 0x100 as VmFlags;
export const VM_UFFD_MISSING = 0x200 as VmFlags;
export const VM_PFNMAP = 0x400 as VmFlags;
export const VM_UFFD_MINOR = 0x800 as VmFlags;
export const VM_UFFD_WP = 0x1000 as VmFlags;
export const VM_LOCKED = 0x2000 as VmFlags;
export const VM_IO = 0x4000 as VmFlags;
export const VM_SEQ_READ = 0x8000 as VmFlags;
export const VM_RAND_READ = 0x10000 as VmFlags;
export const VM_DONTCOPY = 0x20000 as VmFlags;
export const VM_DONTEXPAND = 0x40000 as VmFlags;
export const VM_LOCKONFAULT = 0x80000 as VmFlags;
export const VM_ACCOUNT = 0x100000 as VmFlags;
export const VM_NORESERVE = 0x200000 as VmFlags;
export const VM_HUGETLB = 0x400000 as VmFlags;
export const VM_SEALED = 0x800000 as VmFlags;
export const VM_WIPEONFORK = 0x1000000 as VmFlags;
export const VM_DONTDUMP = 0x2000000 as VmFlags;
export const VM_SOFTDIRTY = 0x4000000 as VmFlags;
export const VM_DROPPABLE = 0x8000000 as VmFlags;
export const VM_HUGEPAGE = 0x10000000 as VmFlags;
export const VM_NOHUGEPAGE = 0x20000000 as VmFlags;
export const VM_MERGEABLE = 0x40000000 as VmFlags;
/** Guard markers may be here; ORed into merges instead of preventing them. @linux VM_MAYBE_GUARD */
export const VM_MAYBE_GUARD: VmFlags = (1 << 31) as VmFlags;

/** Never merged with a neighbour. @linux VM_SPECIAL */
export const VM_SPECIAL: VmFlags = (VM_IO | VM_DONTEXPAND | VM_PFNMAP) as VmFlags;
export const VM_ACCESS_FLAGS: VmFlags = (VM_READ | VM_WRITE | VM_EXEC) as VmFlags;
/** Any registration with userfaultfd. @linux __VM_UFFD_FLAGS */
export const VM_UFFD_FLAGS: VmFlags = (VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR) as VmFlags;
/** Flags that two VMAs may differ in and still merge. */
export const VM_IGNORE_MERGE: VmFlags = (VM_SOFTDIRTY | VM_MAYBE_GUARD) as VmFlags;

export function has(flags: VmFlags, bits: VmFlags): boolean {
  return (flags & bits) !== 0;
}
export function withFlag(flags: VmFlags, bits: VmFlags): VmFlags {
  return (flags | bits) as VmFlags;
}
export function withoutFlag(flags: VmFlags, bits: VmFlags): VmFlags {
  return (flags & ~bits) as VmFlags;
}

/** Private, and may be written some day. @linux is_cow_mapping */
export function isCowMapping(flags: VmFlags): boolean {
  return (flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
}

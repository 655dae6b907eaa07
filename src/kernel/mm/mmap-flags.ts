/** What flags a new mapping has, or why it may not be. @linux mm/mmap.c do_mmap, include/linux/mman.h */
import { O_ACCMODE, O_RDONLY, O_WRONLY } from '../../uapi/fcntl.ts';
import {
  MAP_ANONYMOUS,
  MAP_DENYWRITE,
  MAP_DROPPABLE,
  MAP_EXECUTABLE,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_STACK,
  MAP_TYPE,
  PROT_WRITE,
} from '../../uapi/mman.ts';
import { world } from '../current.ts';
import type { ErrnoRow } from '../errno-row.ts';
import type { File } from '../fs/file.ts';
import { sealedVmFlags } from '../fs/memfd.ts';
import { HUGETLB_VM_FLAGS } from './hugetlb-mmap.ts';
import type { Mm, Vaddr } from './mm-types.ts';
import { MMAP_ERRORS } from './mmap-errors.ts';
import {
  has,
  VM_ACCOUNT,
  VM_DONTDUMP,
  VM_DROPPABLE,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_SHARED,
  VM_WIPEONFORK,
  VM_WRITE,
  type VmFlags,
  withFlag,
  withoutFlag,
} from './vm-flags.ts';
import { vmProt } from './vm-prot.ts';

/** Flags that MAP_SHARED ignores where it does not know them; MAP_SHARED_VALIDATE refuses all others. */
const LEGACY_MAP_MASK =
  MAP_SHARED_VALIDATE |
  MAP_FIXED |
  MAP_ANONYMOUS |
  MAP_DENYWRITE |
  MAP_EXECUTABLE |
  MAP_GROWSDOWN |
  MAP_LOCKED |
  MAP_NORESERVE |
  MAP_POPULATE |
  MAP_NONBLOCK |
  MAP_STACK |
  MAP_HUGETLB;
/** What a mapping may come to have. */
export const MAY: VmFlags = (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC) as VmFlags;

/** What may be dropped is neither promised, nor inherited, nor dumped. @linux do_mmap MAP_DROPPABLE */
const DROPPABLE_VM_FLAGS: VmFlags = (VM_DROPPABLE |
  VM_NORESERVE |
  VM_WIPEONFORK |
  VM_DONTDUMP) as VmFlags;

/** What mmap is asked for. */
export interface MmapRequest {
  readonly address: Vaddr;
  /** Bytes; rounded up to pages. */
  readonly length: number;
  readonly prot: number;
  /** MAP_* flags. */
  readonly flags: number;
  /** What to map; absent or null: anonymous memory. */
  readonly file?: File | null;
  /** Where in the file, in pages. */
  readonly pgoff?: number;
}

/** The flags of the mapping, or why it may not be. @linux do_mmap */
export function vmFlagsOf(mm: Mm, request: MmapRequest, file: File | null): VmFlags | Refusal {
  const E = MMAP_ERRORS;
  const { flags, prot } = request;
  const type = flags & MAP_TYPE;
  let vm = mapFlags(mm, request);
  const grows = (flags & MAP_GROWSDOWN) !== 0;
  if (file === null) {
    if (type === MAP_SHARED && grows) return { refused: E.sharedGrows };
    if (type === MAP_DROPPABLE) {
      // Neither can go with pages that may vanish.
      if (grows || (flags & MAP_LOCKED) !== 0) return { refused: E.droppable };
      return withFlag(vm, DROPPABLE_VM_FLAGS);
    }
    if (type !== MAP_SHARED && type !== MAP_PRIVATE) return { refused: E.type };
    if (type === MAP_SHARED) vm = withFlag(vm, (VM_SHARED | VM_MAYSHARE) as VmFlags);
    return accounted(vm);
  }
  const mode = file.flags & O_ACCMODE;
  if (type === MAP_SHARED_VALIDATE && (flags & ~LEGACY_MAP_MASK) !== 0) {
    return { refused: E.validate };
  }
  if (type === MAP_SHARED || type === MAP_SHARED_VALIDATE) {
    if ((prot & PROT_WRITE) !== 0 && mode === O_RDONLY) return { refused: E.sharedWrite };
    vm = withFlag(vm, (VM_SHARED | VM_MAYSHARE) as VmFlags);
    if (mode === O_RDONLY) vm = withoutFlag(vm, (VM_MAYWRITE | VM_SHARED) as VmFlags);
  } else if (type !== MAP_PRIVATE) {
    return { refused: E.type };
  }
  if (mode === O_WRONLY) return { refused: E.noRead };
  const { inode } = file;
  if (inode === null) return { refused: E.file };
  if (grows) return { refused: E.fileGrows };
  const sealed = sealedVmFlags(inode, vm, (prot & PROT_WRITE) !== 0);
  if (sealed === null) return { refused: E.sealed };
  return inode.hstate === null ? accounted(sealed) : withFlag(sealed, HUGETLB_VM_FLAGS);
}

export interface Refusal {
  readonly refused: ErrnoRow;
}

/** Private memory that may be written counts against the commit limit. @linux accountable_mapping */
function accounted(vm: VmFlags): VmFlags {
  const counts = has(vm, VM_WRITE) && !has(vm, (VM_NORESERVE | VM_SHARED) as VmFlags);
  return counts ? withFlag(vm, VM_ACCOUNT) : vm;
}

/** @linux include/linux/mman.h calc_vm_prot_bits, calc_vm_flag_bits */
export function mapFlags(mm: Mm, { prot, flags }: MmapRequest): VmFlags {
  let vm = withFlag(withFlag(vmProt(prot), MAY), mm.defFlags);
  if ((flags & MAP_GROWSDOWN) !== 0) vm = withFlag(vm, VM_GROWSDOWN);
  if ((flags & MAP_LOCKED) !== 0) vm = withFlag(vm, VM_LOCKED);
  if ((flags & MAP_STACK) !== 0) vm = withFlag(vm, VM_NOHUGEPAGE);
  if ((flags & MAP_NORESERVE) !== 0 && world.sysctl.overcommitMemory !== 2) {
    vm = withFlag(vm, VM_NORESERVE);
  }
  return vm;
}

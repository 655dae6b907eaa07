/** Address spaces as text: /proc/PID/maps and the VmFlags line of smaps. @linux fs/proc/task_mmu.c, proc_pid_maps(5) */
import { PAGE_SIZE } from '../../../machine/geometry.ts';
import type { Mm, Vma } from '../../mm/mm-types.ts';
import {
  has,
  VM_ACCOUNT,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_DROPPABLE,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYBE_GUARD,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_READ,
  VM_SEALED,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SOFTDIRTY,
  VM_UFFD_MINOR,
  VM_UFFD_MISSING,
  VM_UFFD_WP,
  VM_WIPEONFORK,
  VM_WRITE,
  type VmFlags,
} from '../../mm/vm-flags.ts';
import { filePath } from '../dentry.ts';
import { devText } from '../super.ts';

/** In the order in which smaps prints them, which is that of Linux's bit numbers. @linux show_smap_vma_flags */
const LETTERS: readonly (readonly [VmFlags, string])[] = [
  [VM_READ, 'rd'],
  [VM_WRITE, 'wr'],
  [VM_EXEC, 'ex'],
  [VM_SHARED, 'sh'],
  [VM_MAYREAD, 'mr'],
  [VM_MAYWRITE, 'mw'],
  [VM_MAYEXEC, 'me'],
  [VM_MAYSHARE, 'ms'],
  [VM_GROWSDOWN, 'gd'],
  [VM_UFFD_MISSING, 'um'],
  [VM_PFNMAP, 'pf'],
  [VM_MAYBE_GUARD, 'gu'],
  [VM_UFFD_WP, 'uw'],
  [VM_LOCKED, 'lo'],
  [VM_IO, 'io'],
  [VM_SEQ_READ, 'sr'],
  [VM_RAND_READ, 'rr'],
  [VM_DONTCOPY, 'dc'],
  [VM_DONTEXPAND, 'de'],
  [VM_LOCKONFAULT, 'lf'],
  [VM_ACCOUNT, 'ac'],
  [VM_NORESERVE, 'nr'],
  [VM_HUGETLB, 'ht'],
  [VM_WIPEONFORK, 'wf'],
  [VM_DONTDUMP, 'dd'],
  [VM_SOFTDIRTY, 'sd'],
  [VM_HUGEPAGE, 'hg'],
  [VM_NOHUGEPAGE, 'nh'],
  [VM_MERGEABLE, 'mg'],
  [VM_UFFD_MINOR, 'ui'],
  [VM_DROPPABLE, 'dp'],
  [VM_SEALED, 'sl'],
];

/** Two letters a flag, as after `VmFlags:`; no trailing blank. */
export function vmFlagLetters(flags: VmFlags): string {
  return LETTERS.filter(([bit]) => has(flags, bit))
    .map(([, letters]) => letters)
    .join(' ');
}

/** The text of /proc/PID/maps. Looks at the tree as it is now. */
export function procMaps(mm: Mm): string {
  let text = '';
  for (const vma of mm.vmas) text += `${mapsLine(mm, vma)}\n`;
  return text;
}

/** `55e000000000-55e000001000 rw-p 00000000 00:00 0          [heap]` */
export function mapsLine(mm: Mm, vma: Vma): string {
  const { flags, file } = vma;
  const letter = (bit: VmFlags, on: string): string => (has(flags, bit) ? on : '-');
  const rights = `${letter(VM_READ, 'r')}${letter(VM_WRITE, 'w')}${letter(VM_EXEC, 'x')}`;
  const share = has(flags, VM_MAYSHARE) ? 's' : 'p';
  // Anonymous memory has no offset in anything: pgoff is shown for files only.
  const offset = file === null ? 0 : vma.pgoff * PAGE_SIZE;
  const inode = file?.inode ?? null;
  const node = inode === null ? '00:00 0' : `${devText(inode.sb)} ${inode.ino}`;
  const line = `${hex(vma.start)}-${hex(vma.end)} ${rights}${share} ${hex(offset)} ${node} `;
  const name = file === null ? role(mm, vma) : filePath(file);
  // The name stands in column 74 of the line. @linux show_vma_header_prefix, seq_pad
  return name === '' ? line : `${line.padEnd(73)}${name}`;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

/** @linux vma_is_initial_heap, vma_is_initial_stack */
function role(mm: Mm, vma: Vma): string {
  if (vma.start < mm.brk && vma.end > mm.startBrk) return '[heap]';
  return vma.start <= mm.startStack && mm.startStack <= vma.end ? '[stack]' : '';
}

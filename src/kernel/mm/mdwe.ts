/**
 * Memory-deny-write-execute: a process has asked that nothing it may execute can be, or could have been, written.
 * Measured on 6.18.44. @linux include/linux/mman.h map_deny_write_exec, kernel/sys.c prctl_set_mdwe; prctl(2)
 */
import { EINVAL, EPERM } from '../../uapi/errno.ts';
import type { Mm } from './mm-types.ts';
import { has, VM_EXEC, VM_WRITE, type VmFlags } from './vm-flags.ts';

export const PR_MDWE_REFUSE_EXEC_GAIN = 1;
export const PR_MDWE_NO_INHERIT = 2;

/** Whether a mapping may not change from flags to others; a new one changes from what it will have. */
export function deniesWriteExec(mm: Mm, before: VmFlags, after: VmFlags): boolean {
  if ((mm.mdwe & PR_MDWE_REFUSE_EXEC_GAIN) === 0 || !has(after, VM_EXEC)) return false;
  return has(after, VM_WRITE) || !has(before, VM_EXEC);
}

/** @param bits of PR_MDWE_*; what is set stays set. @returns 0 or a negative errno */
export function setMdwe(mm: Mm, bits: number): number {
  if ((bits & ~(PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT)) !== 0) return -EINVAL;
  if (bits === PR_MDWE_NO_INHERIT) return -EINVAL;
  if (mm.mdwe !== 0 && mm.mdwe !== bits) return -EPERM;
  mm.mdwe = bits;
  return 0;
}

/** What a child of fork begins with. */
export function inheritedMdwe({ mdwe }: Mm): number {
  return (mdwe & PR_MDWE_NO_INHERIT) === 0 ? mdwe : 0;
}

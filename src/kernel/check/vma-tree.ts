/**
 * The VMAs of an address space are in order, do not overlap, are whole pages within user space, and are attached; the
 * tree is balanced and knows its gaps. Nothing suspends it: each change of bounds is one step.
 */
import { PAGE_SIZE, TASK_SIZE } from '../../machine/geometry.ts';
import type { Mm, Vma } from '../mm/mm-types.ts';
import type { World } from '../world.ts';

export const name = 'vma-tree';

export function check(world: World): string | null {
  for (const mm of world.mms) {
    const wrong = checkMm(mm);
    if (wrong !== null) return `mm ${mm.id}: ${wrong}`;
  }
  return null;
}

function checkMm(mm: Mm): string | null {
  let end = 0;
  let count = 0;
  for (const vma of mm.vmas) {
    count++;
    const wrong = vma.start < end ? 'overlaps the one before' : checkVma(mm, vma);
    if (wrong !== null) return `the VMA at 0x${vma.start.toString(16)} ${wrong}`;
    ({ end } = vma);
  }
  if (count !== mm.vmas.size) return `${count} VMAs in order, ${mm.vmas.size} counted`;
  mm.vmas.validate();
  return null;
}

function checkVma(mm: Mm, vma: Vma): string | null {
  if (vma.start >= vma.end) return 'is empty';
  if (vma.start % PAGE_SIZE !== 0 || vma.end % PAGE_SIZE !== 0) return 'is not whole pages';
  if (vma.start < 0 || vma.end > TASK_SIZE) return 'is not in user space';
  if (vma.detached) return 'is detached and still in the tree';
  return vma.mm === mm ? null : 'belongs to another address space';
}

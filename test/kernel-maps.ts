/** Address maps drawn as text, one letter a VMA, one column a page: `AAB.CC`. */
import type { Task } from '../src/kernel/core/task.ts';
import { vmFlagLetters } from '../src/kernel/fs/proc/maps.ts';
import type { Vma } from '../src/kernel/mm/mm-types.ts';
import { PAGE_SIZE } from '../src/machine/geometry.ts';

/** @param pages columns of the drawing, from `base` */
export function drawMaps(task: Task, base: number, pages: number): string {
  let text = '';
  const letters = new Map<Vma, string>();
  for (let page = 0; page < pages; page++) {
    const vma = task.mmOrDie.vmas.find(base + page * PAGE_SIZE);
    if (vma !== null && !letters.has(vma)) letters.set(vma, 'ABCDEFGHIJ'[letters.size] ?? '?');
    text += vma === null ? '.' : letters.get(vma);
  }
  return text;
}

/** `0-2 rd wr mr mw me ac | 2-4 rd …`: every VMA with its VmFlags, in pages from `base`. */
export function drawFlags(task: Task, base: number): string {
  const page = (address: number): number => (address - base) / PAGE_SIZE;
  return [...task.mmOrDie.vmas]
    .map((v) => `${page(v.start)}-${page(v.end)} ${vmFlagLetters(v.flags)}`)
    .join(' | ');
}

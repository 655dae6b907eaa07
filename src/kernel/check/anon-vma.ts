/**
 * Links between VMAs and anon_vmas go both ways, and the counts that decide about reuse are right.
 * Suspended while any family lock is held; VMAs of an mm whose mmap_lock is write-held are not looked at.
 */
import type { AnonVma } from '../mm/anon-vma.ts';
import type { Vma } from '../mm/mm-types.ts';
import type { World } from '../world.ts';

export const name = 'anon-vma';

export function check(world: World): string | null {
  for (const anonVma of world.anonVmas.values()) if (anonVma.lock.held) return null;
  for (const mm of world.mms) {
    if (mm.mmapLock.held) continue;
    for (const vma of mm.vmas) {
      const wrong = checkVma(vma);
      if (wrong !== null) return wrong;
    }
  }
  const children = new Map<AnonVma, number>();
  for (const { parent } of world.anonVmas.values()) {
    children.set(parent, (children.get(parent) ?? 0) + 1);
  }
  for (const anonVma of world.anonVmas.values()) {
    const wrong = checkCounts(anonVma, children.get(anonVma) ?? 0);
    if (wrong !== null) return wrong;
  }
  return null;
}

function checkVma(vma: Vma): string | null {
  const { anonVma, anonVmaChain } = vma;
  if (anonVma !== null && !anonVmaChain.some((c) => c.anonVma === anonVma)) {
    return `a VMA is not linked to its own anon_vma ${anonVma.id}`;
  }
  for (const avc of anonVmaChain) {
    if (!avc.anonVma.links.has(avc)) {
      return `anon_vma ${avc.anonVma.id} does not know a VMA that is linked to it`;
    }
  }
  return null;
}

function checkCounts(anonVma: AnonVma, children: number): string | null {
  const { id, links, numActiveVmas, numChildren } = anonVma;
  if (links.size === 0) return `anon_vma ${id} has no VMA left and was kept`;
  let active = 0;
  for (const { vma } of links) if (vma.anonVma === anonVma) active++;
  if (numActiveVmas !== active) {
    return `anon_vma ${id} counts ${numActiveVmas} active VMAs, not ${active}`;
  }
  if (numChildren !== children) {
    return `anon_vma ${id} counts ${numChildren} children, not ${children}`;
  }
  return null;
}

/**
 * Links between VMAs and anon_vmas go both ways, and the counts that decide about reuse are right.
 * Suspended while any family lock is held, and for VMAs of an mm whose mmap_lock is write-held.
 */
import type { AnonVma } from '../mm/anon-vma.ts';
import type { World } from '../world.ts';

export const name = 'anon-vma';

export function check(world: World): string | null {
  for (const anonVma of world.anonVmas.values()) if (anonVma.lock.held) return null;
  const active = new Map<AnonVma, number>();
  let changing = false;
  for (const mm of world.mms) {
    if (mm.mmapLock.held) {
      changing = true;
      continue;
    }
    for (const vma of mm.vmas) {
      const { anonVma } = vma;
      if (anonVma !== null) active.set(anonVma, (active.get(anonVma) ?? 0) + 1);
      if (anonVma !== null && !vma.anonVmaChain.some((c) => c.anonVma === anonVma)) {
        return `a VMA is not linked to its own anon_vma ${anonVma.id}`;
      }
      for (const avc of vma.anonVmaChain) {
        if (!avc.anonVma.links.has(avc)) {
          return `anon_vma ${avc.anonVma.id} does not know a VMA that is linked to it`;
        }
      }
    }
  }
  return changing ? null : checkCounts(world, active);
}

function checkCounts(world: World, active: ReadonlyMap<AnonVma, number>): string | null {
  for (const anonVma of world.anonVmas.values()) {
    if (anonVma.links.size === 0) return `anon_vma ${anonVma.id} has no VMA left and was kept`;
    if (anonVma.numActiveVmas !== (active.get(anonVma) ?? 0)) {
      return `anon_vma ${anonVma.id} counts ${anonVma.numActiveVmas} active VMAs`;
    }
    let children = 0;
    for (const other of world.anonVmas.values()) if (other.parent === anonVma) children++;
    if (anonVma.numChildren !== children) {
      return `anon_vma ${anonVma.id} counts ${anonVma.numChildren} children, not ${children}`;
    }
  }
  return null;
}

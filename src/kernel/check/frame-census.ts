/**
 * At rest every frame and every page-table page in use belongs to something that can be named: a frame to the entries
 * that map it, a table to an mm. What is left over has leaked. Holds only when no call is under way.
 */
import { machine } from '../../machine/current.ts';
import { type Pfn, pteIsSwap, ptePfn, ptePresent, pteSpecial } from '../../machine/pte.ts';
import { isHugetlb } from '../mm/hugetlb.ts';
import { PG_HWPOISON } from '../mm/hwpoison.ts';
import type { World } from '../world.ts';
import { check as checkMapcount } from './mapcount.ts';
import { forEachPte } from './page-tables.ts';

export const name = 'frame-census';

/** @returns null, or what is not accounted for. Requires: no task inside the kernel. */
export function frameCensus(world: World): string | null {
  for (const { pfn, refcount, mapcount } of machine.frames.census()) {
    const cached = cachedPages(world, pfn);
    const retired = ((machine.frames.flags[pfn] ?? 0) & PG_HWPOISON) !== 0 ? 1 : 0;
    if (refcount !== mapcount + cached + retired + pooled(world, pfn)) {
      const held = cached === 0 ? '' : ' and in the page cache';
      return `frame ${pfn} leaked: ${refcount} references, mapped ${mapcount} times${held}`;
    }
  }
  const wrong = checkMapcount(world) ?? checkRss(world);
  if (wrong !== null) return wrong;
  for (const l of world.folioLocks.values()) if (!l.free) return `${l.name} is held at rest`;
  if (!world.rcu.pending) {
    let tables = 0;
    for (const mm of world.mms) tables += mm.tables;
    for (const others of world.pmdSharers?.values() ?? []) tables -= others;
    if (tables !== machine.tables.inUse) {
      return `${machine.tables.inUse} page-table pages are in use, the address spaces know of ${tables}`;
    }
  }
  for (const l of world.folioLocks.values()) if (!l.free) return `${l.name} is held at rest`;
  if (world.mms.size === 0 && world.anonVmas.size > 0) {
    return `${world.anonVmas.size} anon_vmas outlived every address space`;
  }
  return null;
}

export const check = frameCensus;

/** A free page of a pool is referred to by the pool. */
function pooled(world: World, pfn: Pfn): number {
  return world.hstates?.some(({ free }) => free.includes(pfn)) === true ? 1 : 0;
}

/** How many frames of the folio are in the page cache or the swap cache, each with a reference. */
function cachedPages(world: World, head: Pfn): number {
  const { frames } = machine;
  const mapping = world.mappings.get(-frames.mappingOf(head));
  const slot = frames.private[head] ?? 0;
  let cached = 0;
  for (let i = 0; i < 1 << frames.order(head); i++) {
    const pfn = (head + i) as Pfn;
    const inFile = mapping?.pages.get(frames.indexOf(pfn)) === pfn;
    if (inFile || world.swap?.cache.get(slot + i) === pfn) cached++;
  }
  return cached;
}

/** Pages counted as resident are those that entries map; those of pools count apart. */
function checkRss(world: World): string | null {
  for (const mm of world.mms) {
    let pages = 0;
    let swapped = 0;
    forEachPte(mm, (_address, pte) => {
      if (ptePresent(pte) && !pteSpecial(pte) && !isHugetlb(ptePfn(pte))) pages++;
      if (pteIsSwap(pte)) swapped++;
    });
    const { anon, file, shmem, swap } = mm.rss;
    if (swap !== swapped) return `mm ${mm.id} counts ${swap} swapped pages and has ${swapped}`;
    if (anon + file + shmem !== pages) {
      return `mm ${mm.id} counts ${anon + file + shmem} resident pages and maps ${pages}`;
    }
  }
  return null;
}

/**
 * Which page-table entries map an anonymous folio, and whether one of them has it to itself.
 * AnonExclusive is a promise about a page: no other process can see it, so a write may go to it directly. fork takes it
 * away; only a write that finds itself alone, or a copy, gives it back. @linux mm/rmap.c, include/linux/rmap.h
 */
import { assert } from '../../base/assert.ts';
import { folioCell } from '../../machine/cells.ts';
import { machine } from '../../machine/current.ts';
import {
  GUP_PIN_COUNTING_BIAS,
  PG_ANON,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_LAZYFREE,
  PG_SWAPBACKED,
} from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lockRead, unlockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { seam } from '../seam.ts';
import type { AddressSpace } from './address-space.ts';
import type { Mm, Vaddr, Vma } from './mm-types.ts';
import { has, VM_DROPPABLE } from './vm-flags.ts';

/** The place of an address in its VMA's anon_vma or file, in pages. @linux linear_page_index */
export function linearPageIndex(vma: Vma, address: Vaddr): number {
  return vma.pgoff + Math.floor((address - vma.start) / PAGE_SIZE);
}

/**
 * Makes a fresh frame an anonymous folio mapped once, at `address`, exclusively.
 * Requires: the page-table lock of the slot it goes to; the VMA has an anon_vma. @linux folio_add_new_anon_rmap
 */
export function folioAddNewAnonRmap(pfn: Pfn, vma: Vma, address: Vaddr): void {
  const { anonVma } = vma;
  assert(anonVma !== null, 'a private page is mapped into a VMA without anon_vma');
  const { frames } = machine;
  sched.touch(folioCell(pfn), WRITE);
  const kind = has(vma.flags, VM_DROPPABLE) ? PG_LAZYFREE : PG_SWAPBACKED;
  frames.flags[pfn] = PG_ANON | PG_ANON_EXCLUSIVE | kind;
  frames.mapping[pfn] = anonVma.id;
  frames.index[pfn] = linearPageIndex(vma, address);
  frames.addMapcount(pfn, 1);
  vma.mm.rss.anon++;
}

/**
 * Makes a fresh large folio an anonymous one, mapped once and whole, exclusively.
 * Requires: as folioAddNewAnonRmap, for the PMD slot. @linux folio_add_new_anon_rmap
 */
export function folioAddNewAnonRmapPmd(head: Pfn, vma: Vma, address: Vaddr): void {
  const { anonVma } = vma;
  assert(anonVma !== null, 'a private page is mapped into a VMA without anon_vma');
  const { frames } = machine;
  sched.touch(folioCell(head), WRITE);
  frames.flags[head] = PG_ANON | PG_SWAPBACKED | PG_ANON_EXCLUSIVE;
  frames.mapping[head] = anonVma.id;
  frames.index[head] = linearPageIndex(vma, address);
  frames.addEntireMapcount(head, 1);
  vma.mm.rss.anon += 1 << frames.order(head);
}

/**
 * Adds a forked child's mapping of a whole large folio.
 * @returns false when it may be pinned for DMA
 * Requires: both PMD locks. @linux folio_try_dup_anon_rmap_pmd
 */
export function folioTryDupAnonRmapPmd(head: Pfn, dst: Vma, src: Vma): boolean {
  const { frames } = machine;
  if (frames.hasFlag(head, PG_ANON_EXCLUSIVE)) {
    if (src.mm.hasPinned && frames.refcount(head) >= GUP_PIN_COUNTING_BIAS) return false;
    frames.clearFlag(head, PG_ANON_EXCLUSIVE);
  }
  frames.get(head);
  frames.addEntireMapcount(head, 1);
  dst.mm.rss.anon += 1 << frames.order(head);
  return true;
}

/** Counts a mapping of a whole large folio of a file. Requires: the PMD lock; a reference. @linux folio_add_file_rmap_pmd */
export function folioAddFileRmapPmd(head: Pfn, vma: Vma): void {
  machine.frames.addEntireMapcount(head, 1);
  vma.mm.rss.shmem += 1 << machine.frames.order(head);
}

/** Takes a mapping of a whole large folio away. Requires: the PMD lock. @linux folio_remove_rmap_pmd */
export function folioRemoveRmapPmd(head: Pfn, vma: Vma): void {
  const { frames } = machine;
  frames.addEntireMapcount(head, -1);
  const pages = 1 << frames.order(head);
  if (((frames.flags[head] ?? 0) & PG_ANON) !== 0) vma.mm.rss.anon -= pages;
  else vma.mm.rss.shmem -= pages;
}

/**
 * Counts the mappings of a large folio that a table maps frame by frame from now on instead of one entry the whole. Each
 * of them holds a reference, and is exclusive if the whole was.
 * Requires: the PMD lock; the table in nobody's reach yet.
 */
export function folioSplitRmap(head: Pfn): void {
  const { frames } = machine;
  const pages = 1 << frames.order(head);
  const exclusive = frames.hasFlag(head, PG_ANON_EXCLUSIVE);
  frames.getMany(head, pages - 1);
  for (let pfn = head; pfn < head + pages; pfn = (pfn + 1) as Pfn) {
    if (exclusive) frames.setFlag(pfn, PG_ANON_EXCLUSIVE);
    frames.addMapcount(pfn, 1);
  }
  frames.addEntireMapcount(head, -1);
}

/**
 * Counts the mapping of a folio that comes back from the swap device, whose AnonExclusive was kept in the entry. One that
 * was never unmapped since it was read keeps its place in the rmap.
 * Requires: the page-table lock, the folio lock; a reference. @linux folio_add_anon_rmap_ptes
 */
export function folioAddSwappedAnonRmap(
  pfn: Pfn,
  vma: Vma,
  address: Vaddr,
  exclusive: boolean,
): void {
  const { frames } = machine;
  const { anonVma } = vma;
  assert(anonVma !== null, 'a private page is mapped into a VMA without anon_vma');
  sched.touch(folioCell(pfn), WRITE);
  const flags = frames.flags[pfn] ?? 0;
  if ((flags & PG_ANON) === 0) {
    frames.mapping[pfn] = exclusive ? anonVma.id : anonVma.root.id;
    frames.index[pfn] = linearPageIndex(vma, address);
  }
  frames.flags[pfn] = flags | PG_ANON | PG_SWAPBACKED | (exclusive ? PG_ANON_EXCLUSIVE : 0);
  frames.addMapcount(pfn, 1);
  vma.mm.rss.anon++;
}

/**
 * Whether a page has no reference but those the caller knows of. Before 5.8 a page that one entry maps was taken for the
 * writer's alone, whoever else had a reference. @linux wp_can_reuse_anon_folio
 */
export const noOtherReference = seam(
  'rmap.noOtherReference',
  (pfn: Pfn, own: number): boolean => machine.frames.refcount(pfn) <= own,
);

/** Whether a device may have the page that fork is about to share. Before 5.9 nobody asked. @linux page_needs_cow_for_dma */
export const pinnedOnFork = seam(
  'rmap.pinnedOnFork',
  (pfn: Pfn, src: Vma): boolean =>
    src.mm.hasPinned && machine.frames.refcount(pfn) >= GUP_PIN_COUNTING_BIAS,
);

/**
 * Adds a forked child's mapping of the parent's folio, which is exclusive to nobody from now on.
 * @returns false when the page may be pinned for DMA: the parent keeps it and the child needs a copy
 * Requires: both page-table locks. @linux folio_try_dup_anon_rmap_pte
 */
export function folioTryDupAnonRmap(pfn: Pfn, dst: Vma, src: Vma): boolean {
  const { frames } = machine;
  if (frames.hasFlag(pfn, PG_ANON_EXCLUSIVE)) {
    if (pinnedOnFork(pfn, src)) return false;
    frames.clearFlag(pfn, PG_ANON_EXCLUSIVE);
  }
  frames.get(pfn);
  frames.addMapcount(pfn, 1);
  dst.mm.rss.anon++;
  return true;
}

/** Counts a mapping of a page of a file. Requires: the page-table lock; a reference. @linux folio_add_file_rmap_pte */
export function folioAddFileRmap(pfn: Pfn, vma: Vma): void {
  machine.frames.addMapcount(pfn, 1);
  vma.mm.rss[counterOf(machine.frames.flags[machine.frames.head(pfn)] ?? 0)]++;
}

/**
 * Remembers that a page of a file holds more than zeroes nobody wrote. Hardware notes writes in entries only: whoever
 * takes an entry away passes that on. @linux folio_mark_dirty
 */
export function folioMarkDirty(pfn: Pfn): void {
  if (!machine.frames.hasFlag(pfn, PG_DIRTY)) machine.frames.setFlag(pfn, PG_DIRTY);
}

/** A forked child's mapping of a page of a file. Requires: both page-table locks. @linux folio_dup_file_rmap_pte */
export function folioDupFileRmap(pfn: Pfn, dst: Vma): void {
  machine.frames.get(pfn);
  folioAddFileRmap(pfn, dst);
}

/** Takes one mapping away. The reference it held is the caller's to drop. Requires: the page-table lock. */
export function folioRemoveRmap(pfn: Pfn, vma: Vma): void {
  const { frames } = machine;
  frames.addMapcount(pfn, -1);
  // A mapped page stays what it is, so this looks at nothing that could race.
  vma.mm.rss[counterOf(frames.flags[frames.head(pfn)] ?? 0)]--;
}

/** Which of the resident pages a page counts among. @linux mm_counter */
function counterOf(flags: number): 'anon' | 'shmem' | 'file' {
  if ((flags & PG_ANON) !== 0) return 'anon';
  return (flags & PG_SWAPBACKED) !== 0 ? 'shmem' : 'file';
}

/** A page that migrates counts as resident wherever an entry stands for it. */
export function countMigrating(mm: Mm, pfn: Pfn, delta: 1 | -1): void {
  if (((machine.frames.flags[pfn] ?? 0) & PG_ANON) !== 0) mm.rss.anon += delta;
  else mm.rss.shmem += delta;
}

/** Makes the folio belong to the VMA's own anon_vma: it turned out to be alone in it. @linux folio_move_anon_rmap */
export function folioMoveAnonRmap(pfn: Pfn, vma: Vma): void {
  const { anonVma } = vma;
  assert(anonVma !== null, 'a private page is mapped in a VMA without anon_vma');
  const head = machine.frames.head(pfn);
  sched.touch(folioCell(head), WRITE);
  machine.frames.mapping[head] = anonVma.id;
}

/** Where a folio may be mapped: the entry there has to be looked at. */
export interface RmapPlace {
  readonly vma: Vma;
  readonly address: Vaddr;
}

/**
 * Every place where an anonymous folio may be mapped, and a few where it is not any more.
 * Requires: a reference to the folio. @linux rmap_walk_anon
 */
export function* rmapWalkAnon(pfn: Pfn): Steps<readonly RmapPlace[]> {
  sched.touch(folioCell(machine.frames.head(pfn)), READ);
  const anonVma = world.anonVmas.get(machine.frames.mappingOf(pfn));
  if (anonVma === undefined) return [];
  yield* lockRead(anonVma.root.lock);
  const places = rmapPlaces(pfn);
  unlockRead(anonVma.root.lock);
  return places;
}

/** The same for a page of a file. Requires: the i_mmap lock. @linux rmap_walk_file */
export function rmapFilePlaces(pfn: Pfn, mapping: AddressSpace): RmapPlace[] {
  const places: RmapPlace[] = [];
  const index = machine.frames.indexOf(pfn);
  for (const vma of mapping.iMmap) {
    const address = vma.start + (index - vma.pgoff) * PAGE_SIZE;
    if (vma.contains(address)) places.push({ vma, address });
  }
  return places;
}

/** The walk itself. Requires: the root's anon_vma lock (checks look without it, between steps). */
export function rmapPlaces(pfn: Pfn): RmapPlace[] {
  const places: RmapPlace[] = [];
  const index = machine.frames.indexOf(pfn);
  const anonVma = world.anonVmas.get(machine.frames.mappingOf(pfn));
  for (const { vma } of anonVma?.links ?? []) {
    const address = vma.start + (index - vma.pgoff) * PAGE_SIZE;
    if (vma.contains(address)) places.push({ vma, address });
  }
  return places;
}

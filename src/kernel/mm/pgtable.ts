/**
 * Walking and building the page-table tree of an mm.
 *
 *   pgd (a map)  ->  PUD table  ->  PMD table  ->  PTE table  ->  frame
 *
 * Every word below the pgd is a slot in `machine.tables`. With real sizes a PUD entry spans 1 GiB, a PMD entry 2 MiB;
 * litmus shrinks both. Lockless walkers find -1 when a level is missing and must check again under the lock that the
 * level still is what they saw. @linux include/linux/pgtable.h, mm/memory.c
 */

import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  mkTable,
  PTE_NONE,
  type Pte,
  pteHuge,
  pteIsTable,
  pteOfHuge,
  pteTable,
} from '../../machine/pte.ts';
import { getPte, setPte } from '../../machine/tables.ts';
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { Lock, lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { PMD_LOCK, PTE_LOCK } from '../lock-classes.ts';
import type { Mm, Vaddr } from './mm-types.ts';

/** Bytes a PMD entry spans: the size of a huge page. */
export function pmdSize(): number {
  return PAGE_SIZE * machine.geometry.ptrsPerPte;
}
/** log2 of the pages of a huge page. @linux HPAGE_PMD_ORDER */
export function pmdOrder(): number {
  return Math.log2(machine.geometry.ptrsPerPte);
}
/** Whether [start, end) is one whole PMD span. */
export function isWholePmd(start: Vaddr, end: Vaddr): boolean {
  return end - start === pmdSize() && start % pmdSize() === 0;
}
/** Bytes a PUD entry spans. */
export function pudSize(): number {
  return pmdSize() * machine.geometry.ptrsPerPmd;
}
/** The end of the PMD span an address is in, or `end` when that is nearer. @linux pmd_addr_end */
export function pmdAddrEnd(address: Vaddr, end: Vaddr): Vaddr {
  const size = pmdSize();
  return Math.min(end, Math.floor(address / size) * size + size);
}

/** The slot of the PUD entry for an address, or -1 when its table is missing. */
export function pudSlot(mm: Mm, address: Vaddr): number {
  const { tables } = machine;
  const span = pudSize() * tables.granule;
  sched.touch(mm.pgdCell, READ);
  const table = mm.pgd.get(Math.floor(address / span));
  if (table === undefined) return -1;
  return tables.slot(table, Math.floor(address / pudSize()) % tables.granule);
}

/** The slot of the PMD entry for an address, or -1 when no PMD table is there. Reads the PUD word. */
export function pmdSlot(mm: Mm, address: Vaddr): number {
  const pud = pudSlot(mm, address);
  if (pud < 0) return -1;
  const word = getPte(pud);
  if (!pteIsTable(word)) return -1;
  const index = Math.floor(address / pmdSize()) % machine.geometry.ptrsPerPmd;
  return machine.tables.slot(pteTable(word), index);
}

/** The slot of the PTE in the table a PMD word points at. */
export function pteSlotIn(pmd: Pte, address: Vaddr): number {
  const index = Math.floor(address / PAGE_SIZE) % machine.geometry.ptrsPerPte;
  return machine.tables.slot(pteTable(pmd), index);
}

/** The slot of the PTE for an address, or -1 when there is no PTE table (none, or a huge page). Reads the PMD word. */
export function pteSlot(mm: Mm, address: Vaddr): number {
  const pmd = pmdSlot(mm, address);
  if (pmd < 0) return -1;
  const word = getPte(pmd);
  return pteIsTable(word) ? pteSlotIn(word, address) : -1;
}

/** What the tables say of a page, of a huge one too, or null where there is no table. Reads all words on the way. */
export function lookupPte(mm: Mm, address: Vaddr): Pte | null {
  const pmd = pmdSlot(mm, address);
  if (pmd < 0) return null;
  const word = getPte(pmd);
  if (pteIsTable(word)) return getPte(pteSlotIn(word, address));
  return pteHuge(word) ? pteOfHuge(word, pageInPmd(address)) : null;
}

/** Which page of its PMD span an address is in. */
export function pageInPmd(address: Vaddr): number {
  return Math.floor(address / PAGE_SIZE) % machine.geometry.ptrsPerPte;
}

/**
 * The slot of the PMD entry, building upper tables as needed; -1 when out of memory.
 * Requires: mmap_lock or the VMA lock, for reading.
 */
export function allocPmd(mm: Mm, address: Vaddr): number {
  const found = pmdSlot(mm, address);
  if (found >= 0) return found;
  const pud = allocPud(mm, address);
  const pmds = pud < 0 ? -1 : allocTable(mm, PMD_LOCK);
  if (pmds < 0) return -1;
  setPte(pud, mkTable(pmds));
  return pmdSlot(mm, address);
}

/** The slot of the PUD entry, building the table it lies in; -1 when out of memory. Requires: as allocPmd. */
export function allocPud(mm: Mm, address: Vaddr): number {
  const key = Math.floor(address / (pudSize() * machine.tables.granule));
  if (!mm.pgd.has(key)) {
    const table = allocTable(mm, null);
    if (table < 0) return -1;
    sched.touch(mm.pgdCell, WRITE);
    mm.pgd.set(key, table);
  }
  return pudSlot(mm, address);
}

/**
 * The slot of the PTE, building tables as needed: one step that takes the PMD lock and looks again, since another
 * thread may have installed a table or a huge page meanwhile.
 * @returns the slot; -1 out of memory; -2 the PMD is not a table (huge or migrating): the caller decides
 * Requires: mmap_lock or the VMA lock, for reading. @linux pte_alloc
 */
export function* allocPte(mm: Mm, address: Vaddr): Steps<number> {
  const pmd = allocPmd(mm, address);
  if (pmd < 0) return -1;
  let word = getPte(pmd);
  // The PMD was looked at in the step that is running; the lock is a step of its own, so look again under it.
  if (word === PTE_NONE) {
    const fresh = allocTable(mm, PTE_LOCK);
    if (fresh < 0) return -1;
    const pml = ptLockOf(pmd);
    yield* lock(pml);
    word = getPte(pmd);
    if (word === PTE_NONE) {
      word = mkTable(fresh);
      setPte(pmd, word);
    } else {
      freeTable(mm, fresh);
    }
    unlock(pml);
  }
  return pteIsTable(word) ? pteSlotIn(word, address) : -2;
}

/**
 * The first address in [address, end) that has a PMD table, or `end`. Walks over what was never built in strides of
 * whole tables. Reads PUD words.
 */
export function skipMissing(mm: Mm, address: Vaddr, end: Vaddr): Vaddr {
  const pgdSpan = pudSize() * machine.tables.granule;
  let here = address;
  while (here < end) {
    const pud = pudSlot(mm, here);
    if (pud >= 0 && pteIsTable(getPte(pud))) return here;
    const stride = pud < 0 ? pgdSpan : pudSize();
    here = (Math.floor(here / stride) + 1) * stride;
  }
  return end;
}

/** An empty PTE table that nothing points at yet, or -1: for a huge page to be split into one day. @linux pte_alloc_one */
export function allocPteTable(mm: Mm): number {
  return allocTable(mm, PTE_LOCK);
}

/**
 * Puts a table aside under a huge page, so that splitting it never wants memory.
 * Requires: the lock of the PMD slot, which holds a huge page of anonymous memory. @linux pgtable_trans_huge_deposit
 */
export function depositTable(pmd: number, table: number): void {
  world.deposited.set(pmd, table);
}

/** Takes it back. Requires: the lock of the PMD slot. @linux pgtable_trans_huge_withdraw */
export function withdrawTable(pmd: number): number {
  const table = world.deposited.get(pmd);
  if (table === undefined) throw new Error(`BUG: no table under the huge page of slot ${pmd}`);
  world.deposited.delete(pmd);
  return table;
}

function allocTable(mm: Mm, cls: typeof PMD_LOCK | null): number {
  const table = machine.tables.alloc(world.owner());
  if (table < 0) return -1;
  mm.tables++;
  // A recycled table may have been of the other level.
  if (cls !== null && world.ptLocks[table]?.cls !== cls) {
    world.ptLocks[table] = new Lock(cls, `${cls.name} ${table}`);
  }
  return table;
}

/** Frees an empty table of an mm that nothing points at any more (after RCU, where walkers may be inside). */
export function freeTable(mm: Mm, table: number): void {
  machine.tables.free(table, world.owner());
  mm.tables--;
}

/** The page-table lock of a slot: of the PTE table for PTEs, of the PMD table for PMDs. @linux pte_lockptr, pmd_lockptr */
export function ptLockOf(slot: number): Lock {
  const table = Math.floor(slot / machine.tables.granule);
  const found = world.ptLocks[table];
  if (found === undefined) throw new Error(`BUG: no lock for table ${table}`);
  return found;
}

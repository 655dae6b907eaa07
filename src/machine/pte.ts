/**
 * One page-table word: a signed 32-bit integer of our own layout, the same for PTEs and PMDs (decision 9).
 *
 * States:
 *   none       the word is 0
 *   present    maps a frame (a huge frame when HUGE is set, in a PMD)
 *   table      in a PMD: points at a page-table page
 *   swap       the page is on the swap device
 *   migration  the page is being moved; faults wait
 *   hwpoison   the page was lost
 *   marker     no page, but something to remember: UFFD_WP, POISONED, GUARD
 *
 * Invariants: UFFD_WP and WRITE exclude each other. A table word has no flags. Only swap and migration words carry
 * EXCLUSIVE and the saved bits. SOFT_DIRTY and UFFD_WP have the same place in every state that can carry them.
 *
 * Bits, present:        31..12 frame   9 HUGE 8 EXEC 7 PROTNONE 6 SPECIAL 5 UFFD_WP 4 SOFT_DIRTY 3 YOUNG 2 DIRTY 1 WRITE 0 =1
 * Bits, not present:    31..12 offset, frame or marker mask   10 DIRTY' 9 YOUNG' 8 WRITE' 7 EXCLUSIVE 5 UFFD_WP 4 SOFT_DIRTY
 *                       3..1 type (1 swap, 2 migration, 3 hwpoison, 4 marker, 5 table)   0 =0
 */
import type { Brand } from '../base/brand.ts';

export type Pte = Brand<number, 'Pte'>;
export type Pfn = Brand<number, 'Pfn'>;

export const PTE_NONE = 0 as Pte;

export const PTE_PRESENT: number = 1 << 0;
export const PTE_WRITE: number = 1 << 1;
export const PTE_DIRTY: number = 1 << 2;
export const PTE_YOUNG: number = 1 << 3;
export const PTE_SOFT_DIRTY: number = 1 << 4;
export const PTE_UFFD_WP: number = 1 << 5;
export const PTE_SPECIAL: number = 1 << 6;
export const PTE_PROTNONE: number = 1 << 7;
export const PTE_EXEC: number = 1 << 8;
export const PTE_HUGE: number = 1 << 9;

export const SWP_EXCLUSIVE: number = 1 << 7;
export const MIGRATION_WRITE: number = 1 << 8;
export const MIGRATION_YOUNG: number = 1 << 9;
export const MIGRATION_DIRTY: number = 1 << 10;

const TYPE_MASK = 0b1110;
const TYPE_SWAP = 1 << 1;
const TYPE_MIGRATION = 2 << 1;
const TYPE_HWPOISON = 3 << 1;
const TYPE_MARKER = 4 << 1;
const TYPE_TABLE = 5 << 1;
const VALUE_SHIFT = 12;

/** What a marker remembers. @linux include/linux/swapops.h PTE_MARKER_* */
export const PTE_MARKER_UFFD_WP = 1;
export const PTE_MARKER_POISONED = 2;
export const PTE_MARKER_GUARD = 4;

export type PteKind = 'none' | 'present' | 'table' | 'swap' | 'migration' | 'hwpoison' | 'marker';

export function pteKind(pte: Pte): PteKind {
  if (pte === 0) return 'none';
  if ((pte & PTE_PRESENT) !== 0) return 'present';
  switch (pte & TYPE_MASK) {
    case TYPE_SWAP:
      return 'swap';
    case TYPE_MIGRATION:
      return 'migration';
    case TYPE_HWPOISON:
      return 'hwpoison';
    case TYPE_TABLE:
      return 'table';
    default:
      return 'marker';
  }
}

export function pteNone(pte: Pte): boolean {
  return pte === 0;
}
export function ptePresent(pte: Pte): boolean {
  return (pte & PTE_PRESENT) !== 0;
}
export function pteWrite(pte: Pte): boolean {
  return (pte & (PTE_PRESENT | PTE_WRITE)) === (PTE_PRESENT | PTE_WRITE);
}
export function pteDirty(pte: Pte): boolean {
  return (pte & PTE_DIRTY) !== 0;
}
export function pteYoung(pte: Pte): boolean {
  return (pte & PTE_YOUNG) !== 0;
}
export function pteSpecial(pte: Pte): boolean {
  return (pte & (PTE_PRESENT | PTE_SPECIAL)) === (PTE_PRESENT | PTE_SPECIAL);
}
export function pteHuge(pte: Pte): boolean {
  return (pte & (PTE_PRESENT | PTE_HUGE)) === (PTE_PRESENT | PTE_HUGE);
}
/** The uffd-wp bit of a present, swap or migration word; markers say it in their mask (pteUffdWpAny). */
export function pteUffdWp(pte: Pte): boolean {
  return (pte & PTE_UFFD_WP) !== 0;
}
export function pteSoftDirty(pte: Pte): boolean {
  return (pte & PTE_SOFT_DIRTY) !== 0;
}
export function pteIsTable(pte: Pte): boolean {
  return (pte & (TYPE_MASK | PTE_PRESENT)) === TYPE_TABLE;
}
export function pteIsSwap(pte: Pte): boolean {
  return (pte & (TYPE_MASK | PTE_PRESENT)) === TYPE_SWAP;
}
export function pteIsMigration(pte: Pte): boolean {
  return (pte & (TYPE_MASK | PTE_PRESENT)) === TYPE_MIGRATION;
}
export function pteIsMarker(pte: Pte): boolean {
  return (pte & (TYPE_MASK | PTE_PRESENT)) === TYPE_MARKER;
}
/** The mask of a marker, or 0 for any other word. */
export function pteMarker(pte: Pte): number {
  return pteIsMarker(pte) ? pte >>> VALUE_SHIFT : 0;
}
/** Whether write protection by userfaultfd is remembered here in any form. @linux pte_uffd_wp_any */
export function pteUffdWpAny(pte: Pte): boolean {
  return pteUffdWp(pte) || (pteMarker(pte) & PTE_MARKER_UFFD_WP) !== 0;
}

/** The frame of a present, migration or hwpoison word. */
export function ptePfn(pte: Pte): Pfn {
  return (pte >>> VALUE_SHIFT) as Pfn;
}
/** The first slot of the page-table page a table word points at, in units of a whole table. */
export function pteTable(pte: Pte): number {
  return pte >>> VALUE_SHIFT;
}
export function swpOffset(pte: Pte): number {
  return pte >>> VALUE_SHIFT;
}

/** A present word. @param flags PTE_* bits besides PRESENT */
export function mkPte(pfn: Pfn, flags: number): Pte {
  return ((pfn << VALUE_SHIFT) | flags | PTE_PRESENT) as Pte;
}
/**
 * What a huge leaf says of one of its pages, as a page-table entry of that page would. The huge zero page is the zero
 * page again and again.
 * @param index of the page in the huge page
 */
export function pteOfHuge(leaf: Pte, index: number): Pte {
  const flags = leaf & ((1 << VALUE_SHIFT) - 1) & ~PTE_HUGE;
  const offset = (leaf & PTE_SPECIAL) === 0 ? index : 0;
  return (((ptePfn(leaf) + offset) << VALUE_SHIFT) | flags) as Pte;
}
export function mkTable(table: number): Pte {
  return ((table << VALUE_SHIFT) | TYPE_TABLE) as Pte;
}
export function mkMarker(mask: number): Pte {
  return ((mask << VALUE_SHIFT) | TYPE_MARKER) as Pte;
}
export function mkSwap(offset: number, flags: number): Pte {
  return ((offset << VALUE_SHIFT) | flags | TYPE_SWAP) as Pte;
}
export function mkMigration(pfn: Pfn, flags: number): Pte {
  return ((pfn << VALUE_SHIFT) | flags | TYPE_MIGRATION) as Pte;
}
export function mkHwpoison(pfn: Pfn): Pte {
  return ((pfn << VALUE_SHIFT) | TYPE_HWPOISON) as Pte;
}
export function withFlags(pte: Pte, flags: number): Pte {
  return (pte | flags) as Pte;
}
export function withoutFlags(pte: Pte, flags: number): Pte {
  return (pte & ~flags) as Pte;
}

/** The same word for people: dumps, checks, the UI. */
export type DecodedPte =
  | { readonly kind: 'none' }
  | { readonly kind: 'present'; readonly pfn: number; readonly flags: string }
  | { readonly kind: 'table'; readonly table: number }
  | { readonly kind: 'swap'; readonly offset: number; readonly flags: string }
  | { readonly kind: 'migration'; readonly pfn: number; readonly flags: string }
  | { readonly kind: 'hwpoison'; readonly pfn: number }
  | { readonly kind: 'marker'; readonly marks: string };

const PRESENT_NAMES: readonly (readonly [number, string])[] = [
  [PTE_WRITE, 'write'],
  [PTE_DIRTY, 'dirty'],
  [PTE_YOUNG, 'young'],
  [PTE_SOFT_DIRTY, 'soft-dirty'],
  [PTE_UFFD_WP, 'uffd-wp'],
  [PTE_SPECIAL, 'special'],
  [PTE_PROTNONE, 'protnone'],
  [PTE_EXEC, 'exec'],
  [PTE_HUGE, 'huge'],
];
const ENTRY_NAMES: readonly (readonly [number, string])[] = [
  [SWP_EXCLUSIVE, 'exclusive'],
  [MIGRATION_WRITE, 'write'],
  [MIGRATION_YOUNG, 'young'],
  [MIGRATION_DIRTY, 'dirty'],
  [PTE_SOFT_DIRTY, 'soft-dirty'],
  [PTE_UFFD_WP, 'uffd-wp'],
];
const MARK_NAMES: readonly (readonly [number, string])[] = [
  [PTE_MARKER_UFFD_WP, 'uffd-wp'],
  [PTE_MARKER_POISONED, 'poison'],
  [PTE_MARKER_GUARD, 'guard'],
];

export function decodePte(pte: Pte): DecodedPte {
  const kind = pteKind(pte);
  const value = pte >>> VALUE_SHIFT;
  switch (kind) {
    case 'none':
      return { kind };
    case 'present':
      return { kind, pfn: value, flags: names(pte, PRESENT_NAMES) };
    case 'table':
      return { kind, table: value };
    case 'swap':
      return { kind, offset: value, flags: names(pte, ENTRY_NAMES) };
    case 'migration':
      return { kind, pfn: value, flags: names(pte, ENTRY_NAMES) };
    case 'hwpoison':
      return { kind, pfn: value };
    case 'marker':
      return { kind, marks: names(value, MARK_NAMES) };
  }
}

function names(word: number, table: readonly (readonly [number, string])[]): string {
  return table
    .filter(([bit]) => (word & bit) !== 0)
    .map(([, name]) => name)
    .join(' ');
}

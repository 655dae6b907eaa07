/**
 * The integrity invariants, one file each. They are looked at after every step, so a row names the cells whose change
 * can break it: a step that touched none of them need not be checked.
 */
import {
  CELL_CONTENT,
  CELL_FOLIO,
  CELL_MAPCOUNT,
  CELL_PTE,
  CELL_REFCOUNT,
  CELL_TLB,
} from '../../machine/cells.ts';
import { cellClass, entryCell, entryKind, PASS, READ, TRY_R, TRY_W } from '../../sched/cell.ts';
import {
  CELL_ANON_VMA,
  CELL_CACHE,
  CELL_FOLIO_LOCK,
  CELL_I_MMAP,
  CELL_KVM,
  CELL_MMAP_LOCK,
  CELL_SWAP,
  CELL_TLB_PENDING,
  CELL_VMA,
  CELL_VMA_ANON,
  CELL_VMA_TREE,
} from '../cells.ts';
import type { World } from '../world.ts';
import * as anonExclusive from './anon-exclusive.ts';
import * as anonVma from './anon-vma.ts';
import * as diskClean from './disk-clean.ts';
import * as entriesInVmas from './entries-in-vmas.ts';
import * as fileRmap from './file-rmap.ts';
import * as hugetlb from './hugetlb.ts';
import * as mapcount from './mapcount.ts';
import * as notify from './notify.ts';
import * as rmap from './rmap.ts';
import * as swap from './swap.ts';
import * as tlb from './tlb.ts';
import * as uffdWpNotWritable from './uffd-wp-not-writable.ts';
import * as vmaTree from './vma-tree.ts';

export interface Check {
  readonly name: string;
  /** Null when it holds (or is suspended), else what is wrong. */
  readonly check: (world: World) => string | null;
}

interface Row extends Check {
  /** Cell classes whose change can break it, as a bit mask. */
  readonly classes: number;
}

function row(module: Check, ...classes: readonly number[]): Row {
  let mask = 0;
  for (const cls of classes) mask |= 1 << cls;
  return { name: module.name, check: module.check, classes: mask };
}

export const CHECKS: readonly Row[] = [
  row(mapcount, CELL_PTE, CELL_MAPCOUNT, CELL_REFCOUNT),
  row(anonExclusive, CELL_PTE, CELL_FOLIO),
  row(uffdWpNotWritable, CELL_PTE),
  row(tlb, CELL_PTE, CELL_TLB, CELL_REFCOUNT, CELL_TLB_PENDING, CELL_MMAP_LOCK),
  row(rmap, CELL_PTE, CELL_FOLIO, CELL_VMA, CELL_VMA_ANON, CELL_MMAP_LOCK),
  row(fileRmap, CELL_PTE, CELL_FOLIO, CELL_CACHE, CELL_I_MMAP, CELL_VMA, CELL_MMAP_LOCK),
  row(swap, CELL_PTE, CELL_SWAP),
  row(notify, CELL_PTE, CELL_KVM),
  row(diskClean, CELL_PTE, CELL_FOLIO, CELL_FOLIO_LOCK, CELL_CONTENT),
  row(hugetlb, CELL_PTE, CELL_REFCOUNT, CELL_MMAP_LOCK, CELL_VMA_TREE),
  row(anonVma, CELL_ANON_VMA, CELL_VMA, CELL_VMA_ANON, CELL_MMAP_LOCK),
  row(vmaTree, CELL_VMA, CELL_VMA_TREE),
  row(entriesInVmas, CELL_PTE, CELL_VMA_TREE, CELL_TLB_PENDING, CELL_MMAP_LOCK),
];

/** Kinds of touch that change nothing a check reads. */
const LOOKS = (1 << READ) | (1 << PASS) | (1 << TRY_R) | (1 << TRY_W);

/** Every check on the state as it is. Requires: the World is the current one. @returns the first broken one */
export function runChecks(world: World): { readonly name: string; readonly wrong: string } | null {
  return runMasked(world, -1);
}

/** The checks that the step just taken can have broken, going by its footprint (all when none is recorded). */
export function runStepChecks(
  world: World,
): { readonly name: string; readonly wrong: string } | null {
  const { sched } = world;
  if (!sched.exploring) return runMasked(world, -1);
  let touched = 0;
  for (const entry of sched.footprint) {
    if ((LOOKS & (1 << entryKind(entry))) === 0) touched |= 1 << cellClass(entryCell(entry));
  }
  return runMasked(world, touched);
}

function runMasked(
  world: World,
  touched: number,
): { readonly name: string; readonly wrong: string } | null {
  for (const { name, check, classes } of CHECKS) {
    if ((classes & touched) === 0) continue;
    const wrong = check(world);
    if (wrong !== null) return { name, wrong };
  }
  return null;
}
